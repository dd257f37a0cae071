"""Whether Kafka still answers. kafka-python tells a dead cluster as it does an idle topic: by nothing."""

from __future__ import annotations

import time
from typing import Any

from kafka import errors as kafka_errors

from hurnet.adapters.kafka.client.connection import explained, milliseconds
from hurnet.adapters.kafka.reading.consumer import METADATA_AGE_MS
from hurnet.errors import KafkaFailing
from hurnet.settings.settings import KafkaSettings

_SILENT_S = METADATA_AGE_MS / 1000 + 2
"""Metadata are asked for anew that often, of any broker; none for longer is suspicious."""
_TRIES = 3
_PAUSE_S = 0.2


class Contact:
    """Of one consumer with its cluster."""

    def __init__(self, consumer: Any, settings: KafkaSettings) -> None:
        self._manager = consumer._client._manager
        self._bootstrap = settings.bootstrap
        self._timeout_s = settings.request_timeout

    def check(self) -> None:
        """Returns at once if a broker was heard lately. Else asks for metadata, as kafka-python has done in
        vain by itself: raises `KafkaFailing` if none answers in time."""
        if self._silent_s() < _SILENT_S:
            return
        deadline = time.monotonic() + self._timeout_s
        for left in reversed(range(_TRIES)):
            try:
                self._ask(max(0.1, deadline - time.monotonic()))
                return
            except (kafka_errors.KafkaError, OSError) as error:
                if not left or time.monotonic() > deadline:
                    raise self._failing(error) from error
                time.sleep(_PAUSE_S)

    def _silent_s(self) -> float:
        heard: float = self._manager.cluster._last_successful_refresh_ms
        return time.monotonic() - heard / 1000

    def _ask(self, seconds: float) -> None:
        asked = self._manager.call_soon(self._manager.cluster.refresh_metadata)
        self._manager.run(self._manager.wait_for, asked, milliseconds(seconds))

    def _failing(self, error: Exception) -> Exception:
        silent = f"no broker of {self._bootstrap} has answered for {self._silent_s():.0f} s"
        if isinstance(error, kafka_errors.NodeNotReadyError | OSError):
            return KafkaFailing(f"{silent}: none can be connected to")
        return explained(error, silent)
