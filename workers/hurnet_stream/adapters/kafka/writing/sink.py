"""A producer whose `send` returns once everything is acknowledged by all in-sync replicas."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.admin.lookup import TopicLookup
from hurnet_stream.adapters.kafka.client.errors import explained
from hurnet_stream.adapters.kafka.writing.producers import abandon, close, hand_over, idempotent
from hurnet_stream.adapters.kafka.writing.refusals import missing, refusal, stall
from hurnet_stream.errors import ConfigurationError, Stalled, Undeliverable
from hurnet_stream.ports import Outgoing
from hurnet_stream.settings.settings import KafkaSettings


class KafkaSink:
    """Fills `hurnet_stream.ports.Sink` by an idempotent producer."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._timeout_s = max(1.0, settings.request_timeout)
        self._topics = TopicLookup(settings)
        self._producer: Any = self._connected()

    def send(self, messages: Sequence[Outgoing]) -> Sequence[tuple[int, int]]:
        """The (partition, offset) of each message.

        Raises:
            TransientError: some may not have arrived.
            Undeliverable: a message is refused for what it is.
            ConfigurationError: a topic takes no messages of ours.
        """
        try:
            return self.attempt(messages)
        except Undeliverable as error:
            if error.topics:  # a sink's topics are those of our settings, not of a client
                raise ConfigurationError(str(error)) from error
            raise

    def attempt(self, messages: Sequence[Outgoing]) -> Sequence[tuple[int, int]]:
        """As `send`, to topics that a client may have named: raises `Undeliverable` for these too."""
        if not messages:
            return ()
        if gone := {m.topic for m in messages if not self._topics.has(m.topic)}:
            raise missing(gone, messages)
        self._producer = self._producer or self._connected()
        futures: list[Any] = []
        try:
            hand_over(self._producer, messages, futures)
            # kafka-python itself gives up after `delivery_timeout_ms`, which is a second less.
            deadline = time.monotonic() + 2 * self._timeout_s + 1
            acknowledged = [future.get(timeout=max(0.0, deadline - time.monotonic())) for future in futures]
        except (kafka_errors.KafkaError, Undeliverable) as error:
            raise self._failed(messages, futures, error) from error
        return [(metadata.partition, metadata.offset) for metadata in acknowledged]

    def close(self) -> None:
        self._topics.close()
        if self._producer is not None:
            close(self._producer, self._timeout_s)

    def _failed(self, messages: Sequence[Outgoing], futures: Sequence[Any], error: Exception) -> Exception:
        """The error to raise."""
        self._topics.clear()
        # An idempotent producer may refuse everything after a failure: the next `send` makes a new one.
        abandon(self._producer)
        self._producer = None
        if isinstance(error, Undeliverable):
            return error
        blamed = refusal(messages, futures, error) or self._stall(messages, futures, error)
        return blamed or explained(error, "sending to " + ", ".join({m.topic for m in messages}))

    def _stall(
        self, messages: Sequence[Outgoing], futures: Sequence[Any], error: Exception
    ) -> Stalled | None:
        """The topics to blame, if another topic acknowledged meanwhile: else all brokers may be away."""
        blamed = stall(messages, futures, error)
        acknowledged = {m.topic for m, future in zip(messages, futures, strict=False) if future.succeeded()}
        return blamed if blamed and acknowledged - blamed.topics else None

    def _connected(self) -> Any:
        return idempotent(self._settings, look_up_s=self._timeout_s, delivery_s=2 * self._timeout_s)
