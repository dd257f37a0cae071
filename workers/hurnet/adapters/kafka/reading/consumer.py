"""What all our consumers have in common."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection, Mapping
from contextlib import closing
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from hurnet.adapters.kafka.client.connection import connect, translated
from hurnet.adapters.kafka.reading import fetching
from hurnet.core.stored.batch import LogIdentity
from hurnet.errors import KafkaFailing
from hurnet.ports import OffsetRange, Record
from hurnet.settings.settings import KafkaSettings

METADATA_AGE_MS = 1_000
"""So soon a new partition is noticed, and then its group shares out anew; and a topic that was made anew."""
PATIENCE = 3
"""Times the request's time-out that single records are waited for."""
ANY_RECORD_BYTES = 1
"""Asked of a fetch at most: brokers give the first batch whole, however large it is."""


def consumer(settings: KafkaSettings, group: str | None = None, **options: Any) -> KafkaConsumer:
    """Reads committed records, as `Record`s of ours (see fetching.py), commits nothing by itself, and raises
    where a position is no longer held, unless `options` say otherwise. Raises as `connect` does."""
    usual = {
        "isolation_level": "read_committed",
        "auto_offset_reset": "none",
        "metadata_max_age_ms": METADATA_AGE_MS,
    }
    if group is not None:  # so that `hurnet status` can say who is in it
        usual["client_id"] = f"hurnet-{os.getpid()}@{socket.gethostname()}"
    reader = connect(
        KafkaConsumer,
        settings,
        group_id=group,
        enable_auto_commit=False,
        metrics_enabled=False,
        **{**usual, **options},
    )
    fetching.install(reader)
    return reader


def identity(reader: KafkaConsumer, topic: str) -> LogIdentity | None:
    """Of the log of `topic`, as of the last metadata; None while it is not known."""
    cluster = reader._client.cluster
    uuid = cluster.topic_id(topic)
    if not cluster.cluster_id or uuid is None or not uuid.int:
        return None
    return LogIdentity(cluster.cluster_id, uuid.hex)


def offset_ranges(
    reader: KafkaConsumer, partitions: Collection[TopicPartition], timeout_ms: int | None = None
) -> dict[int, OffsetRange]:
    """The offsets that partitions of one topic hold; two round trips."""
    first = reader.beginning_offsets(partitions, timeout_ms=timeout_ms)
    end = reader.end_offsets(partitions, timeout_ms=timeout_ms)
    return {at.partition: OffsetRange(first[at], end[at]) for at in partitions}


def records_at(settings: KafkaSettings, topic: str, offsets: Mapping[int, int]) -> dict[int, Record | None]:
    """The committed record at one offset of each partition, None where there is none; all lie before the end.
    Over a connection of its own, apart from any group."""
    found: dict[int, Record | None] = {}
    wanted = {TopicPartition(topic, partition): offset for partition, offset in offsets.items()}
    if not wanted:
        return found
    deadline = time.monotonic() + PATIENCE * settings.request_timeout
    with (
        translated(f"reading single records of {topic}"),
        closing(consumer(settings, max_partition_fetch_bytes=ANY_RECORD_BYTES)) as reader,
    ):
        reader.assign(list(wanted))
        for where, offset in wanted.items():
            reader.seek(where, offset)
        while missing := wanted.keys() - {TopicPartition(topic, p) for p in found}:
            if time.monotonic() > deadline:
                raise KafkaFailing(f"the broker gave no record of {topic} in time")
            polled = reader.poll(timeout_ms=200)
            for where in missing:
                first = next(iter(polled.get(where, ())), None)
                if first is not None:
                    found[where.partition] = first if first.offset == wanted[where] else None
                elif reader.position(where) > wanted[where]:
                    found[where.partition] = None
    return found
