"""`hurnet forget`: entries deleted from the context, and out of all that was learned from them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from workers.ports import Outgoing, Unlearned, WeightsStore
    from workers.settings import Settings

Coordinates = tuple[int, int]

BEYOND_REACH = (
    "Kafka's log keeps the records until retention or compaction takes them, the store's append-only file"
    " until its next rewrite, and backups as long as you keep them."
)


class EntryName(click.ParamType[Coordinates]):
    """PARTITION/OFFSET."""

    name = "partition/offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Coordinates:
        partition, slash, offset = str(value).partition("/")
        if not (
            slash and partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()
        ):
            self.fail(f"{value!r} is not PARTITION/OFFSET", param, ctx)
        return int(partition), int(offset)


@click.command()
@click.option("--entry", "entries", type=EntryName(), multiple=True, help="The entry at these coordinates.")
@click.option("--key", "keys", multiple=True, help="All entries whose records have this key.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=15.0,
    show_default=True,
    help="Seconds to wait until it is done.",
)
@click.option("--log", "as_log", is_flag=True, help="Print the audit of all deletions, a JSON object a line.")
def forget(entries: tuple[Coordinates, ...], keys: tuple[str, ...], wait: float, as_log: bool) -> None:
    """Delete entries from the context, and unlearn them exactly.

    The deletion is a record in the topic of texts, behind the entries it deletes. Exit code 1 when it was
    not done in time; it will be, once an ingest and a solver run.
    """
    from workers import settings
    from workers.adapters.redis import RedisWeightsStore, connect
    from workers.commands.screen import hush, say_json

    hush()
    if bool(entries or keys) == as_log:
        raise click.UsageError("Name what to forget (--entry, --key), or ask for the --log.")
    chosen = settings.load()
    connection = connect(chosen.redis)
    try:
        store = RedisWeightsStore(connection)
        if as_log:
            for unlearned in store.audit():
                say_json(described(unlearned, chosen.kafka.texts))
        elif not ask(chosen, store, entries, keys, wait):
            sys.exit(1)
    finally:
        connection.close()


def ask(
    chosen: Settings, store: WeightsStore, entries: Sequence[Coordinates], keys: Sequence[str], wait: float
) -> bool:
    """Send the deletions and tell what became of them; whether all were done in time."""
    from workers.adapters.kafka import KafkaSink
    from workers.commands.client import end_offsets
    from workers.commands.screen import say, say_json, watermarks_text

    topic = chosen.kafka.texts
    ends = end_offsets(chosen.kafka, topic)
    messages = list(requests(topic, ends, entries, keys))
    sink = KafkaSink(chosen.kafka)
    try:
        records = set(sink.send(messages))
    finally:
        sink.close()
    last = {p: max(o for q, o in records if q == p) for p in {p for p, _ in records}}
    say(f"asked with {len(records)} records in {topic}, watermarks {watermarks_text(last)}")
    for unlearned in _done(store, records, wait):
        if unlearned.deletion.targets:
            say_json(described(unlearned, topic))
    if records:
        say(
            "not done yet: are `hurnet ingest` and `hurnet solver` running? See `hurnet forget --log`",
            err=True,
        )
        return False
    say(f"done. {BEYOND_REACH}")
    return True


def requests(
    topic: str, ends: Mapping[int, int], entries: Sequence[Coordinates], keys: Sequence[str]
) -> Iterator[Outgoing]:
    """The records to send. A key's goes to all partitions: which it is in depends on who produced it, and on
    how many there were then."""
    from workers.ports import Outgoing
    from workers.texts import FORGET

    for partition, offset in entries:
        if offset >= ends.get(partition, 0):
            raise click.BadParameter(f"{topic} has no record {partition}/{offset}", param_hint="--entry")
        # Clients send no record without key and value; a key of its own deletes nothing else by compaction.
        own = f"hurnet-forget/{partition}/{offset}".encode()
        yield Outgoing(topic, None, own, ((FORGET, str(offset).encode()),), partition)
    for key in keys:
        for partition in sorted(ends):
            yield Outgoing(topic, None, key=key.encode(), partition=partition)


def _done(store: WeightsStore, records: set[Coordinates], wait: float) -> Iterator[Unlearned]:
    """The audits of `records` as they come; what is left of them is not done."""
    deadline = time.monotonic() + wait
    while records:
        for unlearned in store.audit():
            record = unlearned.partition, unlearned.deletion.offset
            if record in records:
                records.discard(record)
                yield unlearned
        if time.monotonic() >= deadline:
            return
        time.sleep(min(0.2, wait))


def described(unlearned: Unlearned, topic: str) -> dict[str, Any]:
    """As a JSON object; times are ISO 8601."""
    from workers.commands.screen import moment

    deletion = unlearned.deletion
    return {
        "record": f"{topic}/{unlearned.partition}/{deletion.offset}",
        "asked": moment(deletion.timestamp_ms),
        "done": moment(unlearned.done_ms),
        "key_blake2b": deletion.key.hex() if deletion.key is not None else None,
        "entries": [f"{unlearned.partition}/{target}" for target in deletion.targets],
        "pairs": unlearned.pairs,
        "digests": {c: {"before": was, "after": now} for c, (was, now) in unlearned.digests.items()},
        "watermarks": {str(p): w for p, w in sorted(unlearned.watermarks.items())},
    }
