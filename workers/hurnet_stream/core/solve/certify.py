"""What is known of a solution: its spectrum (eq. 9) and its residual (eq. 11), from the statistics alone.

W is never formed. Whatever is asked about C comes from S = CCᵀ (d, d), so no figure depends on the number of
rows, and only the upkeep of S on the number of answers:

    ‖XW - Y‖²_F = tr(YᵀY) - 2 tr(WᵀC) + tr(WᵀGW) = m - tr(PS) - λ tr(PSP),

where the second equality holds because W = PC and GP = I - λP. If P errs by E = (G + λI)P - I, the right side
changes by tr(PES), which is at most ‖E‖·‖PS‖. The sum in the middle would lose more: it is a small difference
of large terms.

An example with d = 1: three rows of length 1, two of answer a and one of answer b. G = 3, C = (2, 1), S = 5,
and with λ = 0, P = 1/3. W = (2/3, 1/3) is the share of each answer, and the residual is 3 - 5/3 = 4/3.
"""

from __future__ import annotations

import math

import numpy as np

from hurnet_stream.core.arrays import Floats
from hurnet_stream.core.solve.inverse import Inverse
from hurnet_stream.core.solve.problem import Problem
from hurnet_stream.core.solve.weights import Certificate


def certificate(
    problem: Problem, inverse: Inverse, ridge: float, exact_residual: float | None = None
) -> Certificate:
    """The certificate of P = `inverse`. `exact_residual` is ‖XW - Y‖²_F if it is known exactly."""
    kept = inverse.eigenvalues[problem.kept(inverse.eigenvalues, ridge)]  # (r,)
    shifted = kept + ridge
    freedom = float((kept / shifted).sum())
    residual = _residual(problem, inverse, ridge) if exact_residual is None else exact_residual
    return Certificate(
        count=problem.count,
        answers=len(problem.statistics.answer_sums),
        ridge=ridge,
        ridge_chosen_by="fixed",
        method=inverse.method,
        condition=float(shifted[-1] / shifted[0]) if len(shifted) else 1.0,
        rank=int((inverse.eigenvalues > 0).sum()),
        effective_rank=_effective_rank(inverse.eigenvalues),
        degrees_of_freedom=freedom,
        residual=residual / problem.count,
        gcv=gcv(problem.count, residual, freedom),
        inverse_error=inverse.error / math.sqrt(problem.dimension),
        device=problem.backend.device.partition(":")[0],
        refinement_steps=inverse.refinement_steps,
        residual_exact=exact_residual is not None,
    )


def gcv(count: int, residual: float, freedom: float) -> float | None:
    """The score of generalised cross-validation, (‖(I-H)Y‖²_F/m) / (tr(I-H)/m)² (core/paper/gcv.py).

    None if so few degrees of freedom are left that both are little but the rounding of their differences.
    """
    left = count - freedom
    return float(max(residual, 0.0) * count / left**2) if left > 1e-5 * count else None


def _effective_rank(eigenvalues: Floats) -> float:
    """exp(-Σ p ln p) with p the singular values of X as shares of their sum (Roy & Vetterli 2007, eq. 3)."""
    singular = np.sqrt(eigenvalues[eigenvalues > 0])
    shares = singular / singular.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


def _residual(problem: Problem, inverse: Inverse, ridge: float) -> float:
    """‖XW - Y‖²_F = m - tr(PS) - λ tr(PSP), by P and S (eq. 11)."""
    projection, cross = inverse.projection, problem.cross
    # P and S are symmetric, so the trace of their product is their inner product: no third (d, d) matrix.
    explained = float(projection.ravel() @ cross.ravel())
    if ridge:
        explained += ridge * float(projection.ravel() @ (cross @ projection).ravel())
    return problem.count - explained
