"""The in-memory twin of `KafkaHistory`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hurnet_stream.ports import OffsetRange, Record
from tests.memory.kafka import MemoryKafka


class MemoryHistory:
    """`History` of the topic of texts, in blocks of three."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self.kafka = kafka

    def offset_ranges(self) -> dict[int, OffsetRange]:
        held = {p: self.kafka.partition("texts", p) for p in range(2)}
        return {p: OffsetRange(partition.first, partition.end) for p, partition in held.items()}

    def read(self, partition: int, first: int, last: int) -> Iterator[Sequence[Record]]:
        records = [
            r for r in self.kafka.partition("texts", partition).records if r and first <= r.offset <= last
        ]
        for at in range(0, len(records), 3):
            yield records[at : at + 3]

    def close(self) -> None:
        """Nothing to close."""
