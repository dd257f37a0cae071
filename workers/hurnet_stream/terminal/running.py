"""Which workers run: all but the solver are in Kafka's consumer groups, the solver holds a lease."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hurnet_stream.adapters.kafka.admin.groups import Group
    from hurnet_stream.settings.settings import Settings

WITHOUT: Mapping[str, str] = {
    "ingest": "texts are not taken in",
    "responder": "questions are not answered",
    "feedback": "corrections are not taught",
    "solver": "nothing is learned and no deletion is unlearned",
}
"""What does not happen without a worker of a role."""


@dataclass(frozen=True, slots=True)
class Running:
    """The workers of one role. `lag_records` is None if they have not committed anything yet."""

    group: str
    members: tuple[dict[str, Any], ...]
    lag_records: int | None


def running(settings: Settings, ends: Mapping[str, Mapping[int, int]]) -> dict[str, Running]:
    """The workers by role. `ends` are the next offsets of the partitions, by topic."""
    from hurnet_stream.adapters.kafka.admin.groups import groups

    kafka = settings.kafka
    read = {
        settings.ingest.group: kafka.texts,
        settings.responder.group: kafka.queries,
        settings.feedback.group: kafka.feedback,
    }
    roles = {getattr(settings, role).group: role for role in ("ingest", "responder", "feedback")}
    return {roles[group.name]: _running(group, ends.get(group.topic, {})) for group in groups(kafka, read)}


def _running(group: Group, ends: Mapping[int, int]) -> Running:
    members = tuple(
        {"worker": member.client, "host": member.host, "partitions": list(member.partitions)}
        for member in group.members
    )
    behind = [max(0, ends[p] - offset) for p, offset in group.committed.items() if p in ends]
    return Running(group.name, members, sum(behind) if behind else None)


def rows(workers: Mapping[str, Running], solver: str | None) -> Iterator[Sequence[str]]:
    """Rows of a table: role, worker, host, partitions, records behind."""
    for role, running_workers in workers.items():
        for member in running_workers.members:
            partitions = ", ".join(map(str, member["partitions"])) or "none"
            yield role, member["worker"], member["host"], partitions, ""
        lag = "?" if running_workers.lag_records is None else f"{running_workers.lag_records:,}"
        count = len(running_workers.members) or "none"
        yield role, f"{count} in group {running_workers.group}", "", "", lag
    if solver is not None:
        yield "solver", solver, "", "", ""


def missing(workers: Mapping[str, Running] | None, solver: str | None, store_read: bool) -> Iterator[str]:
    """A warning for each role without a worker, as far as that is known."""
    absent = [role for role, running_workers in (workers or {}).items() if not running_workers.members]
    if store_read and solver is None:
        absent.append("solver")
    for role in absent:
        yield f"no {role} is running, so {WITHOUT[role]} (`hurnet {role}`)"
