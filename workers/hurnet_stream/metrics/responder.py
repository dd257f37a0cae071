"""What responders measure."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import get_args

from hurnet_schemas.answer import Outcome
from hurnet_stream.metrics.ages import DAY_S, age_s
from hurnet_stream.metrics.context import ContextMetrics
from hurnet_stream.metrics.kafka import KafkaMetrics
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.metrics.registry import OTHERS, QUICK
from hurnet_stream.metrics.store import StoreMetrics
from hurnet_stream.metrics.transactions import TransactionMetrics

FRESH = (
    *(0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
    *(5.0, 15.0, 60.0, 300.0, 3600.0),
)
WAITING = (*QUICK, 30.0, 60.0, 300.0, 3600.0)
SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)
OLD_TEXT_S, OLD_QUERY_S = DAY_S, 30 * DAY_S
"""Timestamps older than this tell no age. Old texts are sent again, and their freshness says nothing; an old
query has waited."""


class ResponderMetrics(ProcessMetrics, KafkaMetrics, TransactionMetrics, ContextMetrics, StoreMetrics):
    """From queries to answers. Freshness is measured: from a record's timestamp to the moment its entry can
    be an answer."""

    PHASES = ("tail", "poll", "embed", "search", "rank", "deliver", "rehearse")

    def __init__(self) -> None:
        super().__init__()
        self._oldest_waiting_since: float | None = None  # seconds since the epoch
        self._following()
        self._mixes()
        self._queries()
        self._limits()

    def mix_in_force(
        self, context: str, version: int, published_s: float, right: Mapping[str, float]
    ) -> None:
        """`context` counts the parts of an answer as this mix says, and `right` is the share of its own pairs
        that it answers rightly, by their kind. `published_s` is in seconds since the epoch."""
        self.no_mix_in_force(context)  # the last one may have had kinds that this one hasn't
        if self.shown_as(context) == OTHERS:
            return
        self.mix_version.labels(context).set(version)
        self.mix_published.labels(context).set(published_s)
        for kind, share in right.items():
            self.rehearsed_right.labels(context, kind).set(share)

    def no_contexts(self) -> None:
        super().no_contexts()
        for gauge in (self.mix_version, self.mix_published, self.rehearsed_right):
            gauge.clear()

    def no_mix_in_force(self, context: str) -> None:
        """The mix of `context` was withdrawn."""
        for metric in (self.mix_version, self.mix_published):
            with contextlib.suppress(KeyError):
                metric.remove(context)
        self.rehearsed_right.remove_by_labels({"context": context})

    def observe_freshness(self, timestamps_ms: Iterable[int], now_s: float) -> None:
        """Entries with these timestamps can be answers from `now_s` (seconds since the epoch) on.

        A timestamp that tells no freshness is counted apart: an old record was sent again, or the producer
        has no clock or one that is ahead."""
        for timestamp_ms in timestamps_ms:
            seconds = age_s(timestamp_ms, now_s, OLD_TEXT_S)
            if seconds is None:
                self.freshness_unknown.inc()
            else:
                self.freshness_seconds.observe(seconds)

    def observe_query(
        self, outcome: str, timestamp_ms: int, now_s: float, exemplar: dict[str, str] | None = None
    ) -> None:
        """A query with this timestamp has its reply at `now_s` (seconds since the epoch)."""
        seconds = age_s(timestamp_ms, now_s, OLD_QUERY_S)
        if seconds is None:
            self.query_age_unknown.inc()
        else:
            self.query_age.labels(outcome).observe(seconds, exemplar)

    def observe_quality(self, score: float | None, probability: float | None) -> None:
        """Of the best candidate of a query; None: there is no candidate, or nothing tells its probability."""
        if score is not None:
            self.answer_score.observe(score)
        if probability is not None:
            self.answer_probability.observe(probability)

    def show_waiting(self, asked: Iterable[tuple[int, float]]) -> None:
        """Queries that have no reply yet, at least the oldest of them: the timestamp of each, and since when
        this worker has it (seconds since the epoch), which counts if the timestamp tells nothing."""
        now_s = time.time()
        since = (
            read_s if age_s(at_ms, now_s, OLD_QUERY_S) is None else at_ms / 1000 for at_ms, read_s in asked
        )
        self._oldest_waiting_since = min(since, default=None)

    def set_index_bytes(self, values: Mapping[str, int]) -> None:
        """Show exactly these contexts."""
        self._set_exactly(self._index_bytes, self._by_label(values))

    def _waiting_s(self) -> float:
        since = self._oldest_waiting_since
        return 0.0 if since is None else max(0.0, time.time() - since)

    def _following(self) -> None:
        self.freshness_seconds = self._histogram(
            "freshness_seconds",
            "Seconds from a record's timestamp until its entry can be an answer. The timestamp is by the "
            "clock of the producer, unless the topic stamps records itself (LogAppendTime), so this is as "
            "right as that clock; the canary measures the same by one clock. Entries loaded at the start do "
            "not count.",
            FRESH,
        )
        self.freshness_unknown = self._counter(
            "freshness_unknown",
            "Entries without a freshness, because their timestamp is over a day old or over a minute ahead.",
        )
        self._index_bytes = self._gauge(
            "index_bytes",
            "Bytes that the indexes of a context take in memory: vectors, planes, texts and words. The first "
            "hundred contexts are shown by name, and all others together.",
            "context",
        )
        self.backlog = self._gauge(
            "backlog_batches",
            "Batches that were read but are not in memory yet, because a deletion of many entries comes "
            "first.",
        )
        self.generation_awaited = self._gauge(
            "generation_awaited",
            "1 while another generation is to answer and is not loaded here yet: the one that is goes on.",
        )
        self.shelf_failures = self._counter(
            "shelf_failures",
            "Files in HURNET_RESPONDER_FOLDER that could not be written: what they were for stays in memory.",
        )
        self.device_failures = self._counter(
            "device_failures", "GPUs that failed. From then on the CPU searches."
        )

    def _mixes(self) -> None:
        self.mix_version = self._gauge(
            "mix_version", "Version of the mix in force, once a context has learned one.", "context"
        )
        self.mix_published = self._gauge(
            "mix_published_timestamp_seconds",
            "When the mix in force was published, in seconds since 1970.",
            "context",
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
        self._from_zero(self.queries, get_args(Outcome))
        self.scored = self._counter(
            "scored_queries",
            "Queries that were looked into, by context and outcome. Coverage is answered / (answered + "
            "abstained). Queries to contexts without entries count as of the context (empty). Only the first "
            "hundred contexts are shown by name.",
            "context",
            "outcome",
        )
        self.queries_waiting = self._gauge(
            "queries_waiting", "Queries that wait until the offsets in their min_watermarks are there."
        )
        oldest = self._gauge(
            "oldest_query_waiting_seconds",
            "Seconds since the oldest query was asked, by its timestamp, that was read and has no reply yet; "
            "0 if there is none. Queries that are not read yet are in the lag.",
        )
        oldest.set_function(self._waiting_s)
        self.query_age = self._histogram(
            "query_age_seconds",
            "Seconds from a query's timestamp until its reply is delivered, by outcome: with the time in "
            "Kafka, and with deliveries that were rolled back. The timestamp is by the clock of the client, "
            "or of the broker if the topic stamps records itself (LogAppendTime).",
            WAITING,
            ("outcome",),
        )
        self._from_zero(self.query_age, get_args(Outcome))
        self.query_age_unknown = self._counter(
            "query_age_unknown",
            "Queries without an age, because their timestamp is over 30 days old or over a minute ahead.",
        )
        self.answer_score = self._histogram(
            "answer_score",
            "Combined score of the best candidate of each query that was looked into, whether it was given "
            "or not. If it drifts, what is asked or what is known has changed.",
            SHARES,
        )
        self.answer_probability = self._histogram(
            "answer_probability",
            "Probability that the best candidate is right, by the calibration of its context, whether it was "
            "given or not. Without a calibration there is none.",
            SHARES,
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
