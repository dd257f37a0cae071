"""The in-memory twin of `KafkaSource` on several topics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from hurnet_stream.core.places import Topics, number_of, partition_of, shard_of
from hurnet_stream.core.stored.batch import LogIdentity
from hurnet_stream.errors import StoreGap
from hurnet_stream.ports import OffsetRange, Polled, Record
from tests.memory.kafka import MemoryKafka
from tests.memory.source import MemorySource

T = TypeVar("T")


class MemoryTopicsSource:
    """Fills `hurnet_stream.ports.Source` by a source for each topic. The first one is that of texts."""

    def __init__(self, kafka: MemoryKafka, topics: Topics, group: str) -> None:
        self._kafka = kafka
        self._names = list(topics.numbers)
        self._of = {
            number: MemorySource(kafka, name, f"{group}-{name}") for name, number in topics.numbers.items()
        }

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        records: list[Record] = []
        assigned, revoked = set[int](), set[int]()
        gaps: list[StoreGap] = []
        for number, source in self._of.items():
            try:
                polled = source.poll(0, max_records)
            except StoreGap as gap:
                gaps.append(gap)
                continue
            records += [replace(record, number=number) for record in polled.records]
            assigned |= {shard_of(number, p) for p in polled.assigned}
            revoked |= {shard_of(number, p) for p in polled.revoked}
        if gaps:
            raise gaps[0]
        return Polled(records, frozenset(assigned), frozenset(revoked))

    def assignment(self) -> frozenset[int]:
        return frozenset(shard_of(n, p) for n, source in self._of.items() for p in source.assignment())

    def rebalances(self) -> int:
        return sum(source.rebalances() for source in self._of.values())

    def has_share(self) -> bool:
        return all(source.has_share() for source in self._of.values())

    def seek(self, partition: int, offset: int) -> None:
        self._of[number_of(partition)].seek(partition_of(partition), offset)

    def pause(self, partitions: frozenset[int]) -> None:
        for number, source in self._of.items():
            source.pause(frozenset(partition_of(s) for s in partitions if number_of(s) == number))

    def offset_ranges(self, partitions: frozenset[int]) -> Mapping[int, OffsetRange]:
        return self._told(lambda source, of_topic: source.offset_ranges(frozenset(of_topic)), partitions)

    def log(self) -> LogIdentity | None:
        return self._of[0].log()

    def topic_ids(self) -> Mapping[str, str]:
        return {name: self._kafka.ids[name] for name in self._names[1:] if name in self._kafka.ids}

    def records_at(self, offsets: Mapping[int, int]) -> Mapping[int, Record | None]:
        found: dict[int, Record | None] = {}
        for shard, offset in offsets.items():
            partition = partition_of(shard)
            found[shard] = self._of[number_of(shard)].records_at({partition: offset})[partition]
        return found

    def compacted(self, partition: int) -> bool:
        return self._of[number_of(partition)].compacted(partition_of(partition))

    def positions(self) -> Mapping[int, int]:
        return self._told(lambda source, _: source.positions(), self.assignment())

    def lag(self) -> Mapping[int, int]:
        return self._told(lambda source, _: source.lag(), self.assignment())

    def held_back(self) -> Mapping[int, int]:
        return {}

    def retention_headroom(self) -> Mapping[int, float]:
        return {}

    def committed(self, partitions: frozenset[int]) -> Mapping[int, int | None]:
        return self._told(lambda source, of_topic: source.committed(frozenset(of_topic)), partitions)

    def commit(self, next_offsets: Mapping[int, int], notes: Mapping[int, str] | None = None) -> None:
        for number, source in self._of.items():
            source.commit({partition_of(s): o for s, o in next_offsets.items() if number_of(s) == number})

    def close(self) -> None:
        for source in self._of.values():
            source.close()

    def _told(
        self, ask: Callable[[MemorySource, list[int]], Mapping[int, T]], shards: Iterable[int]
    ) -> dict[int, T]:
        told: dict[int, T] = {}
        for number, source in self._of.items():
            of_topic = [partition_of(shard) for shard in shards if number_of(shard) == number]
            if of_topic:
                answer = ask(source, of_topic)
                told |= {shard_of(number, partition): value for partition, value in answer.items()}
        return told
