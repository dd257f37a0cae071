"""What the solver measures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

from hurnet_stream.metrics.ages import DAY_S, age_s
from hurnet_stream.metrics.context import ContextMetrics
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.metrics.registry import LONG
from hurnet_stream.metrics.store import StoreMetrics

OLD_S = 30 * DAY_S
"""A timestamp older than this does not tell when somebody deleted something."""


class SolverMetrics(ProcessMetrics, ContextMetrics, StoreMetrics):
    """From rows to weights."""

    PHASES: ClassVar[tuple[str, ...]] = ("tail", "fold", "save", "solve", "erase", "compact", "seal")

    def __init__(self) -> None:
        super().__init__()
        self.solve_seconds = self._histogram(
            "solve_seconds", "Seconds to solve the weights of one context.", LONG
        )
        self.checkpoint_seconds = self._histogram(
            "checkpoint_seconds", "Seconds to save a checkpoint of the statistics.", LONG
        )
        self.leader = self._gauge(
            "leader", "1 while this solver holds the lease by which it leads, 0 while it stands by."
        )
        self.checkpoint_timestamp = self._optional_gauge(
            "checkpoint_timestamp_seconds",
            "When everything that is folded in was last saved, in seconds since 1970: it goes on while there "
            "is nothing to save. Absent while this solver stands by.",
        )
        self.deletions_pending = self._gauge(
            "deletions_pending",
            "Rows that are deleted and still have to be erased from the store.",
            "partition",
        )
        self.oldest_deletion = self._optional_gauge(
            "oldest_deletion_timestamp_seconds",
            "Timestamp of the oldest record whose deletion is not finished in the store, in seconds since "
            "1970: of those that the store names first. A timestamp that can't be right counts as when it "
            "was first seen. Absent if none is pending.",
        )
        self.sealed_rows = self._gauge(
            "sealed_rows",
            "Rows that lie in files and no longer in Redis, erased ones included, if sealing is on.",
            "partition",
        )
        self.segment_failures = self._counter(
            "segment_failures",
            "How often the files of sealed rows could not be reached. Sealing and erasing then wait for half "
            "a minute.",
        )
        self.unlearned = self._counter(
            "unlearned_pairs",
            "Pairs taken out of the statistics again, because they were deleted. Only the first hundred "
            "contexts are shown by name.",
            "context",
        )

    def show_deletions(self, pending: Mapping[int, int], oldest_ms: int | None) -> None:
        """Rows that are not erased yet, by partition, and the timestamp of the oldest record that deletes
        any. If that can't be right, they count from when they were seen first."""
        self.set_by_shard(self.deletions_pending, pending)
        if oldest_ms is None:
            self.oldest_deletion.value = None
            return
        now_s = time.time()
        if age_s(oldest_ms, now_s, OLD_S) is not None:
            self.oldest_deletion.value = oldest_ms / 1000
        elif self.oldest_deletion.value is None:
            self.oldest_deletion.value = now_s

    def stand_by(self) -> None:
        """Another solver leads: nothing that this one showed as the leader holds any more."""
        self.checkpoint_timestamp.value = self.oldest_deletion.value = None
        self.set_by_partition(self.deletions_pending, {})
        self.set_by_partition(self.sealed_rows, {})
        self.set_by_partition(self.lag_rows, {})
        self.show_watermarks({})
        self.no_contexts()
