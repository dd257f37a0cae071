"""What the solver that leads shows of its work."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from hurnet_stream.core.solve.window import context_of
from hurnet_stream.core.stored.batch import ShardState
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.places import Places
from hurnet_stream.ports import EntryStore
from hurnet_stream.solver.tenure import Tenure

PENDING_INTERVAL_S = 2.0
"""How often the store is asked for deletions that are not finished."""


class Showing:
    """Shows a tenure in the metrics."""

    def __init__(self, store: EntryStore, metrics: SolverMetrics) -> None:
        self._store = store
        self._metrics = metrics
        self._asked_at = float("-inf")

    def folded(self, tenure: Tenure, states: Mapping[int, ShardState]) -> int:
        """How far the statistics are behind the shards, which were in these states. Returns it in rows."""
        rows_folded = {partition: shard.rows for partition, shard in tenure.checkpoint.shards.items()}
        lag = {p: max(0, state.rows - rows_folded.get(p, 0)) for p, state in states.items()}
        self._metrics.set_by_shard(self._metrics.lag_rows, lag)
        pairs: Counter[str] = Counter()
        for key, statistics in tenure.checkpoint.statistics.items():
            pairs[context_of(key)] += statistics.count
        self._metrics.set_context_rows(pairs)
        return sum(lag.values())

    def turn(self, tenure: Tenure) -> None:
        """At the end of a turn: up to where everything is folded in and saved, and what is not erased yet."""
        if not tenure.unsaved():
            self._metrics.checkpoint_timestamp.value = time.time()
        self._metrics.show_watermarks(tenure.positions())
        self._metrics.show_server(self._store)
        if time.monotonic() - self._asked_at >= PENDING_INTERVAL_S:
            self.deletions()

    def erased(self) -> None:
        """Something was erased: what is left is looked at in the same turn."""
        self._asked_at = float("-inf")

    def deletions(self) -> None:
        """Also those that the solver has not come to yet: they count from when ingest has stored them."""
        self._asked_at = time.monotonic()
        self._metrics.name_by(Places(self._store.topics()))
        pending = self._store.pending_erasures()
        oldest_ms = self._store.oldest_deletion_ms() if any(pending.values()) else None
        self._metrics.show_deletions(pending, oldest_ms)
