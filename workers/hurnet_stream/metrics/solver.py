"""What the solver measures."""

from __future__ import annotations

from hurnet_stream.metrics.context import ContextMetrics
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.metrics.registry import LONG
from hurnet_stream.metrics.store import StoreMetrics


class SolverMetrics(ProcessMetrics, ContextMetrics, StoreMetrics):
    """From rows to weights."""

    PHASES = ("tail", "fold", "save", "solve", "erase")

    def __init__(self) -> None:
        super().__init__()
        self.solve_seconds = self._histogram(
            "solve_seconds", "Seconds to solve the weights of one context.", LONG
        )
        self.checkpoint_seconds = self._histogram(
            "checkpoint_seconds", "Seconds to save a checkpoint of the statistics.", LONG
        )
        self.pending_rows = self._gauge(
            "pending_rows", "Rows that are deleted and still have to be erased from the store.", "partition"
        )
        self.unlearned = self._counter(
            "unlearned_pairs",
            "Pairs taken out of the statistics again, because they were deleted.",
            "context",
        )
