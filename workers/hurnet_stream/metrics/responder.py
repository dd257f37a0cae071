"""What responders measure."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import get_args

from hurnet_schemas.answer import Outcome
from hurnet_stream.metrics.ages import DAY_S, age_s
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.metrics.kafka import KafkaMetrics
from hurnet_stream.metrics.registry import QUICK
from hurnet_stream.metrics.transactions import TransactionMetrics

WAITING = (*QUICK, 30.0, 60.0, 300.0, 3600.0)
SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)
OLD_QUERY_S = 30 * DAY_S
"""A query's timestamp that is older than this tells no age: an old query has waited."""


class ResponderMetrics(HoldingMetrics, KafkaMetrics, TransactionMetrics):
    """From queries to answers."""

    PHASES = ("tail", "poll", "embed", "search", "rank", "deliver", "rehearse")

    def __init__(self) -> None:
        super().__init__()
        self._oldest_waiting_since: float | None = None  # seconds since the epoch
        self._queries()
        self._limits()
        self._slices()

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

    def _waiting_s(self) -> float:
        since = self._oldest_waiting_since
        return 0.0 if since is None else max(0.0, time.time() - since)

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

    def _slices(self) -> None:
        self.slices = self._gauge(
            "slices", "Into how many slices the entries are shared out that this responder asks; 0: none."
        )
        self.slices_away = self._gauge(
            "slices_away", "Slices of these that can't be asked: no process that holds one answers."
        )
        self.partial_answers = self._counter(
            "partial_answers", "Answers that were given without some slices (HURNET_SLICES_AWAY is partial)."
        )
        self.conversations = self._counter(
            "conversations",
            "Conversations with all slices, by how they ended: ok; moved, since a slice took entries in "
            "meanwhile; away, since one did not answer. The last two were begun again.",
            "outcome",
        )
        self._from_zero(self.conversations, ("ok", "moved", "away"))
        self.round_seconds = self._histogram(
            "round_seconds",
            "Seconds until all slices had answered one round of a conversation, by its kind.",
            QUICK,
            ("round",),
        )
