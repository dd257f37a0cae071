"""A topic read again from as far back as it reaches, by no consumer group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from kafka import TopicPartition

from hurnet_stream.adapters.kafka.admin.lookup import TopicLookup
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.consumer import log_identity, make_consumer, offset_ranges
from hurnet_stream.core.stored.batch import LogIdentity
from hurnet_stream.errors import ConfigurationError, HurnetError, KafkaFailing
from hurnet_stream.ports import OffsetRange, Record
from hurnet_stream.settings.settings import KafkaSettings

POLL_S = 0.5
STALL_S = 30.0
DAY_MS = 86_400_000
"""Kafka's delete.retention.ms, if it is not told."""
BLOCK = 1_000
"""The most records of a block."""


class KafkaHistory:
    """Fills `hurnet_stream.ports.History`."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._consumer: Any = make_consumer(settings, max_poll_records=BLOCK)

    def offset_ranges(self) -> dict[int, OffsetRange]:
        """Raises `ConfigurationError` if there is no such topic."""
        with translated(f"asking for the offsets of {self._topic}"):
            partitions = [
                TopicPartition(self._topic, p) for p in self._consumer.partitions_for_topic(self._topic) or ()
            ]
            if not partitions:
                raise ConfigurationError(
                    f"no such topic: {self._topic}, or no right to see it (`hurnet topics` tells which)"
                )
            return offset_ranges(self._consumer, partitions)

    def log(self) -> LogIdentity:
        """Which log it is. Raises `KafkaFailing` if the brokers don't tell."""
        self.offset_ranges()  # asks for the metadata that the identity is in
        identity = log_identity(self._consumer, self._topic)
        if identity is None:
            raise KafkaFailing(
                f"the brokers don't tell the UUID of {self._topic}: they are older than Kafka 2.8"
            )
        return identity

    def tombstones_kept_ms(self) -> int | None:
        """How long a compacted topic keeps records without a value at least; None if it is not compacted."""
        with closing(TopicLookup(self._settings)) as topics:
            config = topics.config(self._topic)
        if "compact" not in config.get("cleanup.policy", ""):
            return None
        return int(config.get("delete.retention.ms", DAY_MS))

    def is_compacted(self) -> bool:
        """Whether Kafka may take single records away. False if this user may not know."""
        try:
            return self.tombstones_kept_ms() is not None
        except HurnetError:
            return False

    def read(self, partition: int, first: int, last: int) -> Iterator[Sequence[Record]]:
        """The committed records at offsets `first` to `last`, in blocks of at most `BLOCK`.

        Raises `KafkaFailing` if none comes for `STALL_S`.
        """
        at = TopicPartition(self._topic, partition)
        with translated(f"reading {self._topic}/{partition}"):
            self._consumer.assign([at])
            self._consumer.seek(at, first)
        moved = time.monotonic()
        while True:
            with translated(f"reading {self._topic}/{partition}"):
                polled = self._consumer.poll(timeout_ms=milliseconds(POLL_S)).get(at, ())
                # The position tells when the end is reached: the last offsets may be a transaction's marker.
                position = self._consumer.position(at)
            block = [record for record in polled if record.offset <= last]
            if block:
                yield block
                moved = time.monotonic()  # after the yield: the caller's own time does not count
            if position > last:
                return
            if time.monotonic() - moved > STALL_S:
                raise KafkaFailing(f"{self._topic}/{partition} gave no record for {STALL_S:g} s")

    def close(self) -> None:
        self._consumer.close()
