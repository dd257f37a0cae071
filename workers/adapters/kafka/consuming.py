"""What all our consumers have in common."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from workers.adapters.kafka.connection import connect
from workers.ports import Bounds, Record
from workers.settings import KafkaSettings


def consumer(settings: KafkaSettings, group: str | None = None, **options: Any) -> KafkaConsumer:
    """Reads committed records, commits nothing by itself, and raises where a position is no longer held,
    unless `options` say otherwise. Raises as `connect` does."""
    usual = {"isolation_level": "read_committed", "auto_offset_reset": "none"}
    return connect(
        KafkaConsumer,
        settings,
        group_id=group,
        enable_auto_commit=False,
        metrics_enabled=False,
        **{**usual, **options},
    )


def record(raw: Any) -> Record:
    """A consumer's record in our words."""
    return Record(raw.topic, raw.partition, raw.offset, raw.timestamp, raw.key, raw.value, tuple(raw.headers))


def bounds(
    reader: KafkaConsumer, partitions: Collection[TopicPartition], timeout_ms: int | None = None
) -> dict[int, Bounds]:
    """The offsets that partitions of one topic hold; two round trips."""
    first = reader.beginning_offsets(partitions, timeout_ms=timeout_ms)
    end = reader.end_offsets(partitions, timeout_ms=timeout_ms)
    return {at.partition: Bounds(first[at], end[at]) for at in partitions}
