"""The rows that teach each answer, linked from the last to the first.

One writer. Others may follow the links meanwhile, from a snapshot taken together with them: rows that are
newer lead on to those that it holds, and where rows have moved there are new links, which leave the old ones
as they are.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet.core.index.answer_table import grown
from hurnet.core.search.blocks import Snapshot

NONE: Final = -1

Integers = NDArray[np.int64]
Rows = NDArray[np.int32]


class Links:
    """4 bytes an answer and 4 a row, whether it teaches or not."""

    def __init__(self, answers: int, last: Rows, rows: int, previous: Rows) -> None:
        self._answers, self._rows = answers, rows
        self._last = last  # by answer: the row that was last to teach it
        self._previous = previous  # by row: the one that taught its answer before

    @classmethod
    def none(cls) -> Links:
        """Those of no rows."""
        return cls(0, np.empty(0, np.int32), 0, np.empty(0, np.int32))

    def make_room(self, answers: int, rows: Integers) -> None:
        """There are so many answers, and these new rows."""
        known, self._answers = self._answers, answers
        self._last = grown(self._last, answers)
        self._last[known:answers] = NONE
        self._rows = max(self._rows, int(rows.max(initial=NONE)) + 1)
        self._previous = grown(self._previous, self._rows)
        self._previous[rows] = NONE

    def add(self, answers: Integers, rows: Integers) -> None:
        """Rows (n,), about to be published, teach these answers (n,), which are sorted."""
        begins = np.diff(answers, prepend=NONE) != 0
        self._previous[rows] = np.where(begins, self._last[answers], np.roll(rows, 1))
        ends = np.roll(begins, -1)
        self._last[answers[ends]] = rows[ends]

    def rows_of(self, snapshot: Snapshot, answers: Integers) -> tuple[Integers, Integers]:
        """The rows that teach some answers, whose it is and which row: along all their links at once."""
        owners, rows, at = [answers[:0]], [answers[:0]], self._last[answers]
        while (going := at != NONE).any():
            answers, at = answers[going], at[going]
            owners.append(answers)
            rows.append(at.astype(np.int64))
            at = self._previous[at]
        owner, row = np.concatenate(owners), np.concatenate(rows)
        there = snapshot.holds(row)
        owner, row = owner[there], row[there]
        teaching = snapshot.column("teaches", row)  # all but those removed since
        return owner[teaching], row[teaching]

    def moved(self, first: int, end: int, old: Integers, new: Integers) -> Links:
        """The links where of rows `first` to `end` those that are `old` (n,) are now `new` (n,), outside of
        them, and the others are gone."""
        leads = self._previous[first:end].astype(np.int64)  # where links to them are to lead
        leads[old - first] = new
        while (inside := (leads >= first) & (leads < end)).any():  # half as many steps are left each time
            leads[inside] = leads[leads[inside] - first]
        last = _redirected(self._last[: self._answers], first, leads)
        previous = _redirected(self._previous[: self._rows], first, leads)
        moved = Links(self._answers, last, self._rows, previous)
        moved.make_room(self._answers, new)
        moved._previous[new] = previous[old]
        return moved


def _redirected(links: Rows, first: int, leads: Integers) -> Rows:
    redirected = links.copy()
    into = np.flatnonzero((links >= first) & (links < first + len(leads)))
    redirected[into] = leads[links[into] - first]
    return redirected
