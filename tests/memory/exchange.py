"""The in-memory twin of `TransactionalExchange`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hurnet_stream.errors import Stalled, Superseded, Undeliverable
from hurnet_stream.ports import Committed, Outgoing, RollBack
from tests.memory.kafka import MemoryKafka
from tests.memory.source import MemorySource


class MemoryExchange(MemorySource):
    """Fills `hurnet_stream.ports.Exchange`."""

    def __init__(self, kafka: MemoryKafka, topic: str, group: str, transactional_id: str) -> None:
        super().__init__(kafka, topic, group, reset="earliest")
        self._transactional_id = transactional_id
        self._epoch = kafka.fence(transactional_id)
        self._rolled_back_by: RollBack = "broker"
        self._written: Sequence[tuple[int, int]] = ()

    def rolled_back_by(self) -> RollBack:
        return self._rolled_back_by

    def progress(self, partitions: frozenset[int]) -> Mapping[int, Committed | None]:
        return {
            p: None if offset is None else Committed(offset, self._group.notes.get(p, ""))
            for p, offset in self.committed(partitions).items()
        }

    def deliver(
        self,
        messages: Sequence[Outgoing],
        next_offsets: Mapping[int, int],
        notes: Mapping[int, str] | None = None,
    ) -> bool:
        with self._kafka.changed:
            if self._epoch != self._kafka.epoch(self._transactional_id):
                raise Superseded(f"another worker uses the transactional id {self._transactional_id}")
            if self._kafka.away or not self._positions.keys() >= next_offsets.keys():
                self._rolled_back_by = "broker" if self._kafka.away else "partitions-lost"
                self.rewind()
                return False
            try:
                failing = self._kafka.failing()
                placed = self._kafka.append(messages, mark="aborted" if failing else "committed")
            except (Stalled, Undeliverable) as error:
                self._rolled_back_by = "stalled" if isinstance(error, Stalled) else "refused"
                self.rewind()
                raise
            if failing:
                self._rolled_back_by = "broker"
                self.rewind()
                return False
            self._group.commit(next_offsets, notes or {}, self._epochs)
            self._written = placed
            return True

    def written(self) -> Sequence[tuple[int, int]]:
        return self._written

    def has_topic(self, topic: str) -> bool:
        self._kafka.check_reachable()
        return self._kafka.has(topic)

    def unwritable(self, topic: str) -> str | None:
        self._kafka.check_reachable()
        return None if self._kafka.has(topic) else "it does not exist"
