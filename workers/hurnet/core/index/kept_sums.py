"""B_a of the answers that many rows teach, kept exactly, and what a row weighs in it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hurnet.core.search.blocks import Blocks, Snapshot
from hurnet.core.solve.window import Window
from hurnet.core.stored.batch import Vectors

Integers = NDArray[np.int64]


class KeptSums:
    """Σ w x over the rows that teach an answer, (d,): int64, and by pane where pairs age.

    Changing them is for the thread that appends to the blocks.
    """

    def __init__(self, blocks: Blocks, window: Window) -> None:
        self.window = window
        self.weighted = False
        """Whether any row has ever had another weight than 1."""
        self._blocks = blocks
        self._panes: dict[int, dict[int, Integers]] = {}
        self._weighed: dict[int, NDArray[Any]] = {}  # of all panes together, at what they weigh now

    def __contains__(self, answer: int) -> bool:
        return answer in self._weighed

    def of(self, answer: int) -> NDArray[Any] | None:
        """The sum, as rows weigh now; None where none is kept."""
        return self._weighed.get(answer)

    def add(self, answers: Integers, rows: Integers) -> None:
        """Rows (n,) that stand in the blocks, to the sums of the answers (n,) that they teach; the first of
        an answer begin its sum."""
        panes = self._panes_of(rows)
        order = np.lexsort((panes, answers))
        answers, rows, panes = answers[order], rows[order], panes[order]
        snapshot = self._blocks.snapshot
        vectors, copies = snapshot.vectors(rows), self._copies(snapshot, rows)
        begins = np.diff(answers, prepend=-1) | np.diff(panes, prepend=panes[:1])
        for first, end in pairwise([*np.flatnonzero(begins).tolist(), len(rows)]):
            sums, pane = self._panes.setdefault(int(answers[first]), {}), int(panes[first])
            sums[pane] = sums.get(pane, 0) + _total(
                vectors[first:end], None if copies is None else copies[first:end]
            )
        for answer in np.unique(answers).tolist():
            self._weighed[answer] = self._together(self._panes[answer])

    def subtract(self, answer: int, row: Integers) -> None:
        """One row (1,), if its answer's sum is kept."""
        snapshot = self._blocks.snapshot
        pane, sums = int(self._panes_of(row)[0]), self._panes.get(answer, {})
        if pane in sums:
            sums[pane] = sums[pane] - _total(snapshot.vectors(row), self._copies(snapshot, row))
            self._weighed[answer] = self._together(sums)

    def drop(self, answer: int) -> None:
        """Keep no sum of an answer any longer."""
        self._panes.pop(answer, None)
        self._weighed.pop(answer, None)

    def age_to(self, window: Window) -> None:
        """From now on rows weigh as in this window, of the same half-life."""
        if window.now < self.window.now:
            self._panes.clear()  # they may lack what counts again
        for sums in self._panes.values():
            for pane in [pane for pane in sums if window.forgets(pane)]:
                del sums[pane]
        self.window = window
        self._weighed = {answer: self._together(sums) for answer, sums in self._panes.items()}

    def weights(self, snapshot: Snapshot, rows: Integers) -> NDArray[Any] | None:
        """What each row weighs now; None where that is 1 for all there are."""
        weights = self._copies(snapshot, rows)
        if not self.window.half_life_ms:
            return weights
        shares = self.window.shares(snapshot.column("timestamps_ms", rows))
        return shares if weights is None else shares * weights

    def _together(self, sums: Mapping[int, Integers]) -> NDArray[Any]:
        if not self.window.half_life_ms:
            return sums[0]
        nothing = np.zeros(self._blocks.snapshot.dimension)
        return sum((self.window.share(pane) * total for pane, total in sums.items()), start=nothing)

    def _copies(self, snapshot: Snapshot, rows: Integers) -> Integers | None:
        """How many each row is; None where each is one."""
        return snapshot.column("copies", rows) if self.weighted else None

    def _panes_of(self, rows: Integers) -> Integers:
        if not self.window.half_life_ms:
            return np.zeros_like(rows)
        return self.window.panes(self._blocks.snapshot.column("timestamps_ms", rows))


def _total(vectors: Vectors, copies: Integers | None) -> Integers:
    """Σ w x, (d,) int64."""
    total: Integers = np.add.reduce(vectors, axis=0, dtype=np.int64) if copies is None else copies @ vectors
    return total
