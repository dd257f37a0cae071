"""The statistics as what a solve needs: float64 matrices in units of the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from hurnet.core.grid import SCALE
from hurnet.core.statistics.statistics import Statistics

Floats = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Problem:
    """G and S = CCᵀ, (d, d) float64 on the device, of `count` pairs with so many `answers`."""

    gram: torch.Tensor
    cross: torch.Tensor
    count: int
    answers: int

    @property
    def dimension(self) -> int:
        return self.gram.shape[0]

    @cached_property
    def identity(self) -> torch.Tensor:
        return torch.eye(self.dimension, dtype=torch.float64, device=self.gram.device)

    @cached_property
    def decomposed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """G's eigenvalues, ascending and as found, and its eigenvectors in columns. On the CPU by numpy,
        whose LAPACK takes two thirds of the time that torch's takes, and half without the vectors."""
        if self.gram.device.type == "cpu":
            values, vectors = map(torch.from_numpy, np.linalg.eigh(self.gram.numpy()))
        else:
            values, vectors = torch.linalg.eigh(self.gram)
        return values, vectors

    def eigenvalues(self) -> Floats:
        """Those alone (a third of the time), `cleaned`."""
        if self.gram.device.type == "cpu":
            return self.cleaned(torch.from_numpy(np.linalg.eigvalsh(self.gram.numpy())))
        return self.cleaned(torch.linalg.eigvalsh(self.gram))

    def shifted(self, ridge: float) -> torch.Tensor:
        """G + λI."""
        matrix = self.gram.clone()
        matrix.diagonal().add_(ridge)
        return matrix

    def cutoff(self, largest: float) -> float:
        """max(m, n)·eps·σ₁ of the matrix decomposed: that is G, exact and (d, d), so m = n = d, not X."""
        return self.dimension * _EPS * largest

    @property
    def rows_cutoff(self) -> float:
        """The same for X, squared: what is found of G beyond float64 is rounding below (d·eps)²σ₁."""
        return self.cutoff(float(torch.trace(self.gram))) * self.dimension * _EPS

    def cleaned(self, spectrum: torch.Tensor) -> Floats:
        """Eigenvalues of G (= σ² of X) in ascending order, those that are rounding set to 0."""
        eigenvalues: Floats = spectrum.cpu().numpy()
        return np.where(eigenvalues > self.cutoff(eigenvalues[-1]), eigenvalues, 0.0)

    def kept(self, eigenvalues: Floats, ridge: float) -> NDArray[np.bool_]:
        """Which directions G + λI can be inverted in: those whose σ² + λ isn't rounding."""
        shifted = eigenvalues + ridge
        return shifted > self.cutoff(shifted[-1])


def problem_of(statistics: Statistics, device: torch.device) -> Problem:
    """The problem of `statistics`."""

    def scaled(matrix: NDArray[np.int64] | Floats) -> torch.Tensor:
        return torch.from_numpy(np.multiply(matrix, SCALE**-2, dtype=np.float64)).to(device)

    gram, cross = scaled(statistics.gram), scaled(statistics.cross_gram())
    return Problem(gram, cross, statistics.count, len(statistics.sums))


def targets(statistics: Statistics, answers: Sequence[str], device: torch.device) -> torch.Tensor:
    """C's columns for `answers`, (d, k): what A·W is to be.

    Raises KeyError for an answer that the statistics don't hold.
    """
    totals = [statistics.sums[answer].total for answer in answers]
    columns = np.array(totals, np.float64).reshape(-1, statistics.dimension)
    return torch.from_numpy(np.ascontiguousarray(columns.T) / SCALE).to(device)
