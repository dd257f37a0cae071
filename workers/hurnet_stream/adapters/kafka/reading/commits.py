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
from hurnet_stream.ports import Committed

_log = logging.getLogger(__name__)

_LOST_TO_A_REBALANCE = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.UnknownMemberIdError,
)


class Commits:
    """The commits of one consumer's group on one topic."""

    def __init__(self, consumer: Any, topic: str, timeout_ms: int) -> None:
        self._consumer = consumer
        self._topic = topic
        self._timeout_ms = timeout_ms
        self._epochs: dict[int, int] = {}
        """By partition: the leader epoch that was committed, as `read` last saw it."""

    def read(self, partitions: frozenset[int]) -> dict[int, Committed | None]:
        """What is committed of `partitions`; None for one of which nothing is. Asked of the group, never of a
        cache, and the answer waits for commits that are part of a transaction under way."""
        if not partitions:
            return {}
        asked = [TopicPartition(self._topic, partition) for partition in partitions]
        with translated(f"asking for the committed offsets of {self._topic}"):
            offsets = internals.committed_offsets(self._consumer, asked, self._timeout_ms)
        known = {at.partition: Committed(each.offset, each.metadata or "") for at, each in offsets.items()}
        self._epochs |= {at.partition: each.leader_epoch for at, each in offsets.items()}
        return {partition: known.get(partition) for partition in partitions}

    def cuts(self, ends: Mapping[int, int]) -> dict[int, int]:
        """The offset at which the log was cut off since the commits that `read` saw last, for each partition
        that was cut off before its end in `ends`."""
        read_to = {partition: (end, self._epochs.get(partition, -1)) for partition, end in ends.items()}
        with translated(f"asking what is left of {self._topic}"):
            return epochs.cuts(self._consumer, self._topic, read_to, self._timeout_ms)

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
            at = TopicPartition(self._topic, partition)
            # Kept with the offset, so that after a restart `cuts` can ask whether that log is still there.
            epoch = internals.position_epoch(self._consumer, at)
            entries[at] = OffsetAndMetadata(offset, notes.get(partition, ""), epoch)
        return entries
