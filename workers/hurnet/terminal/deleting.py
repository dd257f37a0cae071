"""What commands that delete share: records sent to the topic of texts, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hurnet.ports import DeletionAudit, Outgoing, WeightsStore
    from hurnet.settings.settings import KafkaSettings

EntryId = tuple[int, int]

EXIT_LATE, EXIT_MISSING = 1, 3
POLL_S = 0.2
BEYOND_REACH = (
    "Out of reach: Kafka keeps the records until retention or compaction takes them, and so it does answers"
    " that quote them, and dead letters; the store's append-only file until its next rewrite; and backups as"
    " long as you keep them."
)
NOT_YET = "not done yet: are `hurnet ingest` and `hurnet solver` running? See `hurnet forget --log`"


@dataclass(slots=True)
class Wanted:
    """Something to delete: how it is called, by what it is asked for, and what became of that."""

    name: str
    messages: list[Outgoing]
    records: list[EntryId] = field(default_factory=list)
    done: list[DeletionAudit] = field(default_factory=list)

    @property
    def deleted(self) -> int:
        """Entries."""
        return sum(unlearned.entries for unlearned in self.done)

    @property
    def settled(self) -> bool:
        """Whether all of it is done."""
        return len(self.done) == len(self.records)


def send(kafka: KafkaSettings, wanted: Sequence[Wanted]) -> dict[int, int]:
    """Ask for all of it; returns the last offset of each partition."""
    from hurnet.adapters.kafka import KafkaSink

    sink = KafkaSink(kafka)
    try:
        places = iter(sink.send([message for one in wanted for message in one.messages]))
    finally:
        sink.close()
    watermarks: dict[int, int] = {}
    for one in wanted:
        one.records = [next(places) for _ in one.messages]
        for partition, offset in one.records:
            watermarks[partition] = max(offset, watermarks.get(partition, -1))
    return watermarks


def follow(store: WeightsStore, wanted: Sequence[Wanted], wait: float) -> Iterator[DeletionAudit]:
    """The audits of what was asked for, as they come, for so many seconds at most."""
    owners = {record: one for one in wanted for record in one.records}
    deadline = time.monotonic() + wait
    while owners:
        for unlearned in store.audit_of(list(owners)):
            owners.pop((unlearned.partition, unlearned.deletion.offset)).done.append(unlearned)
            yield unlearned
        if time.monotonic() >= deadline:
            return
        time.sleep(min(POLL_S, wait))
