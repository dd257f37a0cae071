"""What is wrong with a system, in words, the worst first. Nothing means that all is well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hurnet_schemas.places import shard_parts
from hurnet_stream.overview.running import missing
from hurnet_stream.overview.system_status import Shard, Status
from hurnet_stream.terminal.trends import Trends

STILL_S = 10.0
"""A partition with records to read that has not moved for so long stands still."""
GROWING_S, GROWN_RECORDS = 30.0, 50
"""What waits grows if it is more than a few, and doubled over so long."""
BEHIND_OFFSETS = 1_000
"""Readers of the store that are further behind it are told of."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong. If it is not `bad`, it is something to know and maybe to change."""

    bad: bool
    text: str


def complaints(status: Status, trends: Trends) -> list[Complaint]:
    """All that a look and those before it tell."""
    bad = [*status.problems, *of_pages(status), *_texts(status, trends), *_groups(status, trends)]
    bad += [*missing(status.workers, status.solver, status.store_read), *status.awaited]
    known = [*_held(status, trends), *_rising(status, trends), *status.warnings]
    return [*(Complaint(True, text) for text in bad), *(Complaint(False, text) for text in known)]


def of_pages(status: Status) -> Iterator[str]:
    """Workers that do not answer, or are not ready."""
    for page in status.pages:
        if page.ready is None:
            yield f"{page.address} does not answer: {page.says}"
        elif not page.ready:
            yield f"{page.role} at {page.address} is not ready: {page.says}"


def _texts(status: Status, trends: Trends) -> Iterator[str]:
    for shard in status.shards:
        still_s = trends.still_s(f"appended {shard.partition}")
        if shard.lag_records and still_s >= STILL_S:
            yield (
                f"{_of(shard)} stands still: {shard.lag_records:,} to take in, none was for {still_s:.0f} s"
            )
        yield from _behind_in_memory(shard)
    yield from _growing(trends, "behind texts", "texts are written faster than they are taken in")


def _of(shard: Shard) -> str:
    topic, partition = shard_parts(shard.partition)
    return f"partition {partition} of {topic or 'texts'}"


def _behind_in_memory(shard: Shard) -> Iterator[str]:
    for offset, whose in ((shard.folded_offset, "the solver"), (shard.searchable_offset, "a responder")):
        if (
            offset is not None
            and shard.next_offset is not None
            and shard.next_offset - offset > BEHIND_OFFSETS
        ):
            behind = shard.next_offset - offset
            yield f"{whose} is {behind:,} offsets behind the store in {_of(shard)}"


def _groups(status: Status, trends: Trends) -> Iterator[str]:
    for role, what in (("responder", "questions"), ("feedback", "feedback")):
        workers = (status.workers or {}).get(role)
        if workers is None:
            continue
        still_s = trends.still_s(f"committed {role}")
        if workers.lag_records and still_s >= STILL_S:
            yield f"{what}: {workers.lag_records:,} wait, and none was done for {still_s:.0f} s"
        else:
            yield from _growing(trends, f"behind {role}", f"{what} come faster than they are done")


def _growing(trends: Trends, name: str, words: str) -> Iterator[str]:
    waiting = trends.now(name) or 0.0
    if waiting >= GROWN_RECORDS and trends.doubled(name, GROWING_S):
        yield f"{words}: {waiting:,.0f} wait, and it grows"


def _held(status: Status, trends: Trends) -> Iterator[str]:
    for shard in status.shards:
        still_s = trends.still_s(f"readable {shard.partition}")
        if shard.held_records and still_s >= STILL_S:
            yield (
                f"a transaction that has been open for {still_s:.0f} s holds back"
                f" {shard.held_records:,} offsets of {_of(shard)}"
            )


def _rising(status: Status, trends: Trends) -> Iterator[str]:
    if rate := trends.rate("dead_letters"):
        yield f"{rate:.1f} records a second become dead letters (`hurnet dead-letters` tells why)"
    for page in status.pages:
        if rate := trends.rate(f"errors {page.address}"):
            yield f"{page.role} at {page.address} tried again {rate:.1f} times a second: see its log"
