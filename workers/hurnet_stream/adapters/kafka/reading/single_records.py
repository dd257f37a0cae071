"""Reading a few records of each partition, apart from any group.

records_at              does the log still hold what we read of it?
newest_timestamps_ms    how old is what is to be read next?
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from kafka import TopicPartition

from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.consumer import make_consumer
from hurnet_stream.errors import KafkaFailing
from hurnet_stream.ports import OffsetRange, Record
from hurnet_stream.settings.settings import KafkaSettings

_PATIENCE = 3
"""Times `request_timeout` that the records are waited for."""
_ONE_BATCH = 1
"""Bytes of a fetch. A broker gives the first batch whole, however large it is, and after it nothing more."""


def records_at(settings: KafkaSettings, topic: str, offsets: Mapping[int, int]) -> dict[int, Record | None]:
    """By partition, the committed record at the given offset, which must lie before the partition's end; None
    if there is none: retention, compaction or a transaction has left a hole.

    Raises `KafkaFailing` if the brokers don't give them in time.
    """
    ranges = {partition: OffsetRange(offset, offset + 1) for partition, offset in offsets.items()}
    first: dict[int, Record | None] = dict.fromkeys(offsets)
    for record in _read(settings, topic, ranges):
        if record.offset == offsets[record.partition]:
            first[record.partition] = record
    return first


def newest_timestamps_ms(
    settings: KafkaSettings, topic: str, ranges: Mapping[int, OffsetRange]
) -> dict[int, int]:
    """By partition, the newest timestamp in the first batch of its range that holds records, also of a
    transaction that is open or was aborted.

    Partitions without such records are left out. Raises as `records_at`.
    """
    newest: dict[int, int] = {}
    for record in _read(settings, topic, ranges, isolation_level="read_uncommitted"):
        newest[record.partition] = max(record.timestamp_ms, newest.get(record.partition, 0))
    return newest


def _read(
    settings: KafkaSettings,
    topic: str,
    ranges: Mapping[int, OffsetRange],
    isolation_level: str = "read_committed",
) -> Iterator[Record]:
    """The records in the first batch of each range that holds some."""
    missing = {TopicPartition(topic, partition): held for partition, held in ranges.items()}
    if not missing:
        return
    deadline = time.monotonic() + _PATIENCE * settings.request_timeout
    with (
        translated(f"reading single records of {topic}"),
        closing(
            make_consumer(settings, max_partition_fetch_bytes=_ONE_BATCH, isolation_level=isolation_level)
        ) as consumer,
    ):
        _assign(consumer, missing)
        while missing:
            if time.monotonic() > deadline:
                raise KafkaFailing(f"the broker gave no record of {topic} in time")
            polled = consumer.poll(timeout_ms=200)
            for at, held in list(missing.items()):
                records = [record for record in polled.get(at, ()) if record.offset < held.end]
                yield from records
                # The position tells the end, too: the last offsets may be markers or aborted records.
                if records or consumer.position(at) >= held.end:
                    del missing[at]
            consumer.pause(*(at for at in consumer.assignment() if at not in missing))


def _assign(consumer: Any, ranges: Mapping[TopicPartition, OffsetRange]) -> None:
    consumer.assign(list(ranges))
    for at, held in ranges.items():
        consumer.seek(at, held.first)
