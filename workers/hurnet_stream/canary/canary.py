"""The canary: a small client that does what clients do, every few seconds, and says whether it was done
right.

    a text to each partition of `texts` in turn ─▶ ingest ─▶ store ─▶ responder ◀─ the question about it
                        └───────────────── one answer, right, and how long it took ─────────────────┘

Each turn of its loop begins what is due, hears what has come, and ends what takes too long. It never waits
for a server: what Kafka does not take is a failed probe, and so is what nobody answers. Every text is deleted
again (cleaning.py), and now and then topic and store are compared (no_loss.py).

If the canary itself stood still (a paused machine, a debugger), the probes of that time say nothing of the
system. Neither they nor the deletions that were being watched are counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from hurnet_stream.canary.aside import Run, in_thread
from hurnet_stream.canary.cleaning import Cleaning, Holds
from hurnet_stream.canary.mail import QUESTION, TEXT, TOMBSTONE, Mail
from hurnet_stream.canary.no_loss import NoLoss, Verify
from hurnet_stream.canary.once_only import OnceOnly
from hurnet_stream.canary.probe import decoded
from hurnet_stream.canary.probing import Probing
from hurnet_stream.metrics.canary import CanaryMetrics
from hurnet_stream.ports import Acknowledged, Courier, News, Replied, Undelivered
from hurnet_stream.settings.settings import Settings

log = structlog.get_logger()

TURN_S: Final = 0.5
"""The longest turn: the loop must turn, and stop when it is told to."""
STILL_S: Final = 2.0
"""A turn that takes so much longer than it should has stood still."""
DRAIN_S: Final = 3.0
"""How long the end waits for the last tombstones to be acknowledged."""


@dataclass(frozen=True, slots=True)
class StoreLooks:
    """What the canary asks the store, where it may: whether it has an entry, and whether a sample of it is
    what the topic says."""

    holds: Holds
    verify: Verify


class Canary:
    """The worker: `step` is one turn. Without `looks` it never asks the store."""

    name = "canary"

    def __init__(
        self,
        courier: Courier,
        settings: Settings,
        metrics: CanaryMetrics,
        looks: StoreLooks | None = None,
        clock: Callable[[], float] = time.monotonic,
        run: Run = in_thread,
    ) -> None:
        chosen = settings.canary
        self._courier = courier
        self._metrics = metrics
        self._interval_s = chosen.interval
        self._clock = clock
        self._replies = OnceOnly()
        self._mail = Mail(courier, settings.kafka, chosen)
        self._probing = Probing(self._mail, self._replies, chosen, metrics)
        holds, verify = (looks.holds, looks.verify) if looks else (None, None)
        self._cleaning = Cleaning(self._mail, self._replies, chosen, metrics, holds, run)
        self._no_loss = NoLoss(verify, chosen, metrics, run)
        self._due = clock()
        self._begun = 0

    def step(self) -> None:
        """Begin what is due, hear what has come, end what takes too long."""
        now = self._clock()
        self._clean(now)
        self._probe(now)
        wait_s = self._wait(now)
        news = self._courier.receive(wait_s)
        if self._clock() - now > wait_s + STILL_S:
            log.warning("the canary stood still: its probes are not counted", probes=self._probing.void())
            self._cleaning.void()
        for each in news:
            self._hear(each)
        now = self._clock()
        self._probing.expire(now)
        self._cleaning.step(now)
        self._no_loss.step(now)
        self._replies.forget(now)

    def unready(self) -> list[str]:
        if trouble := self._courier.trouble():
            return [trouble]
        return [] if self._probing.ended else ["no probe has ended yet"]

    def standing(self) -> str:
        return f"probing {self._mail.partitions()} partitions"

    def drain(self) -> None:
        """Delete the texts of this run, so that nothing is left until the next start."""
        now = self._clock()
        for partition in range(self._mail.partitions()):
            self._cleaning.begin(partition, None, now)
        while self._cleaning.unacknowledged and self._clock() < now + DRAIN_S:
            for news in self._courier.receive(0.1):
                if not isinstance(news, Replied):
                    self._cleaning.unacknowledged.pop(news.ticket.partition("/")[2], None)

    def close(self) -> None:
        self._courier.close()

    def _clean(self, now: float) -> None:
        """Delete what is due, where no probe is under way that would lose its text by it."""
        for partition in range(self._mail.partitions()):
            if self._cleaning.due(partition, now) and not self._probing.busy(partition):
                self._cleaning.begin(partition, self._probing.answered.pop(partition, None), now)

    def _probe(self, now: float) -> None:
        """Begin a probe if one is due. What was missed is not made up for."""
        if now < self._due:
            return
        self._due = max(self._due + self._interval_s, now)
        partition = self._begun % self._mail.partitions()
        self._begun += 1
        if not self._cleaning.due(partition, now):  # else it waits until the partition is quiet
            self._probing.begin(partition, now)

    def _wait(self, now: float) -> float:
        ends = (*self._probing.deadlines(), *self._cleaning.deadlines(), self._due)
        return min(TURN_S, max(0.0, min(ends) - now))

    def _hear(self, news: News) -> None:
        if isinstance(news, Replied):
            self._hear_reply(news)
            return
        kind, _, name = news.ticket.partition("/")
        if isinstance(news, Undelivered):
            self._probing.undelivered(name, news.why, news.at)
            self._cleaning.undelivered(name, news.why, news.at)
        else:
            self._kept(kind, name, news)

    def _kept(self, kind: str, name: str, news: Acknowledged) -> None:
        """Kafka has a message of ours."""
        if kind == TEXT:
            self._probing.text_kept(name, news.offset, self._clock())
        elif kind == QUESTION:
            self._probing.question_kept(name)
        elif kind == TOMBSTONE:
            self._cleaning.tombstone_kept(name, news.offset, self._clock())

    def _hear_reply(self, reply: Replied) -> None:
        which = self._replies.replied(reply.correlation, reply.at)
        if which == "again":
            self._metrics.duplicates.inc()
            log.error("a question was answered twice", correlation=reply.correlation)
        elif which == "first":
            answer = decoded(reply.value)
            if not self._probing.replied(reply.correlation, answer, reply.at):
                self._cleaning.replied(reply.correlation, answer, reply.at)
