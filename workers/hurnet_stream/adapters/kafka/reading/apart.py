"""A consumer apart from all groups: nobody shares its partitions, and it leaves nothing behind."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kafka import TopicPartition

from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.consumer import make_consumer
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings.settings import KafkaSettings


def reader(
    settings: KafkaSettings,
    topic: str,
    *,
    from_end: bool,
    partitions: Collection[int] | None = None,
    **options: str,
) -> Any:
    """A consumer of these partitions of `topic`, or of all, that belongs to no group and reads committed
    records, unless `options` say otherwise."""
    consumer: Any = make_consumer(settings, auto_offset_reset="earliest", fetch_max_wait_ms=250, **options)
    try:
        there: set[int] = consumer.partitions_for_topic(topic) or set()
        wanted = there if partitions is None else there.intersection(partitions)
        if not wanted:
            raise ConfigurationError(
                f"no such topic: {topic}, or no right to see it (`hurnet topics` tells which, and makes those"
                " that are missing with --create)"
            )
        assigned = [TopicPartition(topic, p) for p in sorted(wanted)]
        consumer.assign(assigned)
        with translated(f"asking for the offsets of {topic}"):
            begin = consumer.end_offsets(assigned) if from_end else consumer.beginning_offsets(assigned)
        for partition, offset in begin.items():
            consumer.seek(partition, offset)
    except BaseException:
        consumer.close()
        raise
    return consumer


def end_offsets(settings: KafkaSettings, topic: str) -> dict[int, int]:
    """The next offset of each partition, also behind a transaction that is still open: what was acknowledged
    may lie there. Raises `ConfigurationError` if there is no such topic."""
    consumer = reader(settings, topic, from_end=True, isolation_level="read_uncommitted")
    try:
        return {each.partition: consumer.position(each) for each in consumer.assignment()}
    finally:
        consumer.close()
