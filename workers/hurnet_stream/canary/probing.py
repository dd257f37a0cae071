"""All probes that are under way, by partition of texts. None waits for another: a partition that is broken
holds up nobody, and each probe ends by its own deadline."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Final

import structlog

from hurnet_schemas import Answer, InvalidMessage
from hurnet_stream.canary.mail import Mail
from hurnet_stream.canary.once_only import OnceOnly
from hurnet_stream.canary.probe import Probe, verdict
from hurnet_stream.canary.texts import text_of
from hurnet_stream.metrics.canary import CanaryMetrics, ProbeOutcome
from hurnet_stream.settings.settings import CanarySettings

log = structlog.get_logger()

REMIND_S: Final = 60.0
"""How often a failure that goes on is said again."""


class Probing:
    """Begins probes, and says what became of them."""

    def __init__(
        self, mail: Mail, replies: OnceOnly, settings: CanarySettings, metrics: CanaryMetrics
    ) -> None:
        self._mail = mail
        self._replies = replies
        self._settings = settings
        self._metrics = metrics
        self._open: dict[str, Probe] = {}
        self._said: dict[tuple[int, ProbeOutcome], float] = {}
        self._well: dict[int, int] = {}  # by partition: 1 if its last probe was ok
        self.answered: dict[int, Probe] = {}
        """By partition, the last probe that was ok and whose text was not deleted yet."""
        self.ended = 0
        """How many probes have ended."""

    def __len__(self) -> int:
        return len(self._open)

    def busy(self, partition: int) -> bool:
        """Whether a probe of that partition is under way."""
        return any(probe.partition == partition for probe in self._open.values())

    def begin(self, partition: int, now: float) -> None:
        """Send the text of a new probe."""
        name = uuid.uuid4().hex
        probe = Probe(name, partition, text_of(name), now, now + self._settings.timeout)
        self._open[name] = probe
        self._mail.text(name, partition, probe.event(self._settings.context), probe.trace)

    def text_kept(self, name: str, offset: int, now: float) -> None:
        """Its text is at this offset: ask for it."""
        if (probe := self._open.get(name)) is None or probe.offset is not None:
            return
        probe.offset, probe.asked = offset, now
        self._replies.expect(name, probe.deadline)
        self._mail.question(name, probe.question(self._settings.context, probe.deadline - now), probe.trace)

    def question_kept(self, name: str) -> None:
        """Kafka has its question."""
        if probe := self._open.get(name):
            probe.question_kept = True

    def undelivered(self, name: str, why: str, at: float) -> None:
        """Kafka did not take its text or its question."""
        if probe := self._open.get(name):
            self._end(probe, "produce-failed", why, at)

    def replied(self, name: str, answer: Answer | InvalidMessage, at: float) -> bool:
        """A reply came. False: to none of these probes."""
        if (probe := self._open.get(name)) is None:
            return False
        outcome, why = verdict(probe, answer)
        self._metrics.answer_seconds.observe(at - (probe.asked or at))
        self._end(probe, outcome, why, at)
        return True

    def expire(self, now: float) -> None:
        """End the probes whose time is over."""
        for probe in [probe for probe in self._open.values() if probe.deadline <= now]:
            outcome = probe.outcome_in_vain()
            if outcome == "no-reply":
                self._metrics.answer_seconds.observe(self._settings.timeout)
            self._end(probe, outcome, f"nothing within {self._settings.timeout:g} s", now)

    def void(self) -> int:
        """Forget the probes that are under way, uncounted, because the canary itself stood still: how
        many."""
        count = len(self._open)
        self._open.clear()
        return count

    def deadlines(self) -> Iterator[float]:
        """When the probes under way end at the latest."""
        return (probe.deadline for probe in self._open.values())

    def _end(self, probe: Probe, outcome: ProbeOutcome, why: str, at: float) -> None:
        del self._open[probe.id]
        self.ended += 1
        in_time = outcome == "ok"
        if in_time:
            self.answered[probe.partition] = probe
        self._say(probe, outcome, why, at)
        # What never came lies beyond the last bucket, since no time-out is shorter than that.
        seconds = at - probe.began if in_time else self._settings.timeout
        self._metrics.freshness_seconds.observe(seconds)
        self._metrics.probe_ended(outcome)
        self._well[probe.partition] = int(in_time)
        self._metrics.set_by_partition(self._metrics.partition_well, self._well)

    def _say(self, probe: Probe, outcome: ProbeOutcome, why: str, at: float) -> None:
        """In the log: what fails, once a minute for each partition and outcome, and at once after all was
        well."""
        if outcome == "ok":
            self._said = {said: when for said, when in self._said.items() if said[0] != probe.partition}
        elif at - self._said.get((probe.partition, outcome), float("-inf")) >= REMIND_S:
            self._said[probe.partition, outcome] = at
            trace = probe.trace.trace_id
            log.warning("a probe failed", outcome=outcome, why=why, partition=probe.partition, trace=trace)
