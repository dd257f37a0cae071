"""What workers show in their metrics: of the entries that they hold, and of questions with an answer."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hurnet_schemas import Answer
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.responder.generation import LoadedGeneration
from hurnet_stream.responder.replies import Reply

WEIGH_INTERVAL_S = 10.0
"""How often it is counted what the indexes take of memory: 0.2 ms for a million rows."""


class HeldShowing:
    """Shows how far a generation is, and what is held of it."""

    def __init__(self, metrics: HoldingMetrics) -> None:
        self._metrics = metrics
        self._weighed_at = float("-inf")

    def show(self, held: LoadedGeneration) -> None:
        """At the end of a turn."""
        metrics, memory = self._metrics, held.memory
        metrics.set_by_shard(metrics.lag_rows, held.following.lag)
        metrics.show_watermarks(memory.watermarks())
        metrics.show_server(held.store)
        metrics.set_context_rows(memory.rows())
        metrics.backlog.set(held.following.backlog)
        if time.monotonic() - self._weighed_at >= WEIGH_INTERVAL_S:
            self._weighed_at = time.monotonic()
            metrics.set_index_bytes(memory.index_bytes())


def count_replies(replies: Sequence[Reply], metrics: ResponderMetrics) -> None:
    """After their delivery, so that what was rolled back does not count."""
    now, now_s = time.monotonic(), time.time()
    for reply in replies:
        metrics.queries.labels(reply.answer.outcome).inc()
        exemplar = {"trace_id": reply.trace.trace_id} if reply.trace else None
        asked_ms = reply.pending.record.timestamp_ms
        metrics.observe_query(reply.answer.outcome, asked_ms, now_s, exemplar)
        _count_quality(reply.answer, reply.best, metrics)
        metrics.answers_cut.inc(bool(reply.answer.candidates_dropped))
        metrics.answer_seconds.observe(now - reply.pending.received, exemplar)
        if reply.pending.rejection:
            metrics.dead_letters.labels(reply.pending.rejection[0]).inc()


def _count_quality(answer: Answer, best: float | None, metrics: ResponderMetrics) -> None:
    receipt = answer.receipt
    if receipt is None:  # nothing was looked into
        return
    # Clients may name any context: only those that hold something become labels.
    context = metrics.counted_as(receipt.context) if receipt.rows else "(empty)"
    metrics.scored.labels(context, answer.outcome).inc()
    metrics.partial_answers.inc(bool(receipt.missing))
    metrics.observe_quality(best, receipt.probability)
