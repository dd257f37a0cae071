"""What stands in the topic of texts: how far it reaches, and what feedback has taught.

The feedback worker writes what feedback teaches, and names the feedback in the header `feedback` of these
records. A `Follower` is made before the feedback is sent, so that it can't miss them. All calls block.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from hurnet_schemas.feedback import SOURCE
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.apart import reader
from hurnet_stream.client.results import Watermarks
from hurnet_stream.settings.settings import KafkaSettings

POLL_S: Final = 0.5


def end_offsets(settings: KafkaSettings, topic: str) -> dict[int, int]:
    """The next offset of each partition. Raises `ConfigurationError` if there is no such topic."""
    consumer = reader(settings, topic, from_end=True)
    try:
        return {each.partition: consumer.position(each) for each in consumer.assignment()}
    finally:
        consumer.close()


class Follower:
    """Reads texts from now on. Raises `ConfigurationError` if there is no such topic."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._consumer: Any = reader(settings, settings.texts, from_end=True)
        self._stopped = threading.Event()

    def effect(self, feedback: str, wait_s: float) -> Watermarks:
        """The last record by partition that the feedback at these coordinates has made; empty if none came
        within `wait_s` seconds, or if `stop` was called."""
        deadline = time.monotonic() + wait_s
        while (left := deadline - time.monotonic()) > 0 and not self._stopped.is_set():
            with translated("reading what feedback has taught"):
                batches = self._consumer.poll(timeout_ms=milliseconds(min(left, POLL_S)))
            made = Watermarks(
                {
                    record.partition: record.offset
                    for records in batches.values()
                    for record in records
                    if (SOURCE, feedback.encode()) in [(name, value) for name, value in record.headers]
                }
            )
            if made:  # all of it: records of one transaction become visible together
                return made
        return Watermarks()

    def stop(self) -> None:
        """Let a call of `effect` in another thread return soon."""
        self._stopped.set()

    def close(self) -> None:
        self._consumer.close()
