"""A producer whose `send` returns once everything is acknowledged by all in-sync replicas."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from hurnet.adapters.kafka.admin.topics import Topics
from hurnet.adapters.kafka.client.connection import connect, explained, milliseconds
from hurnet.adapters.kafka.writing.refusals import missing, own_refusal, refusal, stall
from hurnet.errors import ConfigurationError, Stalled, Undeliverable
from hurnet.ports import Outgoing
from hurnet.settings.settings import KafkaSettings

_log = logging.getLogger(__name__)

BATCHING = {
    "batch_size": 256 << 10,
    "linger_ms": 0,
}  # what arrives while a request is under way goes together


class KafkaSink:
    """Fills `hurnet.ports.Sink`: idempotent, acks=all."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._timeout_s = max(1.0, settings.request_timeout)
        self._topics = Topics(settings)
        self._producer: Any = self._connected()

    def send(self, messages: Sequence[Outgoing]) -> Sequence[tuple[int, int]]:
        """Raises `TransientError` where some may not have arrived, `Undeliverable` where one cannot, and
        `ConfigurationError` where its topic takes none."""
        try:
            return self.attempt(messages)
        except Undeliverable as error:
            if error.topics:  # a sink's topics are ours, not a client's
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
            enqueue(self._producer, messages, futures)
            deadline = time.monotonic() + 2 * self._timeout_s + 1
            acknowledged = [future.get(timeout=max(0.0, deadline - time.monotonic())) for future in futures]
        except (kafka_errors.KafkaError, Undeliverable) as error:
            raise self._failed(messages, futures, error) from error
        return [(metadata.partition, metadata.offset) for metadata in acknowledged]

    def _failed(self, messages: Sequence[Outgoing], futures: Sequence[Any], error: Exception) -> Exception:
        """What to raise. An idempotent producer may refuse everything after a failure: the next send gets a
        new one."""
        self._topics.forget()
        abandon(self._producer)
        self._producer = None
        if isinstance(error, Undeliverable):
            return error
        blamed = refusal(messages, futures, error) or self._stall(messages, futures, error)
        return blamed or explained(error, "sending to " + ", ".join({m.topic for m in messages}))

    def _stall(
        self, messages: Sequence[Outgoing], futures: Sequence[Any], error: Exception
    ) -> Stalled | None:
        """Only if another topic acknowledged meanwhile: else it may be the brokers that are away."""
        blamed = stall(messages, futures, error)
        others = {m.topic for m, future in zip(messages, futures, strict=False) if future.succeeded()}
        return blamed if blamed and others - blamed.topics else None

    def close(self) -> None:
        self._topics.close()
        if self._producer is not None:
            close(self._producer, self._timeout_s)

    def _connected(self) -> Any:
        return connect(
            KafkaProducer,
            self._settings,
            acks="all",
            enable_idempotence=True,
            max_block_ms=milliseconds(self._timeout_s),
            delivery_timeout_ms=milliseconds(2 * self._timeout_s),
            metrics_enabled=False,
            **BATCHING,
        )


def enqueue(producer: Any, messages: Sequence[Outgoing], futures: list[Any]) -> None:
    """Hand `messages` to the producer, and add the futures of their acknowledgements to `futures`. Raises
    `Undeliverable` for one that the client refuses by itself."""
    for place, message in enumerate(messages):
        try:
            futures.append(_handed(producer, message))
        except (ValueError, kafka_errors.MessageSizeTooLargeError) as error:  # ValueError: no such partition
            raise own_refusal(messages, place, error) from error


def _handed(producer: Any, message: Outgoing) -> Any:
    return producer.send(
        message.topic,
        value=message.value,
        key=message.key,
        headers=list(message.headers),
        partition=message.partition,
        timestamp_ms=message.timestamp_ms,
    )


def close(producer: Any, timeout_s: float) -> None:
    try:
        producer.close(timeout=timeout_s)
    except kafka_errors.KafkaError as error:
        _log.debug("the producer didn't close in time: %s", error)
        abandon(producer)


def abandon(producer: Any) -> None:
    """Drop what the producer has not sent and free its thread and sockets, without making the caller wait."""

    def end() -> None:
        producer._sender.force_close()  # close() alone would first wait for what will never be acknowledged
        producer._sender.join(30)
        close_quietly(producer)

    threading.Thread(target=end, name="kafka-abandon", daemon=True).start()


def close_quietly(producer: Any) -> None:
    try:
        producer.close(timeout=0)
    except kafka_errors.KafkaError as error:
        _log.debug("an abandoned producer closed with %s", error)
