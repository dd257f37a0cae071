"""Which workers run, as Kafka's groups and the store's lease know them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hurnet.adapters.kafka.admin.groups import Group
    from hurnet.settings.settings import Settings

WITHOUT: Mapping[str, str] = {
    "ingest": "texts are not taken in",
    "responder": "questions are not answered",
    "solver": "nothing is learned and no deletion is unlearned",
}


@dataclass(frozen=True, slots=True)
class Running:
    """The workers of a role. `lag_records` is None where nothing was committed yet."""

    group: str
    members: tuple[dict[str, Any], ...]
    lag_records: int | None


def running(settings: Settings, ends: Mapping[str, Mapping[int, int]]) -> dict[str, Running]:
    """By role, given the next offset of each partition by topic."""
    from hurnet.adapters.kafka.admin.groups import groups

    kafka = settings.kafka
    read = {settings.ingest.group: kafka.texts, settings.responder.group: kafka.queries}
    roles = {settings.ingest.group: "ingest", settings.responder.group: "responder"}
    found = groups(kafka, read)
    return {roles[group.name]: _running(group, ends.get(group.topic, {})) for group in found}


def _running(group: Group, ends: Mapping[int, int]) -> Running:
    members = tuple(
        {"worker": member.client, "host": member.host, "partitions": list(member.partitions)}
        for member in group.members
    )
    behind = [max(0, ends[p] - offset) for p, offset in group.committed.items() if p in ends]
    return Running(group.name, members, sum(behind) if behind else None)


def rows(workers: Mapping[str, Running], solver: str | None) -> Iterator[Sequence[str]]:
    """For a table: role, worker, host, partitions, records behind."""
    for role, found in workers.items():
        for member in found.members:
            partitions = ", ".join(map(str, member["partitions"])) or "none"
            yield role, member["worker"], member["host"], partitions, ""
        lag = "?" if found.lag_records is None else f"{found.lag_records:,}"
        yield role, f"{len(found.members) or 'none'} in group {found.group}", "", "", lag
    if solver is not None:
        yield "solver", solver, "", "", ""


def missing(workers: Mapping[str, Running] | None, solver: str | None, store_read: bool) -> Iterator[str]:
    """A warning for each role that nobody fills, as far as that is known."""
    absent = [role for role, found in (workers or {}).items() if not found.members]
    if store_read and solver is None:
        absent.append("solver")
    for role in absent:
        yield f"no {role} is running, so {WITHOUT[role]} (`hurnet {role}`)"
