"""What the entries of a context teach: which rows share an answer, and what the weights predict for it.

One-hot targets make the prediction for answer a the inner product ⟨Px, B_a⟩ (equation 3), B_a being the sum
of the rows that teach it, each as often as it counts. Only the answers of a query's nearest rows are
candidates, so it is taken for those alone, and no second pass over all rows is needed for it.

    answer taught by    B_a is
    fewer than MANY     added up when it is asked for, along the answer's chain (`links`)
    MANY rows or more   kept, and changed with every row that comes or goes (`kept_sums`)
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.group_sums import sums_by_group
from hurnet_stream.core.held import array_bytes
from hurnet_stream.core.index.answer_table import AnswerTable
from hurnet_stream.core.index.arena import Arena
from hurnet_stream.core.index.kept_sums import KeptSums
from hurnet_stream.core.index.links import Links
from hurnet_stream.core.index.string_table import NOWHERE
from hurnet_stream.core.native import taught as kernels
from hurnet_stream.core.search.blocks import Blocks
from hurnet_stream.core.shelf import Tree
from hurnet_stream.core.slots import grown
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.stored.entries import Entries

Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]

MANY: Final = 64
"""The rows from which an answer's B_a is kept. A kept sum is 8 bytes a dimension, so this is at most an
eighth of a byte a dimension and row; if pairs age, that for each pane in the window and once more."""


class Teaching:
    """The answers of one index, by number, and the rows that teach each."""

    def __init__(self, blocks: Blocks, arena: Arena, window: Window) -> None:
        self.sums = KeptSums(blocks, window)
        self.answers = AnswerTable(arena)
        self._links = Links()
        self._blocks = blocks
        self._taught = np.empty(0, np.int32)  # by answer: how many rows teach it
        self._copies = np.empty(0, np.int64)  # by answer: the same, each row as often as it has copies

    @property
    def nbytes(self) -> int:
        """The bytes of the answers' tables and of the sums that are kept."""
        return array_bytes(self, self.answers, self._links) + self.sums.nbytes

    def saved(self) -> Tree:
        """What `restore` needs."""
        count = len(self.answers)
        counts = {"taught": self._taught[:count], "copies": self._copies[:count]}
        sums, answers, links = self.sums.saved(), self.answers.saved(), self._links.saved()
        return {**counts, "sums": sums, "answers": answers, "links": links}

    def restore(self, tree: Tree) -> None:
        """Be what was saved, over blocks and an arena that were, too."""
        self._taught, self._copies = tree["taught"], tree["copies"]
        self.sums.restore(tree["sums"])
        self.answers.restore(tree["answers"])
        self._links.restore(tree["links"])

    def number(self, entries: Entries, texts: Integers) -> Integers:
        """The answers (n,) of entries that are to be appended, given where their texts stand in the arena. An
        entry without an answer is its own answer, but teaches nothing."""
        known = len(self.answers)
        numbers = self.answers.number(entries, texts)
        self._taught = grown(self._taught, len(self.answers))
        self._taught[known : len(self.answers)] = 0
        self._copies = grown(self._copies, len(self.answers))
        self._copies[known : len(self.answers)] = 0
        return numbers

    def taught(self, answers: Integers, without: int | None = None) -> Integers:
        """How many pairs teach each of these answers (n,), copies counted, leaving out the row `without`."""
        taught = self._copies[answers]
        if without is not None:
            columns, slot = self._blocks.locate(without)
            if columns.teaches[slot]:
                taught[answers == columns.answers[slot]] -= columns.copies.item(slot)
        return taught

    def appended(self, rows: Integers, answers: Integers, teaches: NDArray[np.bool_]) -> None:
        """`rows` (n,) were appended with `answers` (n,). Those that `teaches` (n,) marks teach them."""
        self._links.make_room(len(self.answers), rows)
        rows, answers = rows[teaches], answers[teaches]
        if not len(rows):
            return
        order = np.argsort(answers, kind="stable")
        self._links.add(answers[order], rows[order])
        distinct, counts = np.unique(answers, return_counts=True)
        self._taught[distinct] += counts
        np.add.at(self._copies, answers, self._blocks.column("copies", rows))
        self._sum(rows, answers, distinct)

    def _sum(self, rows: Integers, answers: Integers, distinct: Integers) -> None:
        """Bring the kept sums up to date with rows (n,) that are new."""
        many = self._taught[answers] >= MANY
        rows, answers = rows[many], answers[many]
        distinct = distinct[self._taught[distinct] >= MANY]
        new = [answer for answer in distinct.tolist() if answer not in self.sums]
        known = np.isin(answers, new, invert=True)
        self.sums.add(answers[known], rows[known])
        # A new sum takes in all rows of its answer, the new ones among them.
        self.sums.add(*self._links.rows_of(self._blocks, np.array(new, dtype=np.int64)))

    def age_to(self, window: Window) -> None:
        """From now on rows count as `window` says. Its half-life must be the same."""
        if not self.sums.age_to(window):
            many = np.flatnonzero(self._taught[: len(self.answers)] >= MANY)
            self.sums.add(*self._links.rows_of(self._blocks, many))

    def removed(self, row: int) -> None:
        """A row is about to be removed."""
        columns, slot = self._blocks.locate(row)
        answer, text = columns.answers.item(slot), columns.texts.item(slot)
        if columns.has_answer(slot):
            # An answer that is no text has an address of its own. If that equals the text's address, the text
            # is empty, and the answer must not be taken for it.
            text = NOWHERE
        if columns.teaches[slot]:
            self._untaught(answer, row, columns.copies.item(slot))
        self.answers.release(answer, text)

    def _untaught(self, answer: int, row: int, copies: int) -> None:
        """A row that teaches the answer goes."""
        self._taught[answer] -= 1
        self._copies[answer] -= copies
        if self._taught[answer] < MANY:
            self.sums.drop(answer)
        else:
            self.sums.subtract(answer, row)

    def moved(self, first: int, end: int, old: Integers, new: Integers) -> None:
        """Of rows `first` to `end`, those that were `old` (n,) are now `new` (n,); the others are gone."""
        self._links.move(first, end, old, new)

    def predicted(self, prediction: Doubles, answers: Integers, without: int | None) -> Doubles:
        """⟨p, B_a⟩ for each of the answers (n,), given p (d,) in units of the vectors (`weights.predict`),
        leaving out the row `without`.

        The sums are exact and the products in float64. What comes out depends on the rows alone, and not on
        the order in which they came and went.
        """
        distinct, back = np.unique(answers, return_inverse=True)
        sums = [self.sums.of(answer) for answer in distinct.tolist()]
        kept = np.array([total is not None for total in sums], np.bool_)
        totals = np.array([total for total in sums if total is not None], np.float64)
        weighed = self.weighed(prediction, distinct, ~kept, self.sums.window)
        scores = scores_of(*weighed, kept, totals, prediction)
        if without is not None:
            row = np.array([without])
            taught = self._blocks.column("teaches", row) & (self._blocks.column("answers", row) == distinct)
            scores -= taught * self._scores(row, prediction, self.sums.window)
        predicted: Doubles = scores[back]
        return predicted

    def weighed(
        self, prediction: Doubles, answers: Integers, chosen: NDArray[np.bool_], window: Window
    ) -> tuple[Integers, Doubles]:
        """What each row that teaches one of the `chosen` answers adds to its score in this window (r,), and
        the place (r,) of that answer among all (n,), which ascend."""
        owners, rows = self._links.rows_of(self._blocks, answers[chosen])
        return np.searchsorted(answers, owners), self._scores(rows, prediction, window)

    def rows_teaching(self, answers: Integers) -> Integers:
        """How many rows teach each of these answers (n,), without their copies."""
        return self._taught[answers].astype(np.int64)

    def total(self, answer: int, window: Window) -> Doubles:
        """B_a (d,) of an answer in this window, kept or not: sums of whole numbers, or of such divided by a
        power of two, so float64 holds them exactly."""
        kept = self.sums.of(answer)
        if kept is not None and (window == self.sums.window or not window.half_life_ms):
            return kept.astype(np.float64)
        _, rows = self._links.rows_of(self._blocks, np.array([answer]))
        counts, vectors = self.sums.counts(rows, window), self._blocks.vectors(rows).astype(np.float64)
        return vectors.sum(axis=0) if counts is None else counts.astype(np.float64) @ vectors

    def _scores(self, rows: Integers, prediction: Doubles, window: Window) -> Doubles:
        """What each row (n,) adds to the score of the answer that it teaches."""
        if self._blocks.native and kernels.available():
            scores = kernels.weigh(self._blocks.addresses(rows), prediction) / SCALE
        else:
            scores = np.vecdot(self._blocks.vectors(rows).astype(np.float64), prediction) / SCALE
        counts = self.sums.counts(rows, window)
        return scores if counts is None else scores * counts


def scores_of(
    places: Integers, weighed: Doubles, kept: NDArray[np.bool_], totals: Doubles, prediction: Doubles
) -> Doubles:
    """⟨p, B_a⟩ of answers (n,): of those that are `kept` (n,) from their sums (k, d), of the others from what
    each row adds (r,), given the place of its answer (r,)."""
    scores = sums_by_group(places, weighed, len(kept))
    if kept.any():
        scores[kept] = np.vecdot(totals, prediction) / SCALE
    return scores
