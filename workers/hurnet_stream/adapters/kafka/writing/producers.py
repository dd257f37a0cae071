"""Producers: how one without transactions is made, how messages are handed over, and how any of them ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.client import internals
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.adapters.kafka.writing.refusals import own_refusal
from hurnet_stream.ports import Outgoing
from hurnet_stream.settings.settings import KafkaSettings

_log = logging.getLogger(__name__)

BATCHING = {"batch_size": 256 << 10, "linger_ms": 0}
"""Nothing waits for company: what arrives while a request is under way goes together in the next one."""


def idempotent(settings: KafkaSettings, *, look_up_s: float, delivery_s: float) -> Any:
    """A producer whose retries write nothing twice. It looks for a topic for `look_up_s` at most, and tries
    for `delivery_s` to have a message acknowledged. Raises what `connect` raises."""
    return connect(
        KafkaProducer,
        settings,
        acks="all",
        enable_idempotence=True,
        max_block_ms=milliseconds(look_up_s),
        delivery_timeout_ms=milliseconds(delivery_s),
        metrics_enabled=False,
        **BATCHING,
    )


def hand_over(producer: Any, messages: Sequence[Outgoing], futures: list[Any]) -> None:
    """Give `messages` to the producer, and append the futures of their acknowledgements to `futures`.

    Raises `Undeliverable` if the client itself refuses one. Then `futures` holds those of the messages before
    it, which a caller needs to know whom to blame.
    """
    for index, message in enumerate(messages):
        try:
            futures.append(
                producer.send(
                    message.topic,
                    value=message.value,
                    key=message.key,
                    headers=list(message.headers),
                    partition=message.partition,
                    timestamp_ms=message.timestamp_ms,
                )
            )
        # Raised by `send` itself, before anything is sent. What a broker refuses comes by the future.
        except (ValueError, kafka_errors.MessageSizeTooLargeError) as error:  # ValueError: no such partition
            raise own_refusal(messages, index, error) from error


def close(producer: Any, timeout_s: float) -> None:
    """Close after what was sent is acknowledged, or abandon it after `timeout_s`."""
    try:
        producer.close(timeout=timeout_s)
    except kafka_errors.KafkaError as error:
        _log.debug("the producer didn't close in time: %s", error)
        abandon(producer)


def abandon(producer: Any) -> None:
    """Drop what the producer has not sent and free its thread and sockets, without making the caller wait."""

    def end() -> None:
        internals.end_at_once(producer, timeout_s=30)
        try:
            producer.close(timeout=0)
        except kafka_errors.KafkaError as error:
            _log.debug("an abandoned producer closed with %s", error)

    threading.Thread(target=end, name="kafka-abandon", daemon=True).start()
