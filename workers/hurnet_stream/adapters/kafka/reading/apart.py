"""A consumer apart from all groups: nobody shares its partitions, and it leaves nothing behind."""

from __future__ import annotations

from typing import Any

from kafka import TopicPartition

from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.consumer import make_consumer
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings.settings import KafkaSettings


def reader(settings: KafkaSettings, topic: str, *, from_end: bool) -> Any:
    """A consumer of all partitions of `topic` that belongs to no group and reads committed records."""
    consumer: Any = make_consumer(settings, auto_offset_reset="earliest", fetch_max_wait_ms=250)
    try:
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        if not partitions:
            raise ConfigurationError(
                f"no such topic: {topic}, or no right to see it (`hurnet topics` tells which, and makes those"
                " that are missing with --create)"
            )
        consumer.assign(partitions)
        with translated(f"asking for the offsets of {topic}"):
            begin = consumer.end_offsets(partitions) if from_end else consumer.beginning_offsets(partitions)
        for partition, offset in begin.items():
            consumer.seek(partition, offset)
    except BaseException:
        consumer.close()
        raise
    return consumer
