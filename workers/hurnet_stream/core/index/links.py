"""The rows that teach each answer, as chains from the last row to the first: 4 bytes an answer and 4 a row.

    row                   0     1     2     3     4
    its answer            yes   no    yes   -     yes         row 3 teaches nothing
    previous row          -     -     0     -     2
    last row by answer    yes: 4, no: 1                       so yes is taught by 4, 2 and 0

A removed row stays in its chain until its block is given up. So code that follows a chain asks the blocks
whether each row still teaches.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import taught as kernels
from hurnet_stream.core.search.blocks import Blocks
from hurnet_stream.core.shelf import Tree
from hurnet_stream.core.slots import grown

NONE: Final = -1
"""The end of a chain."""

_LONG_CHAIN: Final = 128
"""Rows of a chain for which a kernel is given room, on average."""

Integers = NDArray[np.int64]
Rows = NDArray[np.int32]


class Links:
    """The chains of one index."""

    def __init__(self) -> None:
        self._answers = 0
        self._rows = 0
        self._last: Rows = np.empty(0, np.int32)  # by answer: the last row that teaches it
        self._previous: Rows = np.empty(0, np.int32)  # by row: the one before it that teaches the same

    def saved(self) -> Tree:
        """What `restore` needs."""
        return {"last": self._last[: self._answers], "previous": self._previous[: self._rows]}

    def restore(self, tree: Tree) -> None:
        """Be what was saved."""
        self._last, self._previous = tree["last"], tree["previous"]
        self._answers, self._rows = len(self._last), len(self._previous)

    def make_room(self, answers: int, rows: Integers) -> None:
        """There are now this many answers, and these rows (n,) are new. They teach nothing yet."""
        known, self._answers = self._answers, answers
        self._last = grown(self._last, answers)
        self._last[known:answers] = NONE
        self._rows = max(self._rows, int(rows.max(initial=NONE)) + 1)
        self._previous = grown(self._previous, self._rows)
        self._previous[rows] = NONE

    def add(self, answers: Integers, rows: Integers) -> None:
        """The rows (n,) teach these answers (n,), which are sorted."""
        # The first row of a run of equal answers is linked to the chain that there is, the others to the row
        # before them in the run.
        begins = np.diff(answers, prepend=NONE) != 0
        self._previous[rows] = np.where(begins, self._last[answers], np.roll(rows, 1))
        ends = np.roll(begins, -1)
        self._last[answers[ends]] = rows[ends]

    def rows_of(self, blocks: Blocks, answers: Integers) -> tuple[Integers, Integers]:
        """All pairs (n,), (n,) of one of these distinct answers and a row that teaches it, in any order."""
        owner, row = self._chained(answers)
        teaching = blocks.column("teaches", row)  # all but those removed since
        return owner[teaching], row[teaching]

    def _chained(self, answers: Integers) -> tuple[Integers, Integers]:
        """The same of all rows in the chains."""
        if kernels.available():
            found = kernels.chains(self._last, self._previous, answers, _LONG_CHAIN * (len(answers) + 1))
            if found is not None:
                return answers[found[0]], found[1]
        owners, rows, heads = [answers[:0]], [answers[:0]], self._last[answers]
        # One step along all chains at once, until the longest has ended.
        while (going := heads != NONE).any():
            answers, heads = answers[going], heads[going]
            owners.append(answers)
            rows.append(heads.astype(np.int64))
            heads = self._previous[heads]
        return np.concatenate(owners), np.concatenate(rows)

    def move(self, first: int, end: int, old: Integers, new: Integers) -> None:
        """Of the rows `first` to `end`, those that were `old` (n,) are now `new` (n,), outside of them; the
        others are gone."""
        # Where a link to each of these rows is to lead from now on: to its new number, or if the row is gone,
        # to the one before it. That one may be gone too: each round halves what is left of such a run.
        leads = self._previous[first:end].astype(np.int64)
        leads[old - first] = new
        while (inside := (leads >= first) & (leads < end)).any():
            leads[inside] = leads[leads[inside] - first]
        behind = self._previous[old]  # before the links of these rows are redirected
        self.make_room(self._answers, new)
        self._previous[new] = behind
        _redirect(self._last[: self._answers], first, leads)
        _redirect(self._previous[: self._rows], first, leads)


def _redirect(links: Rows, first: int, leads: Integers) -> None:
    """Let those links (n,) that go to rows from `first` on go to what `leads` (rows,) says."""
    into = np.flatnonzero((links >= first) & (links < first + len(leads)))
    links[into] = leads[links[into] - first]
