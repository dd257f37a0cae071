"""What is known of a solution: spectrum (eq. 9), residual and validation (eq. 11), from the statistics alone.

Everything about C that is wanted comes from S = CCᵀ (d, d), so no figure depends on the number of rows, and
none but the upkeep of S on the number of answers:

    ‖XW - Y‖²_F = tr(YᵀY) - 2 tr(WᵀC) + tr(WᵀGW) = m - tr(PS) - λ tr(PSP),

the last because GP = I - λP. E = (G + λI)P - I changes that by tr(PES), at
most ‖E‖·‖PS‖; what is before it loses more, as a small difference of large terms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch

from hurnet.core.solve.problem import Floats, Problem
from hurnet.core.solve.weights import Certificate

GRID_STEPS: Final = 57
"""Values of λ that cross-validation tries, eight a decade, from 10⁻⁶σ₁ (condition 1e6) to 10σ₁, σ₁ of G."""


@dataclass(frozen=True, slots=True)
class Inverse:
    """P, G's eigenvalues (ascending, rounding set to 0), and the identity on the directions inverted.

    `error` is ‖(G + λI)P - identity‖_F, `steps` those of its refinement."""

    projection: torch.Tensor
    eigenvalues: Floats
    identity: torch.Tensor
    method: Literal["cholesky", "eigh"]
    error: float
    steps: int = 0


def cross_validated(problem: Problem) -> tuple[float, float | None]:
    """The λ of the least GCV, and that: GCV(λ) = (‖(I-H)Y‖²_F/m) / (tr(I-H)/m)² (Golub, Heath & Wahba 1979).

    H = X(G+λI)⁻¹Xᵀ. With c_j = ‖v_jᵀC‖² = v_jᵀSv_j, over the r eigenvalues σ_j² > 0:
        ‖(I-H)Y‖²_F = (m - Σ c_j/σ_j²) + Σ c_j λ²/(σ_j²(σ_j²+λ)²),   tr(I-H) = (m - r) + Σ λ/(σ_j²+λ).
    The first bracket is least squares' own residual. So put, no small difference of large sums depends on λ.

    Rows of zeros have no such σ_j and predict nothing: W = 0 whatever λ is, so 0 is as good as any. A score
    is None where no row is left to validate with.
    """
    spectrum, vectors = problem.decomposed
    eigenvalues = problem.cleaned(spectrum)
    real = eigenvalues > 0
    if not real.any():
        return 0.0, _gcv(problem, problem.count, 0.0)
    squares = eigenvalues[real]
    energy = (vectors * (problem.cross @ vectors)).sum(0).cpu().numpy()[real]
    beyond = max(0, problem.count - len(squares))
    floor = max(0.0, problem.count - float((energy / squares).sum())) if beyond else 0.0
    grid = np.logspace(-6, 1, GRID_STEPS) * squares[-1]
    ratios = grid[:, None] / (squares + grid[:, None])  # λ/(σ²+λ), (steps, r)
    scores = problem.count * (floor + ratios**2 @ (energy / squares)) / (beyond + ratios.sum(1)) ** 2
    best = int(scores.argmin())
    return float(grid[best]), float(scores[best])


def certificate(
    problem: Problem,
    inverse: Inverse,
    ridge: float,
    validated: bool = False,
    score: float | None = None,
    residual: float | None = None,
) -> Certificate:
    """`validated` says that the ridge was chosen by GCV, which was `score`; `residual` is ‖XW - Y‖²_F where
    it is known exactly."""
    kept = inverse.eigenvalues[problem.kept(inverse.eigenvalues, ridge)]
    shifted = kept + ridge
    freedom = float((kept / shifted).sum())
    left = _residual(problem, inverse, ridge) if residual is None else residual
    return Certificate(
        count=problem.count,
        answers=problem.answers,
        ridge=ridge,
        ridge_chosen_by="gcv" if validated else "fixed",
        method=inverse.method,
        condition=float(shifted[-1] / shifted[0]) if len(shifted) else 1.0,
        rank=int((inverse.eigenvalues > 0).sum()),
        effective_rank=_effective_rank(inverse.eigenvalues),
        degrees_of_freedom=freedom,
        residual=left / problem.count,
        gcv=score if validated else _gcv(problem, left, freedom),
        inverse_error=inverse.error / math.sqrt(problem.dimension),
        device=problem.gram.device.type,
        refinement_steps=inverse.steps,
        residual_exact=residual is not None,
    )


def _effective_rank(eigenvalues: Floats) -> float:
    """exp(-Σ p ln p) with p the singular values of X as shares of their sum (Roy & Vetterli 2007, eq. 3)."""
    singular = np.sqrt(eigenvalues[eigenvalues > 0])
    shares = singular / singular.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


def _residual(problem: Problem, inverse: Inverse, ridge: float) -> float:
    """‖XW - Y‖²_F by P and S (eq. 11), whose tr(PS) is their dot product, as they are symmetric."""
    p = inverse.projection
    explained = torch.vdot(p.ravel(), problem.cross.ravel())
    if ridge:
        explained += ridge * torch.vdot(p.ravel(), (problem.cross @ p).ravel())
    return problem.count - float(explained)


def _gcv(problem: Problem, residual: float, freedom: float) -> float | None:
    """(‖(I-H)Y‖²_F/m) / (tr(I-H)/m)², None where both are little but the rounding of their differences."""
    left = problem.count - freedom
    return float(max(residual, 0.0) * problem.count / left**2) if left > 1e-5 * problem.count else None
