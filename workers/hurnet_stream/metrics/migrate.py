"""What `hurnet migrate` measures while it fills a second generation and solves for it."""

from __future__ import annotations

from typing import ClassVar

from hurnet_stream.metrics.solver import SolverMetrics


class MigrateMetrics(SolverMetrics):
    """From rows of one generation to rows of another, and to weights of these."""

    PHASES: ClassVar[tuple[str, ...]] = (*SolverMetrics.PHASES, "copy")

    def __init__(self) -> None:
        super().__init__()
        self.rows_copied = self._counter(
            "migrate_rows", "Rows embedded anew and written to the second generation."
        )
        self._left = self._gauge(
            "migrate_rows_left",
            "Rows of the first generation that were not copied yet, erased ones included.",
        )
        self._left_out = self._gauge(
            "migrate_rows_left_out",
            "Rows of the first generation that the second one leaves out, because its embedder rejects them.",
        )
        self._caught_up = self._gauge(
            "migrate_caught_up",
            "1 while the second generation holds all that the first one held a moment ago, otherwise 0.",
        )

    def show_copy(self, left: int, left_out: int, caught_up: bool) -> None:
        """How far the copy is."""
        self._left.set(left)
        self._left_out.set(left_out)
        self._caught_up.set(caught_up)
