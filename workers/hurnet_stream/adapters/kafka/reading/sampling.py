"""A sample of a topic: some records of each partition, from its oldest to its newest.

    1,000 of 80,000 records in 2 partitions: 8 windows of 62 records in each

    partition 0    ├──┤·········├──┤·········├──┤······ ... ······├──┤    the last one ends at the newest
    record

It joins no group, commits nothing, and reads committed records only. It is bounded in records, bytes and
time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from kafka import TopicPartition

from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.consumer import make_consumer, offset_ranges
from hurnet_stream.errors import ConfigurationError, KafkaFailing
from hurnet_stream.ports import OffsetRange, Record
from hurnet_stream.settings.settings import KafkaSettings

BYTES_MOST: Final = 64 << 20
"""Bytes of all values together."""
WINDOWS_MOST: Final = 48
"""Windows of all partitions together: each takes a round trip or two."""
PER_PARTITION: Final = 8
POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """The records, in the order of their partitions and offsets."""

    records: Sequence[Record]
    held: Mapping[int, OffsetRange]
    """Which offsets each partition holds."""
    cut_short: bool
    """Whether the time ended before all of it was read."""

    @property
    def offsets(self) -> int:
        """How many offsets the topic holds, which are at least as many as its records."""
        return sum(held.end - held.first for held in self.held.values())


@dataclass(frozen=True, slots=True)
class Window:
    """At most `records` of those from `first` on, before `end`."""

    partition: int
    first: int
    end: int
    records: int


def sample(settings: KafkaSettings, topic: str, most: int, seconds_most: float) -> Sample:
    """At most so many records, read in at most so many seconds. Raises `ConfigurationError` if there is no
    such topic, and `KafkaFailing` if the brokers give nothing of what it holds."""
    deadline = time.monotonic() + seconds_most
    with closing(make_consumer(settings, max_poll_records=most)) as consumer:
        with translated(f"asking for the offsets of {topic}"):
            at = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
            if not at:
                raise ConfigurationError(f"no such topic: {topic}, or no right to see it")
            held = offset_ranges(consumer, at)
        records: list[Record] = []
        planned = windows(held, most)
        for window in planned:
            records += _read(consumer, topic, window, BYTES_MOST // len(planned), deadline)
        if planned and not records and time.monotonic() > deadline:
            raise KafkaFailing(f"{topic} gave no record in {seconds_most:g} s")
    return Sample(records, held, cut_short=time.monotonic() > deadline)


def windows(held: Mapping[int, OffsetRange], most: int) -> list[Window]:
    """What to read of partitions that hold these offsets: of each as much as it has of all, oldest first."""
    full = {
        partition: held[partition]
        for partition in sorted(held)
        if held[partition].end > held[partition].first
    }
    full = _some(full, min(most, WINDOWS_MOST))
    total = sum(each.end - each.first for each in full.values())
    count = max(1, min(PER_PARTITION, WINDOWS_MOST // max(1, len(full))))
    planned: list[Window] = []
    for number, (partition, each) in enumerate(full.items()):
        share = max(1, most * (each.end - each.first) // max(most, total))
        planned += _of_partition(partition, each, share, min(count, share), number / max(1, len(full) - 1))
    return planned


def _some(held: dict[int, OffsetRange], most: int) -> dict[int, OffsetRange]:
    """At most so many of the partitions, evenly chosen."""
    step = -(-len(held) // most)
    return dict(list(held.items())[::step]) if held else held


def _of_partition(
    partition: int, held: OffsetRange, share: int, count: int, place: float
) -> Iterator[Window]:
    """`count` windows of `share` records together. A single one is at a place from 0, the oldest, to 1."""
    sizes = [share // count + (row < share % count) for row in range(count)]
    length = held.end - held.first
    if share >= length:
        yield Window(partition, held.first, held.end, length)
        return
    places = [row / (count - 1) for row in range(count)] if count > 1 else [place]
    firsts = [held.first + round((length - size) * p) for p, size in zip(places, sizes, strict=True)]
    for first, size, end in zip(firsts, sizes, [*firsts[1:], held.end], strict=True):
        yield Window(partition, first, end, size)


def _read(consumer: Any, topic: str, window: Window, bytes_most: int, deadline: float) -> Iterator[Record]:
    """The records of a window, up to the time, or as many as have so many bytes."""
    at = TopicPartition(topic, window.partition)
    with translated(f"reading {topic}/{window.partition}"):
        consumer.assign([at])
        consumer.seek(at, window.first)
    left, left_bytes = window.records, bytes_most
    while left > 0 and left_bytes > 0 and time.monotonic() < deadline:
        with translated(f"reading {topic}/{window.partition}"):
            polled = consumer.poll(timeout_ms=milliseconds(POLL_S), max_records=left).get(at, ())
            position = consumer.position(at)
        for record in polled:
            if record.offset < window.end and left_bytes > 0:
                left, left_bytes = left - 1, left_bytes - len(record.value or b"") - len(record.key or b"")
                yield record
        if position >= window.end:
            return
