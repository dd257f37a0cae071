"""`Listener` by a consumer of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.apart import reader
from hurnet_stream.ports import Record
from hurnet_stream.settings.settings import KafkaSettings


class KafkaListener:
    """Fills `hurnet_stream.ports.Listener`."""

    def __init__(self, settings: KafkaSettings, topic: str, partitions: Collection[int]) -> None:
        """Raises `ConfigurationError` if there is no such topic, and `KafkaFailing`."""
        self._topic = topic
        self._consumer: Any = reader(settings, topic, from_end=True, partitions=partitions)

    def poll(self, timeout_s: float) -> Sequence[Record]:
        with translated(f"reading {self._topic}"):
            batches = self._consumer.poll(timeout_ms=milliseconds(timeout_s))
        return [record for batch in batches.values() for record in batch]

    def close(self) -> None:
        self._consumer.close()
