"""What the canary measures: the system as clients see it, and not itself."""

from __future__ import annotations

from typing import Literal, get_args

from hurnet_stream.metrics.process import ProcessMetrics

FRESH = (
    *(0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 1.5, 2.0, 3.0, 5.0),
)
"""Ends before the shortest time-out of a probe, so that what never comes lies in no bucket but +Inf."""
GONE = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
ProbeOutcome = Literal["ok", "wrong", "abstained", "rejected", "timed-out", "no-reply", "produce-failed"]
DeletionOutcome = Literal["ok", "still-there", "failed"]
VerifiedOutcome = Literal["ok", "different", "unproved"]


class CanaryMetrics(ProcessMetrics):
    """From a text that was sent to its answer, and to its deletion."""

    def __init__(self) -> None:
        super().__init__()
        self._of_probes()
        self._of_deletions()
        self.verified_offsets = self._counter(
            "canary_verified_offsets",
            "Offsets of texts at which topic and store were compared: ok, if they agree; different, if a "
            "text is lost, altered or invented; unproved, if the topic no longer holds it or the comparison "
            "could not be made.",
            "outcome",
        )
        self._from_zero(self.probes, get_args(ProbeOutcome))
        self._from_zero(self.deletions, get_args(DeletionOutcome))
        self._from_zero(self.verified_offsets, get_args(VerifiedOutcome))

    def probe_ended(self, outcome: ProbeOutcome) -> None:
        """Count a probe."""
        self.probes.labels(outcome).inc()
        self.last_probe.set_to_current_time()

    def _of_probes(self) -> None:
        self.probes = self._counter(
            "canary_probes",
            "Texts that the canary has sent and asked back, by what came of them: ok, wrong, abstained, "
            "rejected, timed-out (the responder waited for the text in vain), no-reply, produce-failed "
            "(Kafka took the text or the question not).",
            "outcome",
        )
        self.duplicates = self._counter(
            "canary_duplicates",
            "Replies of the canary's that came a second time within a minute. Each breaks the promise that "
            "a question is answered exactly once.",
        )
        self.freshness_seconds = self._histogram(
            "canary_freshness_seconds",
            "Seconds from sending a text to the right answer to the question about it, on the canary's own "
            "clock. A probe that is not ok counts as its time-out, beyond the last bucket.",
            FRESH,
        )
        self.answer_seconds = self._histogram(
            "canary_answer_seconds",
            "Seconds from sending a question to its reply, which waits until the text can be found. Without "
            "a reply it counts as the time-out, beyond the last bucket.",
            FRESH,
        )
        self.partition_well = self._gauge(
            "canary_partition_well",
            "1 if the last probe through this partition of texts was ok, otherwise 0.",
            "partition",
        )
        self.last_probe = self._gauge(
            "canary_last_probe_timestamp_seconds",
            "When the last probe ended, whatever came of it, in seconds since 1970. Before the first one: "
            "when the canary started.",
        )
        self.last_probe.set_to_current_time()

    def _of_deletions(self) -> None:
        self.deletions = self._counter(
            "canary_deletions",
            "Deletions of the canary's that were watched: ok, still-there (answered with, or in the store, "
            "after its time), failed (it could not be seen).",
            "outcome",
        )
        self.deletion_seconds = self._histogram(
            "canary_deletion_seconds",
            "Seconds from sending a tombstone to an answer that has seen it and is not made of what it "
            "deletes.",
            GONE,
        )
        self.erasure_seconds = self._histogram(
            "canary_erasure_seconds",
            "Seconds from sending a tombstone until the store no longer has what it deletes, as far as the "
            "canary may look.",
            GONE,
        )
