"""What the group has committed: a next offset for each partition, a string beside it, and a leader epoch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.client import internals
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading import epochs
from hurnet_stream.adapters.kafka.reading.partitions import Partitions
from hurnet_stream.core.places import partition_of
from hurnet_stream.ports import Committed

_log = logging.getLogger(__name__)

_LOST_TO_A_REBALANCE = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.UnknownMemberIdError,
)


class Commits:
    """The commits of one consumer's group."""

    def __init__(self, consumer: Any, partitions: Partitions, timeout_ms: int) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._topic = ", ".join(partitions.topics)  # for messages
        self._timeout_ms = timeout_ms
        self._epochs: dict[int, int] = {}
        """By partition: the leader epoch that was committed, as `read` last saw it."""

    def read(self, partitions: frozenset[int]) -> dict[int, Committed | None]:
        """What is committed of `partitions`; None for one of which nothing is. Asked of the group, never of a
        cache, and the answer waits for commits that are part of a transaction under way."""
        if not partitions:
            return {}
        asked = [self._partitions.at(partition) for partition in partitions]
        with translated(f"asking for the committed offsets of {self._topic}"):
            offsets = internals.committed_offsets(self._consumer, asked, self._timeout_ms)
        by_shard = {self._partitions.shard(at): each for at, each in offsets.items()}
        known = {p: Committed(each.offset, each.metadata or "") for p, each in by_shard.items()}
        self._epochs |= {p: each.leader_epoch for p, each in by_shard.items()}
        return {partition: known.get(partition) for partition in partitions}

    def cuts(self, ends: Mapping[int, int]) -> dict[int, int]:
        """The offset at which the log was cut off since the commits that `read` saw last, for each partition
        that was cut off before its end in `ends`."""
        found: dict[int, int] = {}
        for topic, shards in self._partitions.by_topic(ends).items():
            read_to = {partition_of(s): (ends[s], self._epochs.get(s, -1)) for s in shards}
            with translated(f"asking what is left of {topic}"):
                cuts = epochs.cuts(self._consumer, topic, read_to, self._timeout_ms)
            found |= self._partitions.by_shard(topic, cuts)
        return found

    def write(self, next_offsets: Mapping[int, int], notes: Mapping[int, str]) -> None:
        """Commit, with a string beside each offset."""
        with translated(f"committing offsets of {self._topic}"):
            try:
                self._consumer.commit(self.entries(next_offsets, notes), timeout_ms=self._timeout_ms)
            except _LOST_TO_A_REBALANCE as error:
                # Whoever owns the partitions now starts from what is stored: nothing is lost.
                _log.debug("offsets of %s not committed: %s", self._topic, error)

    def entries(
        self, next_offsets: Mapping[int, int], notes: Mapping[int, str]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """kafka-python's form of a commit."""
        entries: dict[TopicPartition, OffsetAndMetadata] = {}
        for partition, offset in next_offsets.items():
            at = self._partitions.at(partition)
            # Kept with the offset, so that after a restart `cuts` can ask whether that log is still there.
            epoch = internals.position_epoch(self._consumer, at)
            entries[at] = OffsetAndMetadata(offset, notes.get(partition, ""), epoch)
        return entries
