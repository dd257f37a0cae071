"""Every hour all texts of a partition are deleted, and the deletion is watched: it is a promise, too.

    no probe under way ─▶ tombstone ─▶ a question about a deleted text ─▶ is it still in the store?
                           posted       insists on the tombstone's offset   asked every two seconds
                                        not answered with it: gone          no longer: ok

At the start each partition gets a tombstone that is not watched, because nobody knows what an earlier run has
left. A deletion ends in one outcome:

    ok            no longer answered within the time-out, and erased within its own
    still-there   answered with all the same, or not erased in time
    failed        it could not be seen: Kafka took no tombstone, nobody answered, or the store can't be asked
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from hurnet_schemas import Answer, InvalidMessage, Query
from hurnet_stream.canary.aside import Aside, Run, in_thread
from hurnet_stream.canary.mail import Mail
from hurnet_stream.canary.once_only import OnceOnly
from hurnet_stream.canary.probe import Probe
from hurnet_stream.metrics.canary import CanaryMetrics, DeletionOutcome
from hurnet_stream.settings.settings import CanarySettings

log = structlog.get_logger()

Holds = Callable[[int, int], bool]
"""Whether the store still has the bytes of the entry of that partition and offset."""
LOOK_S: Final = 2.0
"""How often the store is asked."""
AGAIN_S: Final = 60.0
"""When a tombstone is sent again that Kafka did not take."""
CANDIDATES: Final = 5
"""How many answers the question about a deleted text asks for: it must be none of them."""


@dataclass(slots=True)
class Deletion:
    """A tombstone that was sent, and a text that it deletes. Times are monotonic seconds."""

    id: str
    probe: Probe
    sent: float
    deadline: float
    offset: int | None = None
    gone: bool = False
    looked: float = float("-inf")
    unseen: str = ""


class Cleaning:
    """Deletes, and watches one deletion a partition."""

    def __init__(
        self,
        mail: Mail,
        replies: OnceOnly,
        settings: CanarySettings,
        metrics: CanaryMetrics,
        holds: Holds | None,
        run: Run = in_thread,
    ) -> None:
        self._mail = mail
        self._replies = replies
        self._settings = settings
        self._metrics = metrics
        self._holds = holds
        self._look: Aside[bool] = Aside(run)
        self._looking: str = ""
        self._due: dict[int, float] = {}
        self._open: dict[str, Deletion] = {}
        self.unacknowledged: dict[str, int] = {}
        """Tombstones that Kafka has not acknowledged yet, and their partitions."""

    def due(self, partition: int, now: float) -> bool:
        """Whether the partition is to be cleaned. One that is new is, at once."""
        watched = any(deletion.probe.partition == partition for deletion in self._open.values())
        return self._due.get(partition, now) <= now and not watched

    def begin(self, partition: int, target: Probe | None, now: float) -> None:
        """Delete all texts of a partition, and watch what becomes of `target`, one of them."""
        name = uuid.uuid4().hex
        self._due[partition] = now + self._settings.deletion_interval
        self.unacknowledged[name] = partition
        if target:
            self._open[name] = Deletion(name, target, now, now + self._settings.timeout)
        self._mail.tombstone(name, partition)

    def tombstone_kept(self, name: str, offset: int, now: float) -> None:
        """Ask for the deleted text as of the tombstone."""
        self.unacknowledged.pop(name, None)
        if (deletion := self._open.get(name)) is None:
            return
        deletion.offset = offset
        self._replies.expect(name, deletion.deadline)
        query = Query(
            text=deletion.probe.text,
            id=name,
            context=self._settings.context,
            top_k=CANDIDATES,
            min_watermarks={deletion.probe.partition: offset},
            timeout_ms=max(1, round((deletion.deadline - now) * 1000)),
        )
        self._mail.question(name, query, deletion.probe.trace)

    def undelivered(self, name: str, why: str, now: float) -> None:
        """Kafka did not take the tombstone, which then is sent again soon, or the question about it."""
        if (partition := self.unacknowledged.pop(name, None)) is not None:
            self._due[partition] = min(self._due[partition], now + AGAIN_S)
        if deletion := self._open.get(name):
            self._end(deletion, "failed", why)

    def replied(self, name: str, answer: Answer | InvalidMessage, at: float) -> None:
        """The reply to the question about a deleted text."""
        if (deletion := self._open.get(name)) is None or deletion.gone:
            return
        if why := _unusable(deletion, answer):
            self._end(deletion, "failed", why)
        elif isinstance(answer, Answer) and _answers_with(deletion.probe, answer):
            self._end(deletion, "still-there", "it is answered with after its tombstone")
        else:
            self._metrics.deletion_seconds.observe(at - deletion.sent)
            self._gone(deletion)

    def step(self, now: float) -> None:
        """Look into the store, and end what takes too long."""
        self._take_look(now)
        for deletion in list(self._open.values()):
            if now >= deletion.deadline:
                self._expire(deletion)
            elif deletion.gone and not self._look.busy and now - deletion.looked >= LOOK_S:
                self._start_look(deletion, now)

    def void(self) -> None:
        """Watch no deletion any further, because the canary itself stood still. They were sent all the
        same."""
        self._open.clear()

    def deadlines(self) -> Iterator[float]:
        """When something is to be done at the latest."""
        return (deletion.deadline for deletion in self._open.values())

    def _gone(self, deletion: Deletion) -> None:
        if self._holds is None:
            self._end(deletion, "ok", "")
            return
        deletion.gone, deletion.deadline = True, deletion.sent + self._settings.deletion_timeout

    def _start_look(self, deletion: Deletion, now: float) -> None:
        holds, probe = self._holds, deletion.probe
        if holds is not None:
            deletion.looked, self._looking = now, deletion.id
            self._look.start(lambda: holds(probe.partition, probe.offset or 0))

    def _take_look(self, now: float) -> None:
        seen = self._look.result()
        deletion = self._open.get(self._looking)
        if seen is None or deletion is None:
            return
        deletion.unseen = str(seen) if isinstance(seen, Exception) else ""
        if seen is False:
            self._metrics.erasure_seconds.observe(now - deletion.sent)
            self._end(deletion, "ok", "")

    def _expire(self, deletion: Deletion) -> None:
        if not deletion.gone:
            self._end(deletion, "failed", "nobody answered the question about it in time")
        elif deletion.unseen:
            self._end(deletion, "failed", f"the store can't be asked: {deletion.unseen}")
        else:
            seconds = self._settings.deletion_timeout
            self._end(deletion, "still-there", f"its bytes are in the store after {seconds:g} s")

    def _end(self, deletion: Deletion, outcome: DeletionOutcome, why: str) -> None:
        del self._open[deletion.id]
        self._metrics.deletions.labels(outcome).inc()
        if outcome != "ok":
            log.warning("a deletion failed", outcome=outcome, why=why, partition=deletion.probe.partition)


def _unusable(deletion: Deletion, answer: Answer | InvalidMessage) -> str:
    """Why the reply says nothing of the deletion; "" if it does."""
    if isinstance(answer, InvalidMessage):
        return f"the answer can't be read: {answer}"
    receipt = answer.receipt
    if receipt is None:
        return f"{answer.outcome}: {answer.reason}"
    seen = receipt.watermarks.get(deletion.probe.partition, -1)
    return "" if seen >= (deletion.offset or 0) else f"the receipt has seen {seen}, not {deletion.offset}"


def _answers_with(probe: Probe, answer: Answer) -> bool:
    return any(
        (each.entry.partition, each.entry.offset) == (probe.partition, probe.offset)
        or each.text == probe.text
        for each in answer.candidates
    )
