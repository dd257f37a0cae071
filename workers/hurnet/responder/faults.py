"""What is known of deliveries that failed: which topics and which queries are not to be tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from hurnet.errors import Stalled, Undeliverable
from hurnet.responder.pending import Pending
from hurnet_schemas.dead_letter import Reason

STRIKES = 3
"""Failures before a topic that may recover is given up, or a batch is halved."""
CLOSED_S = 30.0
"""For which a topic that was given up is not tried again; then one failure is enough."""
MOST_REMEMBERED = 1_000
"""Topics and queries: clients name the topics, so there may be any number."""

K = TypeVar("K")
V = TypeVar("V")
Rejection = tuple[Reason, str]
At = tuple[int, int]


class Faults:
    """Finds the query whose answer can't be delivered, by smaller and smaller batches.

    Everything read again comes in the same order, so `most` queries at a time lead to it. A query is given up
    only for what a broker said of its answer, or after it alone has failed more than `STRIKES` times while
    the brokers were there: `alive` asks them."""

    def __init__(self, batch: int, alive: Callable[[Pending], bool]) -> None:
        self._batch = batch
        self._alive = alive
        self.most = batch
        """How many queries to deliver together now."""
        self._failures = 0
        self._patience = STRIKES
        self._unsure = 0
        """Queries still to be delivered until the region of the last failure has been passed."""
        self._strikes: dict[str, int] = {}
        self._closed: dict[str, tuple[float, str]] = {}
        self._given_up: dict[At, Rejection] = {}

    def of(self, pending: Pending) -> Rejection | None:
        """Why this query's answer can't be delivered where it should be, if that is known."""
        if found := self._given_up.get(_at(pending)):
            return found
        until, why = self._closed.get(pending.reply_to or "", (0.0, ""))
        return ("reply-topic-unwritable", why) if time.monotonic() < until else None

    def delivered(self, batch: Sequence[Pending]) -> None:
        """These answers are out."""
        self._failures, self._patience = 0, STRIKES
        self._unsure -= len(batch)
        if self._unsure <= 0:
            self.most = self._batch
        for pending in batch:
            self._given_up.pop(_at(pending), None)
            if not pending.rejection:
                self._strikes.pop(pending.reply_to or "", None)

    def refused(self, suspects: Sequence[Pending], error: Undeliverable) -> None:
        """One of `suspects` has an answer that is refused, or their topics refuse everything."""
        for topic in error.topics:
            self._close(topic, str(error))
        if error.topics:
            return
        if len(suspects) == 1:
            self._give_up(suspects[0], str(error))
        else:
            self._halve(len(suspects))

    def stalled(self, error: Stalled) -> None:
        """Topics did not acknowledge, though all else was there."""
        for topic in error.topics:
            strikes = self._strikes.get(topic, 0) + 1
            _bounded(self._strikes)[topic] = strikes
            if strikes >= STRIKES:
                self._close(topic, str(error))

    def failed(self, batch: Sequence[Pending]) -> None:
        """Nothing is known but that it failed; most often the brokers are away, which is no query's fault."""
        self._failures += 1
        if any(self._given_up.pop(_at(pending), None) for pending in batch):
            self._patience *= 2  # not even the rejection goes out: it was not the answer's fault
            self._failures = 0
        elif len(batch) > 1 and self._failures % STRIKES == 0:
            self._halve(len(batch))
        elif len(batch) == 1 and self._failures >= self._patience:
            self._doubt(batch[0])

    def _doubt(self, pending: Pending) -> None:
        if not self._alive(pending):
            self._failures = 0
        elif self._failures > self._patience:
            self._give_up(pending, f"its answer could not be delivered in {self._failures} tries")

    def _give_up(self, pending: Pending, why: str) -> None:
        _bounded(self._given_up)[_at(pending)] = ("answer-undeliverable", why)
        self._failures = 0

    def _close(self, topic: str, why: str) -> None:
        _bounded(self._closed)[topic] = (time.monotonic() + CLOSED_S, why)

    def _halve(self, size: int) -> None:
        self.most = max(1, size // 2)
        self._unsure = size
        self._failures = 0


def _at(pending: Pending) -> At:
    return pending.record.partition, pending.record.offset


def _bounded(known: dict[K, V]) -> dict[K, V]:
    """Ready for one more."""
    if len(known) >= MOST_REMEMBERED:
        del known[next(iter(known))]
    return known
