"""The partitions that one consumer reads, by the numbers of their shards (core/places.py).

A consumer of one topic knows its partitions by their own numbers. That of ingest reads several topics:

    texts/2       shard 2
    tickets/3     shard 65,539, if the store gave tickets the number 1
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from kafka import TopicPartition

from hurnet_stream.core.places import Topics, number_of, partition_of, shard_of

T = TypeVar("T")


class Partitions:
    """Names for shards in Kafka, and back."""

    def __init__(self, topics: Topics) -> None:
        self._numbers = dict(topics.numbers)
        self._names = {number: name for name, number in self._numbers.items()}

    @property
    def topics(self) -> list[str]:
        """The names of all topics."""
        return list(self._numbers)

    def topic(self, shard: int) -> str:
        """The name of a shard's topic."""
        return self._names[number_of(shard)]

    def number(self, topic: str) -> int:
        """The number of a topic."""
        return self._numbers[topic]

    def at(self, shard: int) -> TopicPartition:
        """The partition of a shard, as kafka-python names it."""
        return TopicPartition(self.topic(shard), partition_of(shard))

    def shard(self, at: TopicPartition) -> int:
        """The shard of a partition. Raises ValueError if its topic has too many of them."""
        return shard_of(self._numbers[at.topic], at.partition)

    def by_topic(self, shards: Iterable[int]) -> dict[str, list[int]]:
        """The shards of each topic that has some of these."""
        found: dict[str, list[int]] = {}
        for shard in shards:
            found.setdefault(self.topic(shard), []).append(shard)
        return found

    def by_shard(self, topic: str, of_partitions: Mapping[int, T]) -> dict[int, T]:
        """What is known by the partitions of one topic, by shard."""
        return {shard_of(self._numbers[topic], p): each for p, each in of_partitions.items()}
