"""The statistics as what a solve needs: float64 matrices in units of the vectors, where they are worked on.

The statistics hold integers in units of the grid. A row of length 1 is 2¹⁴ grid steps long, so that

    G in float64 = G in integers · 2⁻²⁸,     C in float64 = C in integers · 2⁻¹⁴.

Both are exact as long as the integers stay below 2⁵³; beyond it they are rounded once, by a share of 2⁻⁵³.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.arrays import Array, Backend, Floats
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.statistics.statistics import Statistics

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Problem:
    """G and S = CCᵀ of the statistics, both (d, d) float64 on a backend."""

    statistics: Statistics
    backend: Backend
    gram: Array  # (d, d): G
    cross: Array  # (d, d): S

    @property
    def dimension(self) -> int:
        """d."""
        return self.statistics.dimension

    @property
    def count(self) -> int:
        """m, the number of pairs. It is also ‖Y‖²_F, since Y is one-hot."""
        return self.statistics.count

    @cached_property
    def identity(self) -> Array:
        """I, (d, d)."""
        return self.backend.eye(self.dimension)

    @cached_property
    def decomposed(self) -> tuple[Array, Array]:
        """G's eigenvalues (d,), ascending and not yet `cleaned`, and its eigenvectors (d, d) in columns."""
        return self.backend.eigh(self.gram)

    def eigenvalues(self) -> Floats:
        """G's eigenvalues (d,) alone, `cleaned`."""
        return self.cleaned(self.backend.eigvalsh(self.gram))

    def shifted(self, ridge: float) -> Array:
        """G + λI, (d, d)."""
        return self.gram + ridge * self.identity

    def cutoff(self, largest: float) -> float:
        """The eigenvalue up to which one is taken for rounding: d·eps·σ₁, `largest` being σ₁.

        That is the usual max(m, n)·eps·σ₁ of the matrix which is decomposed. Here it is G, which is known
        exactly and is (d, d), and not X: so m = n = d.
        """
        return self.dimension * _EPS * largest

    @property
    def rows_cutoff(self) -> float:
        """The same for X itself, squared. Below (d·eps)²σ₁ even what is found beyond float64 is rounding."""
        return self.cutoff(float(self.backend.xp.trace(self.gram))) * self.dimension * _EPS

    def cleaned(self, eigenvalues: Floats) -> Floats:
        """Ascending eigenvalues of G, which are σ² of X, with 0 for those that are rounding."""
        return np.where(eigenvalues > self.cutoff(eigenvalues[-1]), eigenvalues, 0.0)

    def kept(self, eigenvalues: Floats, ridge: float) -> NDArray[np.bool_]:
        """Whether G + λI can be inverted in each direction: if σ² + λ is more than rounding, (d,)."""
        shifted = eigenvalues + ridge
        return shifted > self.cutoff(shifted[-1])

    def targets(self, answers: Sequence[str]) -> Array:
        """C's columns for `answers`, (d, k): what (G + λI)W is to be.

        Raises KeyError for an answer that the statistics do not hold.
        """
        totals = [self.statistics.answer_sums[answer].total for answer in answers]
        columns = np.array(totals, np.float64).reshape(-1, self.dimension)  # (k, d); also for k = 0
        return self.backend.put(columns.T / SCALE)


def problem_of(statistics: Statistics, backend: Backend) -> Problem:
    """The problem of `statistics`, to be solved on `backend`."""
    gram = np.multiply(statistics.gram, SCALE**-2, dtype=np.float64)
    cross = statistics.cross_gram() * SCALE**-2
    return Problem(statistics, backend, backend.put(gram), backend.put(cross))
