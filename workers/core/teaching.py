"""What the entries of a context teach: which rows share an answer, and what the weights predict for it.

One-hot targets make the prediction for answer a the inner product ⟨Px, B_a⟩ (equation 3), B_a the sum of the
rows that teach it, each at its weight. Only the answers of a query's nearest rows are candidates, so it is
taken for those alone, and no second pass over all rows is needed for it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.core.ageing import Window
from workers.core.answers import Answers, grown
from workers.core.arena import Arena
from workers.core.blocks import Blocks
from workers.core.entries import Entries
from workers.core.grid import SCALE
from workers.core.kept_sums import KeptSums

Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]

MANY: Final = 64
"""Rows from which an answer's B_a is kept: at most an eighth of a byte a dimension and row; where pairs age,
so much for each pane in the window and once more."""

NONE: Final = -1


class Teaching:
    """The answers of one index, by number, and the rows that teach each."""

    def __init__(self, blocks: Blocks, arena: Arena, window: Window) -> None:
        self.sums = KeptSums(blocks, window)
        self.answers = Answers(arena)
        self._blocks = blocks
        self._last = np.empty(0, np.int32)  # the row that was last to teach an answer
        self._taught = np.empty(0, np.int32)  # rows that teach it
        self._previous = np.empty(0, np.int32)  # by row: the one that taught its answer before

    def number(self, entries: Entries, texts: Integers) -> Integers:
        """The answers (n,) of entries to be appended, given where their texts stand in the arena. An entry
        without an answer is its own, but teaches nothing."""
        known = len(self.answers)
        numbers = self.answers.number(entries, texts)
        self._last, self._taught = (
            grown(self._last, len(self.answers)),
            grown(self._taught, len(self.answers)),
        )
        self._last[known : len(self.answers)], self._taught[known : len(self.answers)] = NONE, 0
        return numbers

    def enchain(self, answers: Integers, rows: Integers) -> None:
        """Say that rows (n,), ascending and about to be appended, teach these answers (n,)."""
        if not len(rows):
            return
        self._previous = grown(self._previous, int(rows[-1]) + 1)
        order = np.argsort(answers, kind="stable")
        answers, rows = answers[order], rows[order]
        begins = np.diff(answers, prepend=NONE) != 0
        self._previous[rows] = np.where(begins, self._last[answers], np.roll(rows, 1))
        ends = np.flatnonzero(np.roll(begins, -1))
        self._last[answers[ends]] = rows[ends]
        self._taught[answers[ends]] += np.diff(ends, prepend=-1)

    def appended(self, rows: Integers, answers: Integers) -> None:
        """Rows (n,) that teach these answers (n,) now stand in the blocks: bring the sums up to date."""
        many = self._taught[answers] >= MANY
        rows, answers = rows[many], answers[many]
        new = [answer for answer in np.unique(answers).tolist() if answer not in self.sums]
        known = np.isin(answers, new, invert=True)
        self.sums.add(answers[known], rows[known])
        self.sums.add(*self._rows_of(np.array(new, dtype=np.int64)))

    def removed(self, row: int) -> None:
        """A row is about to be removed."""
        at = np.array([row])
        answer, text = (int(self._blocks.snapshot.column(name, at)[0]) for name in ("answers", "texts"))
        if self._blocks.snapshot.column("teaches", at)[0]:
            text = NONE  # its answer has a place of its own: where it seems the same, the text is empty
            self._taught[answer] -= 1
            if self._taught[answer] < MANY:
                self.sums.drop(answer)
            else:
                self.sums.subtract(answer, at)
        self.answers.release(answer, text)

    def predicted(
        self, prediction: Doubles, constant: float, answers: Integers, without: int | None
    ) -> Doubles:
        """⟨p, B_a⟩ + n_a·t for each of `answers`, given p (d,) in units of the vectors and the `constant` t
        (`weights.predict`), `without` the part of one row.

        The sums are exact and the products in float64."""
        distinct, back = np.unique(answers, return_inverse=True)
        few = np.array([a for a in distinct.tolist() if a not in self.sums], dtype=np.int64)
        owners, rows = self._rows_of(few)
        scores = np.zeros(len(distinct))
        np.add.at(scores, np.searchsorted(distinct, owners), self._scores(rows, prediction, constant))
        for i, answer in enumerate(distinct.tolist()):
            if answer in self.sums:
                total = self.sums.of(answer)
                scores[i] = total[:-1] @ prediction / SCALE + total[-1] * constant
        if without is not None:
            scores -= self._part(prediction, constant, distinct, np.array([without]))
        taught: Doubles = scores[back]
        return taught

    def _part(self, prediction: Doubles, constant: float, answers: Integers, row: Integers) -> Doubles:
        """What one row adds to the scores of the answers."""
        mine = (answers == self._blocks.snapshot.column("answers", row)) & self._blocks.snapshot.column(
            "teaches", row
        )
        part: Doubles = mine * self._scores(row, prediction, constant)
        return part

    def _scores(self, rows: Integers, prediction: Doubles, constant: float) -> Doubles:
        """What each row adds to the score of the answer that it teaches."""
        scores: Doubles = self._blocks.snapshot.vectors(rows) @ prediction / SCALE + constant
        weights = self.sums.weights(rows)
        return scores if weights is None else scores * weights

    def _rows_of(self, answers: Integers) -> tuple[Integers, Integers]:
        """The rows that teach some answers, whose it is and which row: along all their chains at once."""
        owners, rows, at = [answers[:0]], [answers[:0]], self._last[answers]
        while (going := at != NONE).any():
            answers, at = answers[going], at[going]
            owners.append(answers)
            rows.append(at.astype(np.int64))
            at = self._previous[at]
        owner, row = np.concatenate(owners), np.concatenate(rows)
        teaching = self._blocks.snapshot.column("teaches", row)  # all but those removed since
        return owner[teaching], row[teaching]
