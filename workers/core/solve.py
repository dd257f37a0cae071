"""The closed form (eq. 3, 10), its spectrum (eq. 9) and its certificate (eq. 11), from the statistics alone.

W = (G + λI)⁻¹C. Only P = (G + λI)⁻¹ is made: the score of answer a for a query x is (xW)_a = ⟨Px, B_a⟩,
so whoever holds the B_a needs nothing else. Everything here is in units of the vectors (length 1): G·2⁻²⁸,
C·2⁻¹⁴. Equation 3 as printed has no ridge and fails for a singular XᵀX; λ = 0 here is the pseudo-inverse. The
bound printed as equation 11 is false; the certificate gives the residual itself instead.

Everything about C that is wanted comes from S = CCᵀ (d, d), so no step depends on the number of rows, and
none but the upkeep of S on the number of answers:

    ‖XW - Y‖²_F = tr(YᵀY) - 2 tr(WᵀC) + tr(WᵀGW) = m - 2 tr(PS) + tr(PGPS)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from workers.core.device import float64_device
from workers.core.grid import SCALE
from workers.core.statistics import Statistics
from workers.core.weights import Certificate, Weights

MAX_CONDITION: Final = 1e6
"""Up to here Cholesky serves: it then errs by about 1e-10, far less than the grid."""
GRID_STEPS: Final = 57
"""Values of λ that cross-validation tries, eight a decade, from 10⁻⁶σ₁ (condition 1e6) to 10σ₁, σ₁ of G."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Problem:
    """G and S = CCᵀ, (d, d) float64 on the device, and m."""

    gram: torch.Tensor
    cross: torch.Tensor
    count: int
    answers: int

    @property
    def dimension(self) -> int:
        return self.gram.shape[0]

    def cutoff(self, largest: float) -> float:
        """max(m, n)·eps·σ₁ of the matrix decomposed: that is G, exact and (d, d), so m = n = d, not X."""
        return self.dimension * float(np.finfo(np.float64).eps) * largest

    def kept(self, eigenvalues: Floats, ridge: float) -> NDArray[np.bool_]:
        """Which directions G + λI can be inverted in: those whose σ² + λ isn't rounding."""
        shifted = eigenvalues + ridge
        return shifted > self.cutoff(shifted[-1])


@dataclass(frozen=True, slots=True)
class _Inverse:
    """P, G's eigenvalues (ascending, rounding set to 0), and the identity on the directions inverted."""

    projection: torch.Tensor
    eigenvalues: Floats
    identity: torch.Tensor
    method: Literal["cholesky", "eigh"]


