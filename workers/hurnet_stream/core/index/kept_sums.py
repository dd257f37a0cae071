"""B_a of the answers that many rows teach, kept exactly, and what a row counts in it.

A sum is Σ c x (d,) int64 over the rows x that teach the answer, c being how often a row counts. Without
ageing there is one sum an answer. If pairs age, there is one for each pane of time, and what they count
together is made anew whenever the window moves:

    pane       17          18          19 (now)
    sum        S17         S18         S19             integers, changed by rows that come and go
    share      1/4         1/2         1               together: S17/4 + S18/2 + S19
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.search.blocks import Blocks
from hurnet_stream.core.shelf import Tree
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.stored.batch import Vectors

Integers = NDArray[np.int64]


class KeptSums:
    """The sums of some answers of one index, and how often its rows count."""

    def __init__(self, blocks: Blocks, window: Window) -> None:
        self.window = window
        self.any_copies = False
        """Whether any row has ever been more than one copy."""
        self._blocks = blocks
        self._panes: dict[int, dict[int, Integers]] = {}  # by answer and pane
        self._together: dict[int, NDArray[Any]] = {}  # by answer: of all panes, as they count now

    def saved(self) -> Tree:
        """What `restore` needs."""
        kept = [(answer, pane) for answer, sums in self._panes.items() for pane in sums]
        sums = np.empty((len(kept), self._blocks.dimension), np.int64)
        for i, (answer, pane) in enumerate(kept):  # one by one: other threads have their turn in between
            sums[i] = self._panes[answer][pane]
        return {
            "any_copies": self.any_copies,
            "window": [self.window.half_life_ms, self.window.now],
            "of": np.array(kept, np.int64).reshape(-1, 2),
            "sums": sums,
        }

    def restore(self, tree: Tree) -> None:
        """Be what was saved. Rows count as they did then: `age_to` is to follow."""
        self.any_copies, self.window = tree["any_copies"], Window(*tree["window"])
        for (answer, pane), total in zip(tree["of"].tolist(), tree["sums"], strict=True):
            self._panes.setdefault(answer, {})[pane] = total
        self._together = {answer: self._added(sums) for answer, sums in self._panes.items()}

    def __contains__(self, answer: int) -> bool:
        return answer in self._together

    def of(self, answer: int) -> NDArray[Any] | None:
        """The sum (d,), as rows count now; None if none is kept."""
        return self._together.get(answer)

    def add(self, answers: Integers, rows: Integers) -> None:
        """Rows (n,) that stand in the blocks come to the sums of the answers (n,) that they teach. The first
        of an answer begin its sum."""
        panes = self._panes_of(rows)
        order = np.lexsort((panes, answers))
        answers, rows, panes = answers[order], rows[order], panes[order]
        vectors, copies = self._blocks.vectors(rows), self._copies(rows)
        begins = np.diff(answers, prepend=-1) | np.diff(panes, prepend=panes[:1])
        for first, end in pairwise([*np.flatnonzero(begins).tolist(), len(rows)]):
            sums, pane = self._panes.setdefault(int(answers[first]), {}), int(panes[first])
            sums[pane] = sums.get(pane, 0) + _sum(
                vectors[first:end], None if copies is None else copies[first:end]
            )
        for answer in np.unique(answers).tolist():
            self._together[answer] = self._added(self._panes[answer])

    @property
    def nbytes(self) -> int:
        """The bytes of all sums: of each pane, and of all panes together."""
        kept = sum(map(len, self._panes.values()))
        # Without a half-life there is one pane, and its sum is that of all.
        return 8 * self._blocks.dimension * (kept + (len(self._together) if self.window.half_life_ms else 0))

    def subtract(self, answer: int, row: int) -> None:
        """Take a row that teaches this answer out of its sum, if that is kept."""
        rows = np.array([row])
        pane, sums = int(self._panes_of(rows)[0]), self._panes.get(answer, {})
        if pane in sums:
            sums[pane] = sums[pane] - _sum(self._blocks.vectors(rows), self._copies(rows))
            self._together[answer] = self._added(sums)

    def drop(self, answer: int) -> None:
        """Keep no sum of an answer any longer."""
        self._panes.pop(answer, None)
        self._together.pop(answer, None)

    def age_to(self, window: Window) -> bool:
        """From now on rows count as `window` says. Its half-life must be the same. False: the window went
        back, so a pane that counts again may have been dropped, and all sums must be begun anew."""
        known = window.now >= self.window.now
        if not known:
            self._panes.clear()
        for sums in self._panes.values():
            for pane in [pane for pane in sums if window.has_expired(pane)]:
                del sums[pane]
        self.window = window
        self._together = {answer: self._added(sums) for answer, sums in self._panes.items()}
        return known

    def counts(self, rows: Integers, window: Window) -> NDArray[Any] | None:
        """What each row (n,) counts in this window; None if every row there is counts once."""
        copies = self._copies(rows)
        if not window.half_life_ms:
            return copies
        shares = window.shares(self._blocks.column("timestamps_ms", rows))
        return shares if copies is None else shares * copies

    def _added(self, sums: Mapping[int, Integers]) -> NDArray[Any]:
        """The sums of all panes, each at its share."""
        if not self.window.half_life_ms:
            return sums[0]
        nothing = np.zeros(self._blocks.dimension)
        return sum((self.window.share(pane) * total for pane, total in sums.items()), start=nothing)

    def _copies(self, rows: Integers) -> Integers | None:
        """How many copies each row (n,) is; None if each is one."""
        return self._blocks.column("copies", rows) if self.any_copies else None

    def _panes_of(self, rows: Integers) -> Integers:
        if not self.window.half_life_ms:
            return np.zeros_like(rows)
        return self.window.panes(self._blocks.column("timestamps_ms", rows))


def _sum(vectors: Vectors, copies: Integers | None) -> Integers:
    """Σ c x of rows (n, d): (d,)."""
    total: Integers = np.add.reduce(vectors, axis=0, dtype=np.int64) if copies is None else copies @ vectors
    return total
