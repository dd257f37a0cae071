"""The topic of texts read again, by nobody's group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from kafka import TopicPartition

from hurnet.adapters.kafka.client.connection import milliseconds, translated
from hurnet.adapters.kafka.reading import consumer as consuming
from hurnet.core.stored.batch import LogIdentity
from hurnet.errors import ConfigurationError, KafkaFailing
from hurnet.ports import OffsetRange, Record
from hurnet.settings.settings import KafkaSettings

POLL_S = 0.5
STALL_S = 30.0
BLOCK = 1_000
"""Most records of a block."""


class KafkaHistory:
    """`History` (see the ports) of one topic."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._topic = topic
        self._consumer: Any = consuming.consumer(settings, max_poll_records=BLOCK)

    def offset_ranges(self) -> dict[int, OffsetRange]:
        with translated(f"asking for the offsets of {self._topic}"):
            partitions = [
                TopicPartition(self._topic, p) for p in self._consumer.partitions_for_topic(self._topic) or ()
            ]
            if not partitions:
                raise ConfigurationError(f"no such topic: {self._topic}")
            return consuming.offset_ranges(self._consumer, partitions)

    def log(self) -> LogIdentity:
        """Which one it is. Raises `TransientError` where the brokers don't tell."""
        self.offset_ranges()  # has the metadata by then
        found = consuming.identity(self._consumer, self._topic)
        if found is None:
            raise KafkaFailing(
                f"the brokers don't tell the UUID of {self._topic}: they are older than Kafka 2.8"
            )
        return found

    def read(self, partition: int, first: int, last: int) -> Iterator[Sequence[Record]]:
        at = TopicPartition(self._topic, partition)
        with translated(f"reading {self._topic}/{partition}"):
            self._consumer.assign([at])
            self._consumer.seek(at, first)
        moved = time.monotonic()
        while True:
            with translated(f"reading {self._topic}/{partition}"):
                found = self._consumer.poll(timeout_ms=milliseconds(POLL_S)).get(at, ())
                reached = self._consumer.position(at)
            block = [record for record in found if record.offset <= last]
            if block:
                yield block
                moved = time.monotonic()
            if reached > last:
                return
            if time.monotonic() - moved > STALL_S:
                raise KafkaFailing(f"{self._topic}/{partition} gave no record for {STALL_S:g} s")

    def close(self) -> None:
        self._consumer.close()
