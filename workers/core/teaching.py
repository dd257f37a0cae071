"""What the entries of a context teach: which rows share an answer, and what the weights predict for it.

One-hot targets make the prediction for answer a the inner product ⟨Px, B_a⟩ (equation 3), B_a the sum of the
rows that teach it, each at its weight. Only the answers of a query's nearest rows are candidates, so it is
taken for those alone, and no second pass over all rows is needed for it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.core.ageing import Window
from workers.core.blocks import Blocks
from workers.core.context import Entry
from workers.core.grid import SCALE
from workers.core.kept_sums import KeptSums

Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]

MANY: Final = 64
"""Rows from which an answer's B_a is kept: at most an eighth of a byte a dimension and row; where pairs age,
so much for each pane in the window and once more."""

_NONE: Final = -1


class Teaching:
    """The answers of one index, by number, and the rows that teach each."""

    def __init__(self, blocks: Blocks, window: Window) -> None:
        self.sums = KeptSums(blocks, window)
        self.answers: list[str] = []
        self._blocks = blocks
        self._numbers: dict[str, int] = {}
        self._last: list[int] = []  # the row that was last to teach an answer
        self._taught: list[int] = []  # rows that teach it
        self._held: list[int] = []  # entries that have it, whether they teach it or not

    def number(self, entry: Entry) -> int:
        """That of the answer of an entry to be appended. An entry without one is its own, but teaches
        nothing."""
        answer = entry.text if entry.answer is None else entry.answer
        found = self._numbers.setdefault(answer, len(self.answers))
        if found == len(self.answers):
            self.answers.append(answer)
            self._last.append(_NONE)
            self._taught.append(0)
            self._held.append(0)
        self._held[found] += 1
        return found

    def enchain(self, answer: int, row: int) -> int:
        """Say that `row`, about to be appended, teaches an answer; returns the row that did before it, or
        -1."""
        previous, self._last[answer] = self._last[answer], row
        self._taught[answer] += 1
        return previous

    def appended(self, rows: Integers) -> None:
        """Rows that now stand in the blocks: bring the sums up to date."""
        rows = rows[self._blocks.snapshot.column("teaches", rows)]
        answers = self._blocks.snapshot.column("answers", rows)
        for answer in np.unique(answers).tolist():
            if answer in self.sums:
                self.sums.add(answer, rows[answers == answer])
            elif self._taught[answer] >= MANY:
                self.sums.add(answer, self._rows_of(np.array([answer]))[1])

    def removed(self, row: int) -> None:
        """A row is about to be removed."""
        at = np.array([row])
        answer = int(self._blocks.snapshot.column("answers", at)[0])
        if self._blocks.snapshot.column("teaches", at)[0]:
            self._taught[answer] -= 1
            self.sums.subtract(answer, at)
        self._held[answer] -= 1
        if not self._held[answer]:
            del self._numbers[self.answers[answer]]
            self.answers[answer] = ""
            self.sums.drop(answer)

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
        owners, rows = [answers[:0]], [answers[:0]]
        at = np.array([self._last[answer] for answer in answers.tolist()], dtype=np.int64)
        while (going := at != _NONE).any():
            answers, at = answers[going], at[going]
            teaching = self._blocks.snapshot.column("teaches", at)
            owners.append(answers[teaching])
            rows.append(at[teaching])
            at = self._blocks.snapshot.column("previous", at)
        return np.concatenate(owners), np.concatenate(rows)
