"""Whether Kafka still answers. To kafka-python a dead cluster and an idle topic look the same: no records."""

from __future__ import annotations

import time
from typing import Any

from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.client import internals
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import explained
from hurnet_stream.adapters.kafka.client.probe import why_no_broker
from hurnet_stream.adapters.kafka.reading.consumer import METADATA_AGE_MS
from hurnet_stream.errors import KafkaFailing, KafkaRefuses
from hurnet_stream.settings.settings import KafkaSettings

_SILENT_S = METADATA_AGE_MS / 1000 + 2
"""kafka-python asks some broker for metadata every second: if none came for longer, something is wrong."""
_TRIES = 3
_PAUSE_S = 0.2


class Contact:
    """A consumer's contact with its cluster."""

    def __init__(self, consumer: Any, settings: KafkaSettings) -> None:
        self._consumer = consumer
        self._settings = settings
        self._timeout_s = settings.request_timeout

    def check(self) -> None:
        """Returns at once if a broker was heard lately. Otherwise asks for metadata, and raises
        `KafkaFailing` if no broker answers in time."""
        if internals.metadata_age_s(self._consumer) < _SILENT_S:
            return
        deadline = time.monotonic() + self._timeout_s
        # Several tries, because each asks any of the brokers, and that may be the one that is down.
        for tries_left in reversed(range(_TRIES)):
            try:
                left_s = max(0.1, deadline - time.monotonic())
                internals.refresh_metadata(self._consumer, milliseconds(left_s))
                return
            except (kafka_errors.KafkaError, OSError) as error:
                if not tries_left or time.monotonic() > deadline:
                    raise self._failing(error) from error
                time.sleep(_PAUSE_S)

    def _failing(self, error: Exception) -> Exception:
        age_s = internals.metadata_age_s(self._consumer)
        silence = f"no broker of {self._settings.bootstrap} has answered for {age_s:.0f} s"
        if isinstance(error, kafka_errors.NodeNotReadyError | OSError):
            why = why_no_broker(self._settings)  # a certificate that has expired looks like this, too
            if isinstance(why, KafkaRefuses):
                return KafkaRefuses(f"{silence}: {why}")
            return KafkaFailing(f"{silence}: none can be connected to")
        return explained(error, silence)
