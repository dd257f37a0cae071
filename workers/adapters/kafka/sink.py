"""A producer whose `send` returns once everything is acknowledged by all in-sync replicas."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from workers.adapters.kafka.connection import connect, explained, milliseconds
from workers.adapters.kafka.topics import Topics
from workers.errors import ConfigurationError
from workers.ports import Outgoing
from workers.settings import KafkaSettings

_log = logging.getLogger(__name__)

BATCHING = {
    "batch_size": 256 << 10,
    "linger_ms": 0,
}  # what arrives while a request is under way goes together


class KafkaSink:
    """Fills `workers.ports.Sink`: idempotent, acks=all."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._timeout_s = max(1.0, settings.request_timeout)
        self._topics = Topics(settings)
        self._producer: Any = self._connected()

    def send(self, messages: Sequence[Outgoing]) -> Sequence[tuple[int, int]]:
        """Raises `TransientError` where some may not have arrived, `ConfigurationError` where one cannot."""
        if not messages:
            return ()
        self._topics.require({message.topic for message in messages})
        self._producer = self._producer or self._connected()
        try:
            futures = enqueue(self._producer, messages)
            deadline = time.monotonic() + 2 * self._timeout_s + 1
            acknowledged = [future.get(timeout=max(0.0, deadline - time.monotonic())) for future in futures]
        except kafka_errors.KafkaError as error:
            # An idempotent producer may refuse everything after a failure: the next send gets a new one.
            self._topics.forget()
            abandon(self._producer)
            self._producer = None
            raise explained(error, "sending to " + ", ".join({m.topic for m in messages})) from error
        return [(metadata.partition, metadata.offset) for metadata in acknowledged]

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


def enqueue(producer: Any, messages: Sequence[Outgoing]) -> list[Any]:
    """Hand `messages` to the producer; the futures of their acknowledgements."""
    try:
        return [
            producer.send(
                m.topic,
                value=m.value,
                key=m.key,
                headers=list(m.headers),
                partition=m.partition,
                timestamp_ms=m.timestamp_ms,
            )
            for m in messages
        ]
    except ValueError as error:  # a partition that the topic doesn't have
        raise ConfigurationError(f"sending: {error}") from error


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
