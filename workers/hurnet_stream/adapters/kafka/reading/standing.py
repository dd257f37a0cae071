"""What was heard of the topics that a consumer reads: their ends, their retention, and who else reads them.

What is asked is by topic, what is told by shard (partitions.py). Nothing here ever waits for a broker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from hurnet_stream.adapters.kafka.reading.asking import Asker
from hurnet_stream.adapters.kafka.reading.ends import Ends
from hurnet_stream.adapters.kafka.reading.others import Others
from hurnet_stream.adapters.kafka.reading.partitions import Partitions
from hurnet_stream.adapters.kafka.reading.retention import Retention
from hurnet_stream.core.places import partition_of
from hurnet_stream.ports import EndOffsets
from hurnet_stream.settings.settings import KafkaSettings

LAG_INTERVAL_S = 5.0
LAG_BELIEVED_S = 15.0
"""What was last heard of the ends of partitions is believed for three times the interval."""


class Standing:
    """What was last heard of the topics that one consumer reads."""

    def __init__(self, settings: KafkaSettings, partitions: Partitions, group: str) -> None:
        self._partitions = partitions
        self._begun = time.monotonic()
        self._ends = Ends(settings)
        for topic in partitions.topics:
            self._ends.of(topic, LAG_INTERVAL_S)
        self._asker = Asker(settings, "kafka-questions")  # the ends never wait for the answers to these
        self._retention = {topic: Retention(settings, topic, self._asker) for topic in partitions.topics}
        self._others = {topic: Others(settings, topic, group, self._asker) for topic in partitions.topics}

    def of(self, topic: str, max_age_s: float) -> EndOffsets | None:
        """The ends of any topic; None before the first answer."""
        return self._ends.of(topic, max_age_s)

    def others_read_all(self) -> bool:
        """Whether other members of the group read all partitions of all topics, as far as is known."""
        ends = {topic: self._ends.of(topic, LAG_INTERVAL_S) for topic in self._partitions.topics}
        return all([self._others[topic].read_all(end) for topic, end in ends.items()])

    def written(self) -> dict[int, int]:
        """The end of each shard, as far as anything was heard."""
        return self._by_shard(lambda ends: ends.written)

    def held_back(self, owned: Collection[int]) -> dict[int, int]:
        """How many records of each of these shards wait for the end of a transaction, if there are any."""
        written, readable = self.written(), self._by_shard(lambda ends: ends.readable)
        held = {shard: written.get(shard, 0) - readable.get(shard, 0) for shard in owned}
        return {shard: count for shard, count in held.items() if count > 0}

    def unheard(self) -> set[str]:
        """The topics of which nothing was heard for too long."""
        now = time.monotonic()
        asked = {topic: self._ends.of(topic, LAG_INTERVAL_S) for topic in self._partitions.topics}
        return {
            t for t, ends in asked.items() if now - (ends.asked if ends else self._begun) > LAG_BELIEVED_S
        }

    def headroom(
        self, owned: Collection[int], needed: Callable[[], Mapping[int, int]]
    ) -> Mapping[int, float]:
        """Of each of these shards, the share of the retention that is left (retention.py)."""
        left: dict[int, float] = {}
        for topic, shards in self._partitions.by_topic(owned).items():

            def needed_of(shards: Collection[int] = tuple(shards)) -> dict[int, int]:
                return {partition_of(shard): offset for shard, offset in needed().items() if shard in shards}

            of_topic = self._retention[topic].headroom({partition_of(shard) for shard in shards}, needed_of)
            left |= self._partitions.by_shard(topic, of_topic)
        return left

    def close(self) -> None:
        self._ends.close()
        self._asker.close()

    def _by_shard(self, which: Callable[[EndOffsets], Mapping[int, int]]) -> dict[int, int]:
        found: dict[int, int] = {}
        for topic in self._partitions.topics:
            if ends := self._ends.of(topic, LAG_INTERVAL_S):
                found |= self._partitions.by_shard(topic, which(ends))
        return found
