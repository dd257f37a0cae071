"""Texts on a schedule, and queries that insist on some of them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from hurnet_schemas import Answer, Query
from hurnet_stream.settings.settings import KafkaSettings
from tests.benchmarks._asker import PATIENCE_S, Asker
from tests.benchmarks._system import PARTITIONS, pairs, questions, text_event

TEXTS = 10_000


@dataclass(slots=True)
class Found:
    """Of one load: seconds of the probes and of the plain queries, and the responder's histogram of all."""

    probes: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    histogram: Counter[float] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Event:
    """What is due when: a "text", a text that is a "probe", or a "plain" query."""

    due: float
    kind: str


class Stream:
    """Sends what is due, whatever became of what went before. A probe takes two steps, since the offset to
    insist on is known only once its text is acknowledged."""

    def __init__(self, asker: Asker, settings: KafkaSettings) -> None:
        self._asker = asker
        self._settings = settings
        self._texts = cycle(pairs(TEXTS))
        self._questions = cycle(questions())
        self._began = 0.0
        self._unacknowledged: deque[tuple[float, Any]] = deque()
        self._open: dict[str, tuple[float, dict[int, int]]] = {}

    def run(self, events: Sequence[Event], found: Found) -> None:
        """Raises `TimeoutError` where an answer is missing, and `RuntimeError` where one is wrong."""
        self._began = time.perf_counter()
        left = deque(events)
        while left or self._unacknowledged or self._open:
            now = time.perf_counter() - self._began
            while left and left[0].due <= now:
                self._send(left.popleft())
            self._insist()
            wait = left[0].due - now if left else 0.1
            for reply in self._asker.replies(min(wait, 0.001) if self._unacknowledged else wait):
                self._take(*reply, found)
            if now > events[-1].due + PATIENCE_S:
                raise TimeoutError(f"{len(self._open)} queries without an answer")

    def _send(self, event: Event) -> None:
        if event.kind == "plain":
            self._ask(event.due, {})
            return
        _, acknowledgement = self._asker.send(self._settings.texts, text_event(next(self._texts)))
        if event.kind == "probe":
            self._unacknowledged.append((event.due, acknowledgement))

    def _insist(self) -> None:
        """Ask about the probes that have been acknowledged."""
        while self._unacknowledged and self._unacknowledged[0][1].is_done:
            due, acknowledgement = self._unacknowledged.popleft()
            metadata = acknowledgement.get(0)
            self._ask(due, {metadata.partition: metadata.offset})

    def _ask(self, due: float, watermarks: dict[int, int]) -> None:
        """Plain queries have a partition to themselves: those that wait hold up others behind them."""
        patience_ms = int(PATIENCE_S * 1000)
        query = Query(text=next(self._questions), min_watermarks=watermarks, timeout_ms=patience_ms).encode()
        partition = 1 + len(self._open) % (PARTITIONS - 1) if watermarks else 0
        correlation, _ = self._asker.send(self._settings.queries, query, partition)
        self._open[correlation] = due, watermarks

    def _take(self, correlation: str, value: bytes, read: float, found: Found) -> None:
        due, watermarks = self._open.pop(correlation)
        receipt = Answer.decode(value).receipt
        if receipt is None or any(receipt.watermarks[p] < offset for p, offset in watermarks.items()):
            raise RuntimeError(f"an answer without the text it was to have seen: {value!r}")
        (found.probes if watermarks else found.plain).append(read - self._began - due)
