"""Every metric of every worker, in one place, with its meaning and its unit (seconds, bytes, records, rows).

A record is one Kafka message, a row is one entry of the store. Lag is in records or rows and is never turned
into time. Freshness is measured: from a record's timestamp to the moment its entry can be an answer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_QUICK = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_FRESH = (
    *(0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
    *(5.0, 15.0, 60.0, 300.0, 3600.0),
)
_LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)

AHEAD_S, OLD_S = 60.0, 86_400.0
"""A timestamp further ahead or older than this does not tell when the record was made."""
FIGURES = ("count", "condition", "effective_rank", "residual")
"""What of a certificate somebody would alert on. Receipts and `hurnet status` show more."""


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # CPU seconds, resident bytes, open files: on Linux
        self._shown: dict[Gauge, set[Any]] = {}
        self._loop()
        self._ingest()
        self._context()
        self._solver()
        self._responder()
        self._feedback()

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)

    def set_by_partition(self, gauge: Gauge, values: Mapping[int, int]) -> None:
        """Show exactly these partitions. One that moved away leaves no series behind; one that stays is there
        at every moment, also while this runs."""
        self._set_exactly(gauge, values)

    def set_context_rows(self, values: Mapping[str, int]) -> None:
        """Show exactly these contexts. One that was dropped, or is empty now, leaves no series behind."""
        self._set_exactly(self.context_rows, values)

    def _set_exactly(self, gauge: Gauge, values: Mapping[int, int] | Mapping[str, int]) -> None:
        for label in self._shown.get(gauge, set()) - values.keys():
            gauge.remove(label)
        for label, value in values.items():
            gauge.labels(label).set(value)
        self._shown[gauge] = set(values)

    def weights_in_force(
        self, context: str, version: int, published_s: float, certificate: Mapping[str, float | str | None]
    ) -> None:
        """Weights of `context` came into force. `published_s` is in seconds since the epoch."""
        self.weights_version.labels(context).set(version)
        self.weights_age.labels(context).set_function(lambda: max(0.0, time.time() - published_s))
        for figure in FIGURES:
            value = certificate.get(figure)
            if isinstance(value, int | float):
                self.certificate.labels(context, figure).set(value)

    def no_weights_in_force(self, context: str) -> None:
        """Weights of `context` were withdrawn, and with them go their figures."""
        for metric in (self.weights_version, self.weights_age, self.weights_refused):
            with contextlib.suppress(KeyError):
                metric.remove(context)
        self.certificate.remove_by_labels({"context": context})

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

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"hurnet_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"hurnet_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...] = _QUICK) -> Histogram:
        return Histogram(f"hurnet_{name}", meaning, buckets=buckets, registry=self.registry)

    def _loop(self) -> None:
        self.turns = self._counter("loop_turns", "Turns of the worker's loop.")
        self.transient_errors = self._counter(
            "transient_errors",
            "Turns that failed because of something that should pass, and were tried again.",
            "dependency",
            "kind",
        )
        self.ready = self._gauge("ready", "1 while /readyz says yes, otherwise 0.")

    def _ingest(self) -> None:
        self.records = self._counter("records", "Records read from Kafka.", "topic")
        self.bytes = self._counter("bytes", "Bytes of the values of records read from Kafka.", "topic")
        self.rows = self._counter("rows", "Rows appended to the store.")
        self.batches = self._counter("batches", "Batches of rows appended to the store.")
        self.deletions = self._counter("deletions", "Records that delete entries, appended to the store.")
        self.contexts = self._gauge(
            "contexts", "Contexts that there are, as of the last text that named a new one."
        )
        self.dead_letters = self._counter(
            "dead_letters", "Records that could not be processed and became dead letters.", "reason"
        )
        self.dead_letters_alarm = self._gauge(
            "dead_letters_alarm",
            "1 while so many records become dead letters that their producer must be broken.",
        )
        self.skipped_offsets = self._counter(
            "skipped_offsets",
            "Offsets that the topic no longer held when they were to be read, and were skipped.",
        )
        self.refused = self._counter(
            "appends_refused",
            "Appends that the store refused because another worker had appended to the shard meanwhile.",
        )
        self.lag_records = self._gauge(
            "lag_records",
            "Records in Kafka that were not read yet. Absent while this is not known.",
            "partition",
        )
        self.held_records = self._gauge(
            "held_records",
            "Records that can't be read yet because a transaction before them is open.",
            "partition",
        )
        self.embed_seconds = self._histogram(
            "embed_seconds", "Seconds to turn the texts of one poll into vectors."
        )
        self.append_seconds = self._histogram("append_seconds", "Seconds to append one batch to the store.")

    def _context(self) -> None:
        self.lag_rows = self._gauge(
            "lag_rows", "Rows of the store that this worker has not taken in yet.", "partition"
        )
        self.context_rows = self._gauge(
            "context_rows",
            "In a responder, rows held in memory. In a solver, pairs learned, each as often as its weight "
            "says.",
            "context",
        )
        self.freshness_seconds = self._histogram(
            "freshness_seconds",
            "Seconds from a record's timestamp until its entry can be an answer. Entries loaded at the "
            "start do not count.",
            _FRESH,
        )
        self.freshness_unknown = self._counter(
            "freshness_unknown",
            "Entries without a freshness, because their timestamp is over a day old or over a minute ahead.",
        )

    def _solver(self) -> None:
        self.solve_seconds = self._histogram(
            "solve_seconds", "Seconds to solve the weights of one context.", _LONG
        )
        self.checkpoint_seconds = self._histogram(
            "checkpoint_seconds", "Seconds to save a checkpoint of the statistics.", _LONG
        )
        self.pending_rows = self._gauge(
            "pending_rows", "Rows that are deleted and still have to be erased from the store.", "partition"
        )
        self.unlearned = self._counter(
            "unlearned_pairs",
            "Pairs taken out of the statistics again, because they were deleted.",
            "context",
        )
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
        self.weights_refused = self._counter(
            "weights_refused",
            "Weights that were not put into force because they were not good enough.",
            "context",
        )
        self.weights_version = self._gauge(
            "weights_version", "The version of the weights in force.", "context"
        )
        self.weights_age = self._gauge(
            "weights_age_seconds", "Seconds since the weights in force were published.", "context"
        )
        self.certificate = self._gauge(
            "certificate",
            "How good the weights in force are. count: pairs learned; condition: condition number of the "
            "system that was solved; effective_rank: directions that the pairs use; residual: share of the "
            "targets that the weights do not reproduce (0 to 1).",
            "context",
            "figure",
        )

    def _responder(self) -> None:
        self.queries = self._counter("queries", "Queries that got a reply.", "outcome")
        self.scored = self._counter(
            "scored_queries",
            "Queries that were looked into, by context and outcome. Coverage is answered / (answered + "
            "abstained). Queries to contexts without entries count as of the context (empty).",
            "context",
            "outcome",
        )
        self.answer_seconds = self._histogram(
            "answer_seconds", "Seconds from reading a query to the delivery of its answer."
        )
        self.score_seconds = self._histogram(
            "score_seconds", "Seconds to find the answers to one batch of queries."
        )
        self.device_failures = self._counter(
            "device_failures", "GPUs that failed. From then on the CPU searches."
        )
        self.transactions_aborted = self._counter(
            "transactions_aborted",
            "Deliveries of answers, or of what feedback teaches, that were rolled back and done again.",
        )
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
        self.backlog = self._gauge(
            "backlog_batches",
            "Batches that were read but are not in memory yet, because a deletion of many entries comes "
            "first.",
        )
        self.queries_waiting = self._gauge(
            "queries_waiting", "Queries that wait until the offsets in their min_watermarks are there."
        )

    def _feedback(self) -> None:
        self.verdicts = self._counter(
            "verdicts",
            "What people said of answers, before anything was learned from it. Accuracy is right / (right + "
            "wrong). Only the first hundred contexts are shown by name.",
            "context",
            "verdict",
        )
