"""What weights on kernel features need of a context: a sum per answer (equations 3, 7 and 10).

    (φ(q)W)_a = ⟨Pφ(q), F_a⟩,    F_a = the sum of φ(x) over the entries x that teach answer a

Weights that work on the vectors themselves need no such sums: the index holds the vectors, and the sum of
their products with Px is the same figure. It does not hold their features, so F_a is kept here beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.index.readable import Index
from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.stored.batch import Entry, Vectors
from hurnet_stream.core.stored.entries import EntryId

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
FeatureSum = NDArray[np.signedinteger]
"""F_a, (size,), in steps of the grid."""


class FeatureSums:
    """F_a by answer a: the sum of φ(x) over the entries x that teach a, each as often as it has copies.

    The sums are integers, so they do not depend on the order in which entries came.

    An answer that is taught once takes 2 bytes a feature, then 4, and 8 from 2¹⁷ copies on."""

    def __init__(self, features: KernelMap) -> None:
        self.features = features
        self._sums: dict[str, FeatureSum] = {}
        self._copies: dict[str, int] = {}

    def add(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Add entries with their grid rows (n, d). Those without an answer teach nothing."""
        for answer, copies, row in self._taught(entries, vectors):
            self._copies[answer] = total = self._copies.get(answer, 0) + copies
            added = row if copies == 1 else row.astype(_width(total)) * copies
            before = self._sums.get(answer)
            self._sums[answer] = added.copy() if before is None else before.astype(_width(total)) + added

    def subtract(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Take out entries that were added: the sums are then as if they never had been."""
        for answer, copies, row in self._taught(entries, vectors):
            self._copies[answer] -= copies
            if not self._copies[answer]:
                del self._copies[answer], self._sums[answer]
            else:
                before = self._sums[answer]
                self._sums[answer] = before - row * before.dtype.type(copies)

    def _taught(self, entries: Sequence[Entry], vectors: Vectors) -> Iterator[tuple[str, int, Vectors]]:
        """Answer, copies and features (size,) of each entry that teaches an answer."""
        taught = [i for i, entry in enumerate(entries) if entry.answer is not None and not entry.refutes]
        for i, row in zip(taught, self.features(vectors[taught]), strict=True):
            yield entries[i].answer or "", entries[i].copies, row

    def total(self, answer: str) -> FeatureSum:
        """F_a, (size,); zeros if nothing teaches the answer."""
        total = self._sums.get(answer)
        return np.zeros(self.features.size, np.int16) if total is None else total

    def predicted(
        self, prediction: Floats, rows: Integers, index: Index, exclude: EntryId | None = None
    ) -> Floats:
        """⟨p, F_a⟩ for the answer a of each row (n,), the entry that `exclude` names left out of its sum.
        `prediction` (size,) is `weights.predict` of the query's features."""
        ids, answer_of = np.unique(index.answer_ids(rows), return_inverse=True)
        answers = [index.answers[answer] for answer in ids.tolist()]
        scores = np.array([self.total(answer) @ prediction / SCALE for answer in answers])  # (answers,)
        row = None if exclude is None else index.find(exclude)
        if row is not None and index.entry(row).answer is not None and not index.entry(row).refutes:
            own = np.array([row])
            of_own = self.features(index.vectors(own))[0] @ prediction / SCALE
            scores[ids == index.answer_ids(own)[0]] -= of_own * index.entry(row).copies
        predicted: Floats = scores[answer_of]
        return predicted


def _width(copies: int) -> type[np.signedinteger]:
    """The integers that hold a sum of `copies` grid rows, whose components are at most 2¹⁴ each."""
    return np.int32 if copies < 1 << 17 else np.int64
