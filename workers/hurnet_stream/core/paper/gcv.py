"""λ chosen by generalised cross-validation (Golub, Heath & Wahba 1979), from the statistics alone.

Measured, a fixed λ of 0.1 serves no worse, and serves answers that occur once better: there is nothing to
validate with, since each answer's column of Y is one row. It stays as a chapter of the paper.

To leave each row out in turn would take m solves. GCV estimates their mean squared error by

    GCV(λ) = (‖(I-H)Y‖²_F/m) / (tr(I-H)/m)²,     H = X(G+λI)⁻¹Xᵀ,

and takes the λ for which it is least. One eigendecomposition of G serves all values of λ. With v_j and σ_j²
the eigenvectors and eigenvalues, c_j = ‖v_jᵀC‖² = v_jᵀSv_j, and r the number of σ_j² > 0:

    ‖(I-H)Y‖²_F = (m - Σ c_j/σ_j²) + Σ c_j λ²/(σ_j²(σ_j²+λ)²)
    tr(I-H)     = (m - r) + Σ λ/(σ_j²+λ)

The first bracket is the residual of least squares. Put like this, no small difference of large sums depends
on λ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

import numpy as np

from hurnet_stream.core.arrays import backend_of
from hurnet_stream.core.solve.certify import gcv
from hurnet_stream.core.solve.inverse import by_eigh
from hurnet_stream.core.solve.problem import Problem, problem_of
from hurnet_stream.core.solve.refine import snapped_ridge
from hurnet_stream.core.solve.solve import certified, solve
from hurnet_stream.core.solve.weights import Weights
from hurnet_stream.core.statistics.statistics import Statistics

GRID_STEPS: Final = 57
"""Values of λ that are tried, eight a decade, from 10⁻⁶σ₁² (condition 1e6) to 10σ₁²."""


def solve_with(statistics: Statistics, ridge: float | Literal["gcv"], device: str = "auto") -> Weights:
    """The weights for what HURNET_SOLVE_RIDGE says. Raises as `solve` does."""
    return solve_by_gcv(statistics, device) if ridge == "gcv" else solve(statistics, ridge, device)


def solve_by_gcv(statistics: Statistics, device: str = "auto") -> Weights:
    """The weights with the λ of the least GCV. Raises ValueError for no pairs and for an unknown device."""
    if statistics.count == 0:
        raise ValueError("nothing to solve: the statistics hold no pairs")
    problem = problem_of(statistics, backend_of(device))
    best, score = cross_validated(problem)
    ridge = snapped_ridge(best)
    weights = certified(problem, ridge, by_eigh(problem, ridge))  # the decomposition is there already
    return replace(weights, certificate=replace(weights.certificate, ridge_chosen_by="gcv", gcv=score))


def cross_validated(problem: Problem) -> tuple[float, float | None]:
    """The λ of the least GCV, and that score; None if no row is left to validate with."""
    spectrum, vectors = problem.decomposed
    eigenvalues = problem.cleaned(problem.backend.host(spectrum))
    real = eigenvalues > 0
    if not real.any():
        # Rows of zeros predict nothing: W = 0 whatever λ is, so 0 is as good as any.
        return 0.0, gcv(problem.count, problem.count, 0.0)
    squares = eigenvalues[real]  # (r,): σ_j²
    energy = problem.backend.host((vectors * (problem.cross @ vectors)).sum(0))[real]  # (r,): c_j
    beyond = max(0, problem.count - len(squares))
    floor = max(0.0, problem.count - float((energy / squares).sum())) if beyond else 0.0
    grid = np.logspace(-6, 1, GRID_STEPS) * squares[-1]
    ratios = grid[:, None] / (squares + grid[:, None])  # (steps, r): λ/(σ_j²+λ)
    scores = problem.count * (floor + ratios**2 @ (energy / squares)) / (beyond + ratios.sum(1)) ** 2
    best = int(scores.argmin())
    return float(grid[best]), float(scores[best])
