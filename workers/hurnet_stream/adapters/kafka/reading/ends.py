"""The ends of topics, asked for in the background (asking.py)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from kafka import TopicPartition
from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.admin.describing import (
    partitions_of,
    readable_ends,
    topic_id_of,
    written_ends,
)
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.asking import Asker
from hurnet_stream.ports import EndOffsets
from hurnet_stream.settings.settings import KafkaSettings


class Ends:
    """What was last heard of the ends of topics."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._timeout_ms = max(1_000, milliseconds(settings.request_timeout))
        # Read without the lock: an entry is replaced by one assignment, and never changed.
        self._known: dict[str, EndOffsets] = {}
        self._asker = Asker(settings, "kafka-ends")

    def of(self, topic: str, max_age_s: float) -> EndOffsets | None:
        """The last answer, None before the first one. If it is older than `max_age_s`, the brokers are asked
        again in the background."""
        known = self._known.get(topic)
        if known is None or time.monotonic() - known.asked > max_age_s:
            self._asker.ask(topic, partial(self._ask, topic))
        return known

    def close(self) -> None:
        self._asker.close()

    def _ask(self, topic: str, admin: Any) -> None:
        asked = time.monotonic()
        with translated(f"asking for the end of {topic}"):
            described = admin.describe_topics([topic])[0]
            error = kafka_errors.for_code(described["error_code"])
            if error is not kafka_errors.NoError:
                raise error(topic)
            partitions = partitions_of(described)
            written = written_ends(admin, partitions, self._timeout_ms)
            readable = readable_ends(admin, partitions, self._timeout_ms)
        self._known[topic] = EndOffsets(
            asked, _by_partition(written), _by_partition(readable), topic_id_of(described)
        )


def _by_partition(offsets: Mapping[TopicPartition, int]) -> dict[int, int]:
    return {at.partition: offset for at, offset in offsets.items()}
