"""The in-memory twin of `KafkaHistory`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hurnet_stream.ports import OffsetRange, Record
from tests.memory.kafka import MemoryKafka


class MemoryHistory:
    """`History` of a topic, in blocks of three."""

    def __init__(self, kafka: MemoryKafka, topic: str = "texts") -> None:
        self.kafka = kafka
        self.topic = topic

    def offset_ranges(self) -> dict[int, OffsetRange]:
        held = enumerate(self.kafka.topics[self.topic])
        return {p: OffsetRange(partition.first, partition.end) for p, partition in held}

    def read(self, partition: int, first: int, last: int) -> Iterator[Sequence[Record]]:
        held = self.kafka.partition(self.topic, partition).records
        records = [record for record in held if record and first <= record.offset <= last]
        for at in range(0, len(records), 3):
            yield records[at : at + 3]

    def close(self) -> None:
        """Nothing to close."""
