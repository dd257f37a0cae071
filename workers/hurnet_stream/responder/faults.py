"""What is known of deliveries that failed: which topics and which queries are not to be tried again.

An answer is delivered in a transaction with others. If that fails, usually nothing says which answer it was,
and often none: the brokers are away. The query is found by halving the batch. What is read again comes in the
same order, so batches of 64, 32, 16, ... all begin before it, and some batch of 1 is the query alone:

    64 fail three times  ->  32 go, the next 32 fail three times  ->  16 fail ...  ->  1 fails: given up

A query is given up only for what a broker said of its answer, or after it alone has failed often while the
brokers were there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from hurnet_stream.embedding import Rejection
from hurnet_stream.errors import Stalled, Undeliverable
from hurnet_stream.responder.pending import Pending

STRIKES = 3
"""How many failures it takes to close a topic that may recover, or to halve a batch."""
CLOSED_S = 30.0
"""How long a closed topic is not tried again. After that one failure closes it again."""
MOST_REMEMBERED = 1_000
"""Topics, and queries. Clients name the topics, so there may be any number of them."""

K = TypeVar("K")
V = TypeVar("V")
QueryKey = tuple[int, int]
"""Partition and offset of a query."""


class Faults:
    """Finds the query whose answer can't be delivered. `batch` is how many are delivered together if nothing
    fails. `alive` asks the brokers whether they are there."""

    def __init__(self, batch: int, alive: Callable[[Pending], bool]) -> None:
        self._batch = batch
        self._alive = alive
        self.most = batch
        """How many queries to deliver together now."""
        self._failures = 0
        """In a row, of batches of this size."""
        self._patience = STRIKES
        """How many failures of one query alone it takes to doubt it."""
        self._unsure = 0
        """Queries still to be delivered until all that failed together last have been passed."""
        self._strikes: dict[str, int] = {}
        """By topic: how often in a row it did not acknowledge."""
        self._closed: dict[str, tuple[float, str]] = {}
        """By topic: until when (monotonic seconds), and why."""
        self._given_up: dict[QueryKey, Rejection] = {}

    def of(self, pending: Pending) -> Rejection | None:
        """Why the answer to this query can't be delivered where it should go, if that is known."""
        if rejection := self._given_up.get(_key(pending)):
            return rejection
        until, why = self._closed.get(pending.reply_to or "", (0.0, ""))
        return ("reply-topic-unwritable", why) if time.monotonic() < until else None

    def delivered(self, batch: Sequence[Pending]) -> None:
        """These answers are out."""
        self._failures, self._patience = 0, STRIKES
        self._unsure -= len(batch)
        if self._unsure <= 0:
            self.most = self._batch
        for pending in batch:
            self._given_up.pop(_key(pending), None)
            if not pending.rejection:
                self._strikes.pop(pending.reply_to or "", None)

    def refused(self, suspects: Sequence[Pending], error: Undeliverable) -> None:
        """A broker refuses the answer to one of `suspects`, or everything that is sent to `error.topics`."""
        for topic in error.topics:
            self._close(topic, str(error))
        if error.topics:
            return
        if len(suspects) == 1:
            self._give_up(suspects[0], str(error))
        else:
            self._halve(len(suspects))

    def stalled(self, error: Stalled) -> None:
        """`error.topics` did not acknowledge, though all else did."""
        for topic in error.topics:
            strikes = self._strikes.get(topic, 0) + 1
            _bounded(self._strikes)[topic] = strikes
            if strikes >= STRIKES:
                self._close(topic, str(error))

    def failed(self, batch: Sequence[Pending]) -> None:
        """The delivery failed, and nothing else is known. Usually the brokers are away, which is no query's
        fault."""
        self._failures += 1
        if any(self._given_up.pop(_key(pending), None) for pending in batch):
            # Not even the rejection goes out, so it was not the answer's fault. Doubt it later the next time.
            self._patience *= 2
            self._failures = 0
        elif len(batch) > 1 and self._failures % STRIKES == 0:
            self._halve(len(batch))
        elif len(batch) == 1 and self._failures >= self._patience:
            self._doubt(batch[0])

    def _doubt(self, pending: Pending) -> None:
        """This query alone has failed often."""
        if not self._alive(pending):
            self._failures = 0
        elif self._failures > self._patience:
            self._give_up(pending, f"its answer could not be delivered in {self._failures} tries")

    def _give_up(self, pending: Pending, why: str) -> None:
        _bounded(self._given_up)[_key(pending)] = ("answer-undeliverable", why)
        self._failures = 0

    def _close(self, topic: str, why: str) -> None:
        _bounded(self._closed)[topic] = (time.monotonic() + CLOSED_S, why)

    def _halve(self, size: int) -> None:
        self.most = max(1, size // 2)
        self._unsure = size
        self._failures = 0


def _key(pending: Pending) -> QueryKey:
    return pending.record.partition, pending.record.offset


def _bounded(known: dict[K, V]) -> dict[K, V]:
    """`known`, without its oldest if it is full: ready for one more."""
    if len(known) >= MOST_REMEMBERED:
        del known[next(iter(known))]
    return known
