"""What the entries of a context teach: which rows share an answer, and what the weights predict for it.

One-hot targets make the prediction for answer a the inner product ⟨Px, B_a⟩ (equation 3), B_a the sum of the
rows that teach it, each at its weight. Only the answers of a query's nearest rows are candidates, so it is
taken for those alone, and no second pass over all rows is needed for it."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet.core.grid import SCALE
from hurnet.core.index.answer_table import NOWHERE, Answers, grown
from hurnet.core.index.arena import Arena
from hurnet.core.index.kept_sums import KeptSums
from hurnet.core.index.links import Links
from hurnet.core.search.blocks import Blocks, Snapshot
from hurnet.core.solve.window import Window
from hurnet.core.stored.entries import Entries

Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]

MANY: Final = 64
"""Rows from which an answer's B_a is kept: at most an eighth of a byte a dimension and row; where pairs age,
so much for each pane in the window and once more."""


class View(NamedTuple):
    """What was published together."""

    snapshot: Snapshot
    links: Links


class Teaching:
    """The answers of one index, by number, and the rows that teach each."""

    def __init__(self, blocks: Blocks, arena: Arena, window: Window) -> None:
        self.sums = KeptSums(blocks, window)
        self.answers = Answers(arena)
        self.links = Links.none()
        """Replaced where rows move."""
        self._blocks = blocks
        self._taught = np.empty(0, np.int32)  # rows that teach an answer

    def number(self, entries: Entries, texts: Integers) -> Integers:
        """The answers (n,) of entries to be appended, given where their texts stand in the arena. An entry
        without an answer is its own, but teaches nothing."""
        known = len(self.answers)
        numbers = self.answers.number(entries, texts)
        self._taught = grown(self._taught, len(self.answers))
        self._taught[known : len(self.answers)] = 0
        return numbers

    def enchain(self, answers: Integers, rows: Integers, teaches: NDArray[np.bool_]) -> None:
        """Say that of rows (n,), about to be appended, some teach these answers (n,)."""
        self.links.make_room(len(self.answers), rows)
        answers, rows = answers[teaches], rows[teaches]
        if len(rows):
            order = np.argsort(answers, kind="stable")
            self.links.add(answers[order], rows[order])
            distinct, counts = np.unique(answers, return_counts=True)
            self._taught[distinct] += counts

    def appended(self, rows: Integers, answers: Integers) -> None:
        """Rows (n,) that teach these answers (n,) now stand in the blocks: bring the sums up to date."""
        many = self._taught[answers] >= MANY
        rows, answers = rows[many], answers[many]
        new = [answer for answer in np.unique(answers).tolist() if answer not in self.sums]
        known = np.isin(answers, new, invert=True)
        self.sums.add(answers[known], rows[known])
        self.sums.add(*self.links.rows_of(self._blocks.snapshot, np.array(new, dtype=np.int64)))

    def removed(self, row: int) -> None:
        """A row is about to be removed."""
        columns, at = self._blocks.locate(row)
        answer, text = columns.answers.item(at), columns.texts.item(at)
        if columns.teaches[at]:
            text = NOWHERE  # its answer has a place of its own: where it seems the same, the text is empty
            self._taught[answer] -= 1
            if self._taught[answer] < MANY:
                self.sums.drop(answer)
            else:
                self.sums.subtract(answer, np.array([row]))
        self.answers.release(answer, text)

    def moved(self, first: int, end: int, old: Integers, new: Integers) -> None:
        """Of rows `first` to `end` those that are `old` (n,) are now `new` (n,), and the others gone."""
        self.links = self.links.moved(first, end, old, new)

    def predicted(self, view: View, prediction: Doubles, answers: Integers, without: int | None) -> Doubles:
        """⟨p, B_a⟩ for each of `answers`, given p (d,) in units of the vectors (`weights.predict`), `without`
        the part of one row.

        The sums are exact and the products in float64."""
        distinct, back = np.unique(answers, return_inverse=True)
        totals = [self.sums.of(answer) for answer in distinct.tolist()]
        few = distinct[[total is None for total in totals]]
        owners, rows = view.links.rows_of(view.snapshot, few)
        scores = np.zeros(len(distinct))
        parts = self._scores(view.snapshot, rows, prediction)
        np.add.at(scores, np.searchsorted(distinct, owners), parts)
        for i, total in enumerate(totals):
            if total is not None:
                scores[i] = total @ prediction / SCALE
        if without is not None:
            row = np.array([without])
            mine = view.snapshot.column("teaches", row) & (view.snapshot.column("answers", row) == distinct)
            scores -= mine * self._scores(view.snapshot, row, prediction)
        taught: Doubles = scores[back]
        return taught

    def _scores(self, snapshot: Snapshot, rows: Integers, prediction: Doubles) -> Doubles:
        """What each row adds to the score of the answer that it teaches."""
        scores: Doubles = snapshot.vectors(rows) @ prediction / SCALE
        weights = self.sums.weights(snapshot, rows)
        return scores if weights is None else scores * weights
