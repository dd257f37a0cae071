"""The ends of topics, asked for by a thread of their own, so that no worker's step ever waits for them.

The consumer's own connection would not do: while a fetch waits there for records, the broker answers nothing
else that comes after it on the same connection.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Any

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.consumer.fetcher import IsolationLevel

from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.ports import EndOffsets
from hurnet_stream.settings.settings import KafkaSettings

_log = logging.getLogger(__name__)

INTERVAL_S = 0.25
"""The least time between two questions to the brokers, however often `of` is called."""
RETRY_S = 1.0
"""The pause after a question that failed."""


class Ends:
    """What was last heard of the ends of topics."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._timeout_ms = max(1_000, milliseconds(settings.request_timeout))
        # Read without the lock: an entry is replaced by one assignment, and never changed.
        self._known: dict[str, EndOffsets] = {}
        self._wanted: set[str] = set()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def of(self, topic: str, max_age_s: float) -> EndOffsets | None:
        """The last answer, None before the first one. If it is older than `max_age_s`, the brokers are asked
        again in the background."""
        known = self._known.get(topic)
        if known is None or time.monotonic() - known.asked > max_age_s:
            self._want(topic)
        return known

    def close(self) -> None:
        """Waits for a second at most: the thread is a daemon, and ends after the request it is in."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)

    def _want(self, topic: str) -> None:
        with self._changed:
            self._wanted.add(topic)
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="kafka-ends", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        admin: Any = None
        while (topic := self._next()) is not None:
            try:
                admin = admin or connect(KafkaAdminClient, self._settings)
                self._ask(admin, topic)
                self._closing.wait(INTERVAL_S)
            except Exception as error:
                # The thread must go on. If the ends stay unknown for long, readiness says so.
                _log.debug("the end of %s is not known: %s", topic, error)
                _close(admin)
                admin = None
                self._closing.wait(RETRY_S)
        _close(admin)

    def _next(self) -> str | None:
        """Waits for a topic that is wanted; None once closing."""
        with self._changed:
            while not self._wanted and not self._closing.is_set():
                self._changed.wait()
            return None if self._closing.is_set() else self._wanted.pop()

    def _ask(self, admin: Any, topic: str) -> None:
        asked = time.monotonic()
        with translated(f"asking for the end of {topic}"):
            described = admin.describe_topics([topic])[0]
            error = kafka_errors.for_code(described["error_code"])
            if error is not kafka_errors.NoError:
                raise error(topic)
            partitions = [TopicPartition(topic, p["partition_index"]) for p in described["partitions"]]
            written = self._end_offsets(admin, partitions, IsolationLevel.READ_UNCOMMITTED)
            readable = self._end_offsets(admin, partitions, IsolationLevel.READ_COMMITTED)
        topic_id = described.get("topic_id")
        hex_id = uuid.UUID(str(topic_id)).hex if topic_id else ""
        self._known[topic] = EndOffsets(asked, written, readable, hex_id)

    def _end_offsets(
        self, admin: Any, partitions: list[TopicPartition], isolation: IsolationLevel
    ) -> dict[int, int]:
        latest = dict.fromkeys(partitions, OffsetSpec.LATEST)
        ends = admin.list_partition_offsets(latest, isolation, self._timeout_ms)
        return {at.partition: end.offset for at, end in ends.items()}


def _close(admin: Any) -> None:
    if admin is not None:
        admin.close()
