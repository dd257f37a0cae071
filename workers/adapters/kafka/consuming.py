"""What all our consumers have in common."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from workers.adapters.kafka import fetching
from workers.adapters.kafka.connection import connect
from workers.ports import Bounds
from workers.settings import KafkaSettings

METADATA_AGE_MS = 5_000
"""So soon a new partition is noticed; then its group shares out anew."""


def consumer(settings: KafkaSettings, group: str | None = None, **options: Any) -> KafkaConsumer:
    """Reads committed records, as `Record`s of ours (see fetching.py), commits nothing by itself, and raises
    where a position is no longer held, unless `options` say otherwise. Raises as `connect` does."""
    usual = {
        "isolation_level": "read_committed",
        "auto_offset_reset": "none",
        "metadata_max_age_ms": METADATA_AGE_MS,
    }
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


def bounds(
    reader: KafkaConsumer, partitions: Collection[TopicPartition], timeout_ms: int | None = None
) -> dict[int, Bounds]:
    """The offsets that partitions of one topic hold; two round trips."""
    first = reader.beginning_offsets(partitions, timeout_ms=timeout_ms)
    end = reader.end_offsets(partitions, timeout_ms=timeout_ms)
    return {at.partition: Bounds(first[at], end[at]) for at in partitions}