def solve(
    statistics: Statistics,
    ridge: float | Literal["gcv"] = 0.1,
    device: str = "auto",
    max_condition: float = MAX_CONDITION,
) -> Weights:
    """The weights of `statistics` and their certificate, in time that depends on d alone once S is kept up.

    `ridge` is λ on unit vectors, 0 for the pseudo-inverse, "gcv" for generalised cross-validation. The
    default of 0.1 serves unique answers better than GCV, which has nothing to validate there: each answer's
    column is one row. Cholesky where it succeeds and cond(G + λI) ≤ `max_condition`, else eigendecomposition.
    Raises ValueError for statistics without pairs, a ridge that is negative or not finite, an unknown device.
    """
    if ridge != "gcv" and not (math.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge must be 'gcv' or a finite number from 0 up, not {ridge!r}")
    if statistics.count == 0:
        raise ValueError("nothing to solve: the statistics hold no pairs")
    problem = _problem(statistics, float64_device(device))
    if ridge == "gcv":
        eigenvalues, vectors = _decomposed(problem)
        chosen, score = _cross_validated(problem, eigenvalues, vectors)
        inverse = _by_eigh(problem, eigenvalues, vectors, chosen)
    else:
        chosen, score = float(ridge), None
        inverse = _by_cholesky(problem, chosen, max_condition) or _by_eigh(
            problem, *_decomposed(problem), chosen
        )
    certificate = _certificate(problem, inverse, chosen, score)
    return Weights(np.asarray(inverse.projection.cpu().numpy()), certificate)


def _problem(statistics: Statistics, device: torch.device) -> _Problem:
    def scaled(matrix: NDArray[np.int64] | Floats) -> torch.Tensor:
        return torch.from_numpy(matrix.astype(np.float64) / SCALE**2).to(device)

    return _Problem(
        scaled(statistics.gram), scaled(statistics.cross_gram()), statistics.count, len(statistics.sums)
    )


def _cleaned(problem: _Problem, spectrum: torch.Tensor) -> Floats:
    """Eigenvalues of G (= σ² of X) in ascending order, those that are rounding set to 0."""
    eigenvalues: Floats = spectrum.cpu().numpy()
    return np.where(eigenvalues > problem.cutoff(eigenvalues[-1]), eigenvalues, 0.0)


def _decomposed(problem: _Problem) -> tuple[Floats, torch.Tensor]:
    spectrum, vectors = torch.linalg.eigh(problem.gram)
    return _cleaned(problem, spectrum), vectors


def _by_cholesky(problem: _Problem, ridge: float, max_condition: float) -> _Inverse | None:
    """None where cond(G + λI) is above `max_condition` or the factorisation fails."""
    eigenvalues = _cleaned(problem, torch.linalg.eigvalsh(problem.gram))  # a third of the time with vectors
    if eigenvalues[-1] + ridge > max_condition * (eigenvalues[0] + ridge):
        return None
    factor, failed = torch.linalg.cholesky_ex(_ridged(problem, ridge))
    if int(failed):
        return None
    return _Inverse(_symmetric(torch.cholesky_inverse(factor)), eigenvalues, _identity(problem), "cholesky")


def _by_eigh(problem: _Problem, eigenvalues: Floats, vectors: torch.Tensor, ridge: float) -> _Inverse:
    """V(Σ² + λ)⁻¹Vᵀ without the directions whose σ² + λ is rounding: for λ = 0 the pseudo-inverse."""
    kept = problem.kept(eigenvalues, ridge)
    shifted = torch.from_numpy(eigenvalues[kept] + ridge).to(vectors.device)
    basis = vectors[:, int((~kept).sum()) :]  # ascending, so those kept come last
    return _Inverse(_symmetric((basis / shifted) @ basis.T), eigenvalues, basis @ basis.T, "eigh")


def _cross_validated(problem: _Problem, eigenvalues: Floats, vectors: torch.Tensor) -> tuple[float, float]:
    """The λ of the least GCV, and that: GCV(λ) = (‖(I-H)Y‖²_F/m) / (tr(I-H)/m)² (Golub, Heath & Wahba 1979).

    H = X(G+λI)⁻¹Xᵀ. With c_j = ‖v_jᵀC‖² = v_jᵀSv_j, over the r eigenvalues σ_j² > 0:
        ‖(I-H)Y‖²_F = (m - Σ c_j/σ_j²) + Σ c_j λ²/(σ_j²(σ_j²+λ)²),   tr(I-H) = (m - r) + Σ λ/(σ_j²+λ).
    The first bracket is least squares' own residual. So put, no small difference of large sums depends on λ.
    """
    real = eigenvalues > 0
    if not real.any():
        raise ValueError("cross-validation needs rows that are not all zero")
    squares = eigenvalues[real]
    energy = (vectors * (problem.cross @ vectors)).sum(0).cpu().numpy()[real]
    beyond = problem.count - len(squares)
    floor = max(0.0, problem.count - float((energy / squares).sum())) if beyond else 0.0
    grid = np.logspace(-6, 1, GRID_STEPS) * squares[-1]
    ratios = grid[:, None] / (squares + grid[:, None])  # λ/(σ²+λ), (steps, r)
    scores = problem.count * (floor + ratios**2 @ (energy / squares)) / (beyond + ratios.sum(1)) ** 2
    best = int(scores.argmin())
    return float(grid[best]), float(scores[best])


def _certificate(problem: _Problem, inverse: _Inverse, ridge: float, score: float | None) -> Certificate:
    """`score` is the GCV of a ridge that was chosen by it."""
    eigenvalues = inverse.eigenvalues[problem.kept(inverse.eigenvalues, ridge)]
    shifted = eigenvalues + ridge
    freedom = float((eigenvalues / shifted).sum())
    smoother = problem.gram @ inverse.projection
    residual = _residual(problem, inverse.projection, smoother)
    error = torch.linalg.matrix_norm(smoother + ridge * inverse.projection - inverse.identity)
    return Certificate(
        count=problem.count,
        answers=problem.answers,
        ridge=ridge,
        ridge_chosen_by="fixed" if score is None else "gcv",
        method=inverse.method,
        condition=float(shifted[-1] / shifted[0]) if len(shifted) else 1.0,
        rank=int((inverse.eigenvalues > 0).sum()),
        effective_rank=_effective_rank(inverse.eigenvalues),
        degrees_of_freedom=freedom,
        residual=residual / problem.count,
        gcv=_gcv(residual, problem.count, freedom) if score is None else score,
        inverse_error=float(error) / math.sqrt(problem.dimension),
        device=problem.gram.device.type,
    )


def _effective_rank(eigenvalues: Floats) -> float:
    """exp(-Σ p ln p) with p the singular values of X as shares of their sum (Roy & Vetterli 2007, eq. 3)."""
    singular = np.sqrt(eigenvalues[eigenvalues > 0])
    shares = singular / singular.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


def _residual(problem: _Problem, projection: torch.Tensor, smoother: torch.Tensor) -> float:
    """‖XW - Y‖²_F = m - 2 tr(PS) + tr(PGPS) (eq. 11; tr(YᵀY) = m as Y is one-hot), `smoother` = GP."""
    weighted = (
        projection @ problem.cross
    )  # PS, and so tr(P(GP)S) = Σ_ij (GP)_ij (PS)_ij, P and S being symmetric
    return problem.count - float(2 * torch.trace(weighted) - (smoother * weighted).sum())


def _gcv(residual: float, count: int, freedom: float) -> float | None:
    """(‖(I-H)Y‖²_F/m) / (tr(I-H)/m)², None where both are little but the rounding of their differences."""
    left = count - freedom
    return max(residual, 0.0) * count / left**2 if left > 1e-5 * count else None


def _ridged(problem: _Problem, ridge: float) -> torch.Tensor:
    return problem.gram + ridge * _identity(problem)


def _identity(problem: _Problem) -> torch.Tensor:
    return torch.eye(problem.dimension, dtype=torch.float64, device=problem.gram.device)


def _symmetric(matrix: torch.Tensor) -> torch.Tensor:
    return (matrix + matrix.T) / 2
