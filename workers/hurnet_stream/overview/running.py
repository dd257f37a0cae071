"""Which workers run: all but the solver are in Kafka's consumer groups, the solver holds a lease."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    """The workers of one role. `committed` are the next offsets that they will read, by partition;
    `lag_records` is None if it could not be learned."""

    group: str
    members: tuple[dict[str, Any], ...]
    lag_records: int | None
    committed: Mapping[int, int] = field(default_factory=dict)


def read_by(settings: Settings) -> dict[str, tuple[str, str]]:
    """The consumer group of each role that has one, and the topic that it reads."""
    kafka = settings.kafka
    return {
        "ingest": (settings.ingest.group, kafka.texts),
        "responder": (settings.responder.group, kafka.queries),
        "feedback": (settings.feedback.group, kafka.feedback),
    }


def running(group: Group, unread: Mapping[tuple[str, int], int]) -> Running:
    """The workers in a group. `unread` counts records by topic and partition."""
    members = tuple(
        {"worker": member.client, "host": member.host, "partitions": list(member.partitions)}
        for member in group.members
    )
    behind = [records for (topic, _), records in unread.items() if topic == group.topic]
    return Running(group.name, members, sum(behind) if behind else None, dict(group.committed))


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
