"""What the weights need of the context when they work on kernel features: a sum per answer.

(φ(q)W)_a = ⟨Pφ(q), F_a⟩ with F_a the sum of φ over the entries that teach answer a (eq. 3, 10). Without
features the search has those products at hand for every row; with them it has not, and F_a takes their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hurnet.core.grid import SCALE
from hurnet.core.index.index import ContextIndex, EntryId, Matches
from hurnet.core.paper.kernel_features import KernelMap
from hurnet.core.stored.batch import Entry, Vectors

Floats = NDArray[np.float64]


class FeatureSums:
    """F_a by answer, in integers: the same in whatever order entries came, one of weight w as w copies.

    An answer takes 2·`features.size` bytes taught once, then 4·`features.size`, and 8 from 2¹⁷ copies on."""

    def __init__(self, features: KernelMap) -> None:
        self.features = features
        self._totals: dict[str, NDArray[np.signedinteger]] = {}
        self._counts: dict[str, int] = {}

    def add(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Take in the grid rows (n, d) of entries; those without an answer teach nothing."""
        taught = [i for i, entry in enumerate(entries) if entry.answer is not None]
        for i, row in zip(taught, self.features(vectors[taught]), strict=True):
            self._add(entries[i].answer or "", row, entries[i].copies)

    def _add(self, answer: str, row: Vectors, weight: int) -> None:
        self._counts[answer] = count = self._counts.get(answer, 0) + weight
        total = self._totals.get(answer)
        copies = row if weight == 1 else row.astype(_width(count)) * weight
        self._totals[answer] = copies.copy() if total is None else total.astype(_width(count)) + copies

    def subtract(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Take entries that were added out again: as if they never had been."""
        taught = [i for i, entry in enumerate(entries) if entry.answer is not None]
        for i, row in zip(taught, self.features(vectors[taught]), strict=True):
            self._subtract(entries[i].answer or "", row, entries[i].copies)

    def _subtract(self, answer: str, row: Vectors, weight: int) -> None:
        self._counts[answer] -= weight
        if not self._counts[answer]:
            del self._counts[answer], self._totals[answer]
        else:
            total = self._totals[answer]
            self._totals[answer] = total - row * total.dtype.type(weight)

    def total(self, answer: str) -> NDArray[np.signedinteger]:
        """F_a; zeros where nothing teaches it."""
        total = self._totals.get(answer)
        return np.zeros(self.features.size, np.int16) if total is None else total

    def predicted(
        self,
        found: Sequence[Matches],
        index: ContextIndex,
        predictions: Floats,
        exclude: Sequence[EntryId | None] | None = None,
    ) -> list[Matches]:
        """The matches of queries with the weights' scores of their answers.

        `predictions` (n, size) are `weights.predict` of the queries' features; the entry that `exclude` names
        for a query is left out of its sum."""
        own = exclude or [None] * len(found)
        return [
            replace(matches, predicted=self._scores(matches, index, prediction, out))
            for matches, prediction, out in zip(found, predictions, own, strict=True)
        ]

    def _scores(
        self, matches: Matches, index: ContextIndex, prediction: Floats, own: EntryId | None
    ) -> Floats:
        """⟨p, F_a⟩ of each match's answer."""
        ids, numbers = np.unique(index.answer_ids(matches.rows), return_inverse=True)
        answers = [index.answers[answer] for answer in ids.tolist()]
        scores = np.array([self.total(answer) @ prediction / SCALE for answer in answers])
        row = None if own is None else index.find(own)
        if row is not None and index.entry(row).answer is not None:
            rows = np.array([row])
            vector = index.vectors(rows).astype(np.int16)
            part = self.features(vector)[0] @ prediction / SCALE
            scores[ids == index.answer_ids(rows)[0]] -= part * index.entry(row).copies
        weights: Floats = scores[numbers]
        return weights


def _width(count: int) -> type[np.signedinteger]:
    """Of a sum of `count` grid rows, whose components are at most 2¹⁴ each."""
    return np.int32 if count < 1 << 17 else np.int64
