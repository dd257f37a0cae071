"""The in-memory twin of `KafkaListener`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hurnet_stream.ports import Record
from tests.memory.kafka import MemoryKafka


class MemoryListener:
    """Fills `hurnet_stream.ports.Listener`."""

    def __init__(self, kafka: MemoryKafka, topic: str, partitions: Collection[int]) -> None:
        kafka.check_reachable()
        self._kafka = kafka
        self._topic = topic
        self._positions = {p: kafka.partition(topic, p).end for p in partitions}
        self.closed = False

    def poll(self, timeout_s: float) -> Sequence[Record]:
        with self._kafka.changed:
            if not (new := self._new()):
                self._kafka.changed.wait(timeout_s)
                new = self._new()
        return new

    def close(self) -> None:
        self.closed = True

    def _new(self) -> list[Record]:
        self._kafka.check_reachable()
        new: list[Record] = []
        for partition, position in self._positions.items():
            held = self._kafka.partition(self._topic, partition)
            new += [r for o in range(position, held.end) if (r := held.at(o))]
            self._positions[partition] = held.end
        return new
