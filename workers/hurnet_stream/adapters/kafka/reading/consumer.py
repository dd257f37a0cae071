"""What all our consumers have in common: how they are made, and what each can tell of its topic."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from hurnet_stream.adapters.kafka.client import internals
from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.adapters.kafka.reading import fetching
from hurnet_stream.core.stored.batch import LogIdentity
from hurnet_stream.ports import OffsetRange
from hurnet_stream.settings.settings import KafkaSettings

METADATA_AGE_MS = 1_000
"""How soon a new partition is noticed, which its group then shares out, or a topic that was made anew."""


def make_consumer(settings: KafkaSettings, group: str | None = None, **options: Any) -> KafkaConsumer:
    """A consumer that gives `Record`s of ours (see fetching.py).

    Unless `options` say otherwise it reads committed records only, commits nothing by itself, and raises when
    its position is no longer in the log. Raises as `connect` does.
    """
    defaults: dict[str, Any] = {
        "isolation_level": "read_committed",
        "auto_offset_reset": "none",
        "metadata_max_age_ms": METADATA_AGE_MS,
    }
    if group is not None:  # so that `hurnet status` can tell which process is in the group
        defaults["client_id"] = f"hurnet-{os.getpid()}@{socket.gethostname()}"
    consumer = connect(
        KafkaConsumer,
        settings,
        group_id=group,
        enable_auto_commit=False,
        metrics_enabled=False,
        **{**defaults, **options},
    )
    fetching.install(consumer)
    return consumer


def log_identity(consumer: KafkaConsumer, topic: str) -> LogIdentity | None:
    """Which log `topic` is, by the last metadata; None if they don't tell."""
    metadata = internals.cluster_metadata(consumer)
    topic_id = metadata.topic_id(topic)
    if not metadata.cluster_id or topic_id is None or not topic_id.int:  # 0 is the id of no topic
        return None
    return LogIdentity(metadata.cluster_id, topic_id.hex)


def offset_ranges(
    consumer: KafkaConsumer, partitions: Collection[TopicPartition], timeout_ms: int | None = None
) -> dict[int, OffsetRange]:
    """The offsets that partitions of one topic hold. Two round trips."""
    first = consumer.beginning_offsets(partitions, timeout_ms=timeout_ms)
    end = consumer.end_offsets(partitions, timeout_ms=timeout_ms)
    return {at.partition: OffsetRange(first[at], end[at]) for at in partitions}
