"""Reading one record of each partition, apart from any group: does the log still hold what we read of it?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing

from kafka import KafkaConsumer, TopicPartition

from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.consumer import make_consumer
from hurnet_stream.errors import KafkaFailing
from hurnet_stream.ports import Record
from hurnet_stream.settings.settings import KafkaSettings

_PATIENCE = 3
"""Times `request_timeout` that the records are waited for."""
_FETCH_BYTES = 1
"""A broker gives the first batch whole, however large it is, and with this limit nothing after it."""


def records_at(settings: KafkaSettings, topic: str, offsets: Mapping[int, int]) -> dict[int, Record | None]:
    """By partition, the committed record at the given offset, which must lie before the partition's end; None
    if there is none: retention, compaction or a transaction has left a hole.

    Raises `KafkaFailing` if the brokers don't give them in time.
    """
    if not offsets:
        return {}
    wanted = {TopicPartition(topic, partition): offset for partition, offset in offsets.items()}
    records: dict[int, Record | None] = {}
    deadline = time.monotonic() + _PATIENCE * settings.request_timeout
    with (
        translated(f"reading single records of {topic}"),
        closing(make_consumer(settings, max_partition_fetch_bytes=_FETCH_BYTES)) as consumer,
    ):
        consumer.assign(list(wanted))
        for partition, offset in wanted.items():
            consumer.seek(partition, offset)
        while missing := {at: offset for at, offset in wanted.items() if at.partition not in records}:
            if time.monotonic() > deadline:
                raise KafkaFailing(f"the broker gave no record of {topic} in time")
            records |= _polled(consumer, missing)
    return records


def _polled(consumer: KafkaConsumer, missing: Mapping[TopicPartition, int]) -> dict[int, Record | None]:
    """What one poll tells of the records that are still missing."""
    polled = consumer.poll(timeout_ms=200)
    known: dict[int, Record | None] = {}
    for at, offset in missing.items():
        first = next(iter(polled.get(at, ())), None)
        if first is not None:
            known[at.partition] = first if first.offset == offset else None
        elif consumer.position(at) > offset:  # the fetch held nothing but markers or aborted records
            known[at.partition] = None
    return known
