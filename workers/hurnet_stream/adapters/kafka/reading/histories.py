"""Several topics read again from as far back as they reach, by shards and positions (core/places.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hurnet_stream.adapters.kafka.reading.history import KafkaHistory
from hurnet_stream.adapters.kafka.reading.partitions import Partitions
from hurnet_stream.core.places import Topics, first_position, number_of, offset_of, partition_of
from hurnet_stream.core.stored.batch import LogIdentity
from hurnet_stream.ports import OffsetRange, Record
from hurnet_stream.settings.settings import KafkaSettings


class KafkaHistories:
    """Fills `hurnet_stream.ports.History` for the topic of texts and all others that a store has numbered."""

    def __init__(self, settings: KafkaSettings, topics: Topics) -> None:
        self._partitions = Partitions(topics)
        self._of = {topic: KafkaHistory(settings, topic) for topic in self._partitions.topics}

    def offset_ranges(self) -> dict[int, OffsetRange]:
        """Which positions each shard has records for. Raises `ConfigurationError` if a topic is not there."""
        return {
            shard: OffsetRange(first_position(shard, held.first), first_position(shard, held.end))
            for topic, history in self._of.items()
            for shard, held in self._partitions.by_shard(topic, history.offset_ranges()).items()
        }

    def log(self) -> LogIdentity:
        """That of the topic of texts. Raises `KafkaFailing` if the brokers don't tell."""
        return self._of[self._partitions.topics[0]].log()

    def topic_ids(self) -> Mapping[str, str]:
        """The UUIDs of the others. Raises `KafkaFailing` if the brokers don't tell."""
        return {topic: self._of[topic].log().topic for topic in self._partitions.topics[1:]}

    def compacted(self) -> frozenset[int]:
        """The numbers of the topics that are compacted."""
        compacted = (topic for topic, history in self._of.items() if history.is_compacted())
        return frozenset(map(self._partitions.number, compacted))

    def tombstones_kept_ms(self) -> int | None:
        """How long compacted topics keep records without a value at least; None if none is compacted."""
        kept_ms = [history.tombstones_kept_ms() for history in self._of.values()]
        return min((each for each in kept_ms if each is not None), default=None)

    def read(self, partition: int, first: int, last: int) -> Iterator[Sequence[Record]]:
        """The records of a shard that have a position from `first` to `last`, in blocks."""
        topic, offsets = self._partitions.topic(partition), (offset_of(partition, at) for at in (first, last))
        number = number_of(partition)
        for block in self._of[topic].read(partition_of(partition), *offsets):
            yield [replace(record, number=number) for record in block] if number else block

    def close(self) -> None:
        for history in self._of.values():
            history.close()
