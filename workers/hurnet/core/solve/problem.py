"""The statistics as what a solve needs: float64 matrices in units of the vectors, and the same in integers.

An intercept b, so that a score is (xW + b)_a, is centring: W solves the same equations with the rows less
their mean μ and the targets less their shares n_a/m. Nothing is centred for it, since with s = Σ_a B_a = mμ
    G_c = G - mμμᵀ,   C_c = C - μnᵀ,   S_c = C_cC_cᵀ = S - (Cn)μᵀ - μ(Cn)ᵀ + (Σn_a²)μμᵀ,
all from sums that are there. In integers it is G bordered by s and m (a column of ones that no pass over the
rows was needed for), with no ridge on the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from hurnet.core.grid import SCALE
from hurnet.core.solve.refine import ExactSystem
from hurnet.core.statistics.statistics import Statistics

Floats = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Problem:
    """G and S = CCᵀ, (d, d) float64 on the device; `energy` = ‖Y‖²_F; all centred by `mean` (d,), if any.

    `length` is m‖mean‖²: centring leaves rounding of the size that G had before it.
    """

    gram: torch.Tensor
    cross: torch.Tensor
    energy: float
    count: int
    answers: int
    mean: torch.Tensor | None = None
    length: float = 0.0

    @property
    def dimension(self) -> int:
        return self.gram.shape[0]

    @property
    def free(self) -> int:
        """Rows less the parameters that no ridge holds back: the intercept is one (an answer)."""
        return self.count - (self.mean is not None)

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
        return self.dimension * _EPS * (largest + self.length)

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


def problem_of(statistics: Statistics, device: torch.device, intercept: bool) -> Problem:
    """The problem of `statistics`, with an intercept or without."""

    def scaled(matrix: NDArray[np.int64] | Floats) -> torch.Tensor:
        return torch.from_numpy(np.multiply(matrix, SCALE**-2, dtype=np.float64)).to(device)

    gram, cross = scaled(statistics.gram), scaled(statistics.cross_gram())
    m, answers = statistics.count, len(statistics.sums)
    if not intercept:
        return Problem(gram, cross, m, m, answers)
    mean = torch.from_numpy(statistics.column_sums / (m * SCALE)).to(device)
    counts = np.array([entry.count for entry in statistics.sums.values()], np.float64)
    weighted = torch.from_numpy(_weighted_sum(statistics) / SCALE).to(device)  # Cn
    mixed = torch.outer(weighted, mean)
    squares = float((counts**2).sum())
    outer = torch.outer(mean, mean)
    return Problem(
        gram=gram - m * outer,
        cross=cross - mixed - mixed.T + squares * outer,
        energy=m - squares / m,
        count=m,
        answers=answers,
        mean=mean,
        length=m * float(mean @ mean),
    )


def exact_system(statistics: Statistics, ridge: float, device: torch.device, intercept: bool) -> ExactSystem:
    """G + λI in integers; with an intercept bordered to (d + 1, d + 1) by the column sums and m."""
    gram, d = statistics.gram, statistics.dimension
    if not intercept:
        return ExactSystem(gram, ridge, d, device)
    sums = statistics.column_sums * SCALE
    corner = np.array([[statistics.count * SCALE**2]])
    return ExactSystem(np.block([[gram, sums[:, None]], [sums[None], corner]]), ridge, d, device)


def targets(
    statistics: Statistics, answers: Sequence[str], device: torch.device, intercept: bool
) -> torch.Tensor:
    """C's columns for `answers`, (d, k) or, with n_a below them, (d + 1, k): what A·W is to be.

    Raises KeyError for an answer that the statistics don't hold.
    """
    entries = [statistics.sums[answer] for answer in answers]
    columns = np.array([entry.total for entry in entries], np.float64).reshape(-1, statistics.dimension)
    if intercept:
        columns = np.hstack([columns, [[entry.count * SCALE] for entry in entries]])
    return torch.from_numpy(np.ascontiguousarray(columns.T) / SCALE).to(device)


def bordered(matrix: torch.Tensor, mean: torch.Tensor, corner: float) -> torch.Tensor:
    """[[P, -Pμ], [-μᵀP, corner + μᵀPμ]], (d + 1, d + 1): with `corner` 1/m the bordered system's inverse."""
    edge = matrix @ mean
    last = (corner + mean @ edge).reshape(1, 1)
    return torch.cat([torch.cat([matrix, -edge[:, None]], 1), torch.cat([-edge[None], last], 1)])


def _weighted_sum(statistics: Statistics) -> Floats:
    """Cn = Σ n_a B_a, in units of 2⁻¹⁴."""
    total = np.zeros(statistics.dimension)
    for entry in statistics.sums.values():
        total += entry.count * entry.total.astype(np.float64)
    return total
