"""The in-memory twin of `KafkaSink`."""

from __future__ import annotations

from collections.abc import Sequence

from hurnet_stream.errors import ConfigurationError, Undeliverable
from hurnet_stream.ports import Outgoing
from tests.memory.kafka import MemoryKafka


class MemorySink:
    """Fills `hurnet_stream.ports.Sink`."""

    def __init__(self, kafka: MemoryKafka) -> None:
        kafka.check_reachable()
        self._kafka = kafka

    def send(self, messages: Sequence[Outgoing]) -> Sequence[tuple[int, int]]:
        self._kafka.check_reachable()
        try:
            return self._kafka.append(messages)
        except Undeliverable as error:
            if error.topics:
                raise ConfigurationError(str(error)) from error
            raise

    def close(self) -> None:
        """Nothing to free."""
