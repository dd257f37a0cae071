"""Every metric of every worker, in one place, with its meaning and unit (seconds, bytes, records, rows).

A record is what Kafka holds, a row an entry of the context. Lag is in records or rows and never turned into
time; freshness is measured, from a record's timestamp to the moment its entry can be answered with.
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
    0.005,
    0.01,
    0.02,
    0.035,
    0.05,
    0.075,
    0.1,
    0.15,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    15.0,
    60.0,
    300.0,
    3600.0,
)
AHEAD_S, OLD_S = 60.0, 86_400.0
"""Between these a record's timestamp tells when it was made; see `Metrics.observe_freshness`."""
_LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


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

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)

    def set_by_partition(self, gauge: Gauge, values: Mapping[int, int]) -> None:
        """Exactly these partitions: one that moved away leaves no stale series, and one that stays is there
        at every moment."""
        self._set_exactly(gauge, values)

    def set_context_rows(self, values: Mapping[str, int]) -> None:
        """Exactly these contexts: one that was dropped, or lost all that it held, leaves no stale series."""
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
        """New weights serve `context`, published at `published_s` (seconds since the epoch)."""
        self.weights_version.labels(context).set(version)
        self.weights_age.labels(context).set_function(lambda: max(0.0, time.time() - published_s))
        for figure, value in certificate.items():
            if isinstance(value, int | float):
                self.certificate.labels(context, figure).set(value)

    def no_weights_in_force(self, context: str) -> None:
        """Weights of `context` were withdrawn: figures of weights that don't serve would mislead."""
        for metric in (self.weights_version, self.weights_age, self.weights_refused):
            with contextlib.suppress(KeyError):
                metric.remove(context)
        self.certificate.remove_by_labels({"context": context})

    def observe_freshness(self, timestamps_ms: Iterable[int], now_s: float) -> None:
        """Entries with these timestamps are answerable from `now_s` on. A timestamp that tells no freshness
        is counted apart: an old record that was sent again, a producer without a clock or ahead of ours."""
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
        self.turns = self._counter("loop_turns", "turns of the worker's loop")
        self.transient_errors = self._counter(
            "transient_errors", "steps that failed and were tried again", "dependency", "kind"
        )
        self.ready = self._gauge("ready", "1 while /readyz says yes")

    def _ingest(self) -> None:
        self.records = self._counter("records", "records polled", "topic")
        self.rows = self._counter("rows", "rows appended to the context")
        self.batches = self._counter("batches", "batches appended to the context")
        self.bytes = self._counter("bytes", "bytes of record values polled", "topic")
        self.deletions = self._counter("deletions", "records that delete entries, appended to the context")
        self.contexts = self._gauge(
            "contexts", "names of contexts in use, as of the last text of one that was not known"
        )
        self.dead_letters_alarm = self._gauge(
            "dead_letters_alarm",
            "1 while so many records are dead letters that their producer must be broken",
        )
        self.skipped_offsets = self._counter(
            "skipped_offsets", "offsets that the topic no longer held when their turn came, gone on without"
        )
        self.refused = self._counter(
            "appends_refused", "appends refused because the shard's watermark was another than expected"
        )
        self.dead_letters = self._counter("dead_letters", "records put aside", "reason")
        self.lag_records = self._gauge(
            "lag_records", "records not yet polled; absent while that is not known", "partition"
        )
        self.held_records = self._gauge(
            "held_records", "records behind a transaction that is still open", "partition"
        )
        self.embed_seconds = self._histogram("embed_seconds", "embedding what one poll brought")
        self.append_seconds = self._histogram("append_seconds", "appending one batch")

    def _context(self) -> None:
        self.lag_rows = self._gauge(
            "lag_rows", "rows of the context not yet folded in or loaded", "partition"
        )
        self.context_rows = self._gauge(
            "context_rows",
            "rows held in memory, or folded in: those as often as their weights say",
            "context",
        )
        self.freshness_unknown = self._counter(
            "freshness_unknown",
            "entries loaded after catching up whose timestamp is over a day old or a minute ahead",
        )
        self.freshness_seconds = self._histogram(
            "freshness_seconds",
            "record timestamp to answerable, for entries loaded after catching up",
            _FRESH,
        )

    def _solver(self) -> None:
        self.solve_seconds = self._histogram("solve_seconds", "solving the weights of one context", _LONG)
        self.checkpoint_seconds = self._histogram("checkpoint_seconds", "writing a checkpoint", _LONG)
        self.pending_rows = self._gauge(
            "pending_rows", "rows that are deleted and not erased from the store yet", "partition"
        )
        self.unlearned = self._counter(
            "unlearned_pairs", "pairs taken out of the statistics again", "context"
        )
        self.weights_refused = self._counter("weights_refused", "solutions that the gate refused", "context")
        self.weights_version = self._gauge("weights_version", "version of the weights in force", "context")
        self.weights_age = self._gauge(
            "weights_age_seconds", "since the weights in force were published", "context"
        )
        self.certificate = self._gauge(
            "certificate", "figures of the certificate of the weights in force", "context", "figure"
        )

    def _responder(self) -> None:
        self.queries = self._counter("queries", "queries by outcome", "outcome")
        self.answer_seconds = self._histogram(
            "answer_seconds", "from polling a query to its delivered answer"
        )
        self.score_seconds = self._histogram("score_seconds", "scoring one micro-batch of queries")
        self.device_failures = self._counter(
            "device_failures", "devices that failed: since then the CPU searches"
        )
        self.transactions_aborted = self._counter("transactions_aborted", "deliveries that were rolled back")
        self.positions_moved = self._counter(
            "positions_moved",
            "partitions of queries not read on from where the group had committed",
            "reason",
        )
        self.queries_skipped = self._counter(
            "queries_skipped", "queries known to be gone before they were answered", "reason"
        )
        self.answers_cut = self._counter(
            "answers_cut", "answers from which candidates were left out, so that they fit into a message"
        )
        self.turns_cut = self._counter(
            "turns_cut", "turns that left queries to the next one for want of time or room"
        )
        self.backlog = self._gauge(
            "backlog_batches",
            "batches that were read and are not in memory: behind a deletion of many entries",
        )
        self.queries_waiting = self._gauge("queries_waiting", "queries waiting for their min_watermarks")
