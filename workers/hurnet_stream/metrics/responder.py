"""What responders measure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from hurnet_stream.metrics.context import ContextMetrics
from hurnet_stream.metrics.kafka import KafkaMetrics
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.metrics.store import StoreMetrics
from hurnet_stream.metrics.transactions import TransactionMetrics

FRESH = (
    *(0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
    *(5.0, 15.0, 60.0, 300.0, 3600.0),
)
AHEAD_S, OLD_S = 60.0, 86_400.0
"""A timestamp further ahead or older than this does not tell when the record was made."""


class ResponderMetrics(ProcessMetrics, KafkaMetrics, TransactionMetrics, ContextMetrics, StoreMetrics):
    """From queries to answers. Freshness is measured: from a record's timestamp to the moment its entry can
    be an answer."""

    PHASES = ("tail", "poll", "embed", "search", "rank", "deliver", "rehearse")

    def __init__(self) -> None:
        super().__init__()
        self._following()
        self._mixes()
        self._queries()
        self._limits()

    def mix_in_force(self, context: str, version: int, right: Mapping[str, float]) -> None:
        """`context` counts the parts of an answer as this mix says, and `right` is the share of its own pairs
        that it answers rightly, by their kind."""
        self.no_mix_in_force(context)  # the last one may have had kinds that this one hasn't
        self.mix_version.labels(context).set(version)
        for kind, share in right.items():
            self.rehearsed_right.labels(context, kind).set(share)

    def no_mix_in_force(self, context: str) -> None:
        """The mix of `context` was withdrawn."""
        with contextlib.suppress(KeyError):
            self.mix_version.remove(context)
        self.rehearsed_right.remove_by_labels({"context": context})

    def observe_freshness(self, timestamps_ms: Iterable[int], now_s: float) -> None:
        """Entries with these timestamps can be answers from `now_s` (seconds since the epoch) on.

        A timestamp that tells no freshness is counted apart: an old record was sent again, or the producer
        has no clock or one that is ahead."""
        for timestamp_ms in timestamps_ms:
            seconds = now_s - timestamp_ms / 1000
            if -AHEAD_S <= seconds <= OLD_S:
                self.freshness_seconds.observe(max(0.0, seconds))
            else:
                self.freshness_unknown.inc()

    def _following(self) -> None:
        self.freshness_seconds = self._histogram(
            "freshness_seconds",
            "Seconds from a record's timestamp until its entry can be an answer. Entries loaded at the "
            "start do not count.",
            FRESH,
        )
        self.freshness_unknown = self._counter(
            "freshness_unknown",
            "Entries without a freshness, because their timestamp is over a day old or over a minute ahead.",
        )
        self.backlog = self._gauge(
            "backlog_batches",
            "Batches that were read but are not in memory yet, because a deletion of many entries comes "
            "first.",
        )
        self.device_failures = self._counter(
            "device_failures", "GPUs that failed. From then on the CPU searches."
        )

    def _mixes(self) -> None:
        self.mix_version = self._gauge(
            "mix_version", "Version of the mix in force, once a context has learned one.", "context"
        )
        self.rehearsed_right = self._gauge(
            "rehearsed_right",
            "Share of the context's own pairs, left out one at a time, that the others answer rightly, by "
            "how often an answer is taught (once, few, many).",
            "context",
            "kind",
        )
        self.rehearsal_failures = self._counter(
            "rehearsal_failures", "Pairs that could not be rehearsed. Each is a bug."
        )

    def _queries(self) -> None:
        self.queries = self._counter("queries", "Queries that got a reply.", "outcome")
        self.scored = self._counter(
            "scored_queries",
            "Queries that were looked into, by context and outcome. Coverage is answered / (answered + "
            "abstained). Queries to contexts without entries count as of the context (empty).",
            "context",
            "outcome",
        )
        self.queries_waiting = self._gauge(
            "queries_waiting", "Queries that wait until the offsets in their min_watermarks are there."
        )
        self.answer_seconds = self._histogram(
            "answer_seconds", "Seconds from reading a query to the delivery of its answer."
        )
        self.score_seconds = self._histogram(
            "score_seconds", "Seconds to find the answers to one batch of queries."
        )

    def _limits(self) -> None:
        self.positions_moved = self._counter(
            "positions_moved",
            "Partitions of queries that were not read on from where the consumer group had committed.",
            "reason",
        )
        self.queries_skipped = self._counter(
            "queries_skipped", "Queries that Kafka no longer held before they were answered.", "reason"
        )
        self.answers_cut = self._counter(
            "answers_cut",
            "Answers whose last candidates were left out, because they did not fit into a message.",
        )
        self.turns_cut = self._counter(
            "turns_cut", "Turns that left queries to the next turn, because time or room was used up."
        )
