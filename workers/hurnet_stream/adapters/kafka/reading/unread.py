"""How many records a reader has still to read, seen from outside.

The distance between two offsets is no answer: transactions take offsets, too, for their markers, and those
that were aborted leave offsets that nobody will ever read. So the last stretch is read and counted:

    offsets   7        8        9        10       11
              record   marker   aborted  marker   (end)
    reader    |next = 8

    distance 3, unread records 0
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kafka import TopicPartition

from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.consumer import make_consumer
from hurnet_stream.settings.settings import KafkaSettings

PATIENCE_S = 1.0
"""How long one count may read."""
COUNTED = 1_000
"""A distance longer than this is not read: markers then matter little, and reading it would cost much."""
FETCH_BYTES = 1 << 20

Spans = Mapping[tuple[str, int], tuple[int, int]]
"""(topic, partition) -> (next offset that the reader will read, end of what may be read)"""


class Unread:
    """Counts records between offsets, in no consumer group. What was counted once is not read again."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer: Any = None
        self._known: dict[tuple[str, int], tuple[tuple[int, int], int]] = {}

    def count(self, spans: Spans) -> dict[tuple[str, int], int]:
        """The records in each span; the distance for a span that is long, or that could not be read in time.

        Raises as `connect` does, and `KafkaFailing`."""
        counts = {at: max(0, end - begin) for at, (begin, end) in spans.items()}
        self._known = {at: known for at, known in self._known.items() if spans.get(at) == known[0]}
        counts |= {at: count for at, (_, count) in self._known.items()}
        short = {at: spans[at] for at, n in counts.items() if 0 < n <= COUNTED and at not in self._known}
        if short:
            counts |= self._read(short)
        return counts

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _read(self, spans: Spans) -> dict[tuple[str, int], int]:
        try:
            with translated("counting records that are not read yet"):
                return self._counted(spans)
        except Exception:
            self.close()
            raise

    def _counted(self, spans: Spans) -> dict[tuple[str, int], int]:
        consumer = self._consumer = self._consumer or make_consumer(
            self._settings, auto_offset_reset="earliest", fetch_max_bytes=FETCH_BYTES, fetch_max_wait_ms=250
        )
        consumer.assign([TopicPartition(*at) for at in spans])
        for at, (begin, _) in spans.items():
            consumer.resume(TopicPartition(*at))  # the last count has paused it
            consumer.seek(TopicPartition(*at), begin)
        counted, left = dict.fromkeys(spans, 0), set(spans)
        deadline = time.monotonic() + PATIENCE_S
        while left and (rest := deadline - time.monotonic()) > 0:
            polled = consumer.poll(timeout_ms=milliseconds(min(rest, 0.25)))
            for at in list(left):
                end = spans[at][1]
                counted[at] += sum(record.offset < end for record in polled.get(TopicPartition(*at), ()))
                if consumer.position(TopicPartition(*at)) >= end:
                    left.discard(at)
                    self._known[at] = spans[at], counted[at]
                    consumer.pause(TopicPartition(*at))
        for at in left:  # what could not be read in time counts as records
            counted[at] += max(0, spans[at][1] - consumer.position(TopicPartition(*at)))
        return counted
