"""The closed form (eq. 3, 10) from the statistics alone: W = (G + λI)⁻¹C.

Only P = (G + λI)⁻¹ is published: the score of answer a for a query x is (xW)_a = ⟨Px, B_a⟩, so whoever holds
the B_a needs nothing else. All is here in units of the vectors (length 1): G·2⁻²⁸, C·2⁻¹⁴. Equation 3 as
printed has no ridge and fails for a singular XᵀX; λ = 0 here is the pseudo-inverse. The bound printed as
equation 11 is false; the certificate gives the residual itself instead (core/solve/certify.py).

Where rounding would show, P is refined against G + λI in integers (refine.py). A float64 P can then be
right to its last bit and W = PC still not be, so where W itself is wanted (for the exact residual, or by
`solve_weights`) its columns are refined on their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from hurnet.core.device import float64_device
from hurnet.core.solve.certify import Inverse, certificate, cross_validated
from hurnet.core.solve.precondition import RoughInverse, rough_inverse
from hurnet.core.solve.problem import Floats, Problem, problem_of, targets
from hurnet.core.solve.refine import ExactSystem, refine, snapped_ridge
from hurnet.core.solve.weights import Weights
from hurnet.core.statistics.statistics import Statistics

MAX_CONDITION: Final = 1e6
"""Up to here Cholesky serves: it then errs by about 1e-10, far less than the grid."""
REFINED_ABOVE: Final = 1e-9
"""‖(G + λI)P - I‖_F/√d above which P is refined; below, that would change no score that the grid shows."""
EXACT_ANSWERS: Final = 1024
"""Answers up to which a refined solve takes the residual from W's refined columns: no more work than P is."""


def solve(
    statistics: Statistics,
    ridge: float | Literal["gcv"] = 0.1,
    device: str = "auto",
    max_condition: float = MAX_CONDITION,
) -> Weights:
    """The weights of `statistics` and their certificate, in time that depends on d alone once S is kept up.

    `ridge` is λ on unit vectors, taken at the nearest multiple of 2⁻⁶⁴; 0 for the pseudo-inverse, "gcv" for
    generalised cross-validation. The default of 0.1 serves unique answers better than GCV, which has nothing
    to validate there: each answer's column is one row. Cholesky where it succeeds and cond(G + λI) ≤
    `max_condition`, else eigendecomposition. Raises ValueError for statistics without pairs, a ridge that is
    negative, not finite or from 2³³ up, an unknown device.
    """
    _check(statistics, ridge)
    problem = problem_of(statistics, float64_device(device))
    score = None
    if ridge == "gcv":
        best, score = cross_validated(problem)
        chosen = snapped_ridge(best)
        inverse = _by_eigh(problem, chosen)
    else:
        chosen = snapped_ridge(ridge)
        inverse = _by_cholesky(problem, chosen, max_condition) or _by_eigh(problem, chosen)
    exact = None
    if inverse.error > REFINED_ABOVE * math.sqrt(problem.dimension):
        cutoff = problem.cutoff(inverse.eigenvalues[-1] + chosen)
        system, rough = _exactly(statistics, problem, chosen, cutoff)
        inverse = _refined(problem, inverse, system, rough)
        exact = _exact_residual(statistics, problem, system, rough, chosen)
    figures = certificate(problem, inverse, chosen, ridge == "gcv", score, exact)
    return Weights(np.asarray(inverse.projection.cpu().numpy()), figures)


@dataclass(frozen=True, slots=True, eq=False)
class WeightColumns:
    """W's columns (d, k) for some answers.

    `correction` is the largest ‖P·R_a‖/‖W_a‖ that is left after `steps` of refinement, R = C - (G+λI)W taken
    exactly: W's relative error, up to the rounding of its own last bits.
    """

    weights: Floats
    steps: int
    correction: float


def solve_weights(
    statistics: Statistics,
    answers: Sequence[str],
    ridge: float = 0.1,
    device: str = "auto",
) -> WeightColumns:
    """W's columns for `answers`, right to about the last bit as long as cond(X) is below 1e13.

    Whoever holds the rows needs P alone; this is for those who want W itself (`hurnet weights`).
    For λ = 0 the pseudo-inverse with the cutoff d·eps·σ₁ on the singular values of X itself: G is known
    exactly, so its eigenvalues below float64's rounding of G can be too (core/solve/precondition.py). Raises
    KeyError for an answer without pairs, else as `solve`.
    """
    _check(statistics, ridge)
    problem = problem_of(statistics, float64_device(device))
    system, rough = _exactly(statistics, problem, snapped_ridge(ridge), problem.rows_cutoff)
    target = targets(statistics, answers, problem.gram.device)
    found = refine(system, target, rough)
    solution: Floats = found.solution.cpu().numpy()
    return WeightColumns(solution, found.steps, found.correction)


def _check(statistics: Statistics, ridge: float | Literal["gcv"]) -> None:
    if ridge != "gcv" and not (math.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge must be 'gcv' or a finite number from 0 up, not {ridge!r}")
    if statistics.count == 0:
        raise ValueError("nothing to solve: the statistics hold no pairs")


def _by_cholesky(problem: Problem, ridge: float, max_condition: float) -> Inverse | None:
    """None where cond(G + λI) is above `max_condition` or the factorisation fails."""
    eigenvalues = problem.eigenvalues()
    if eigenvalues[-1] + ridge > max_condition * (eigenvalues[0] + ridge):
        return None
    shifted = problem.shifted(ridge)
    factor, failed = torch.linalg.cholesky_ex(shifted)
    if int(failed):
        return None
    projection = _symmetric(torch.cholesky_inverse(factor))
    error = _error(shifted, projection, problem.identity)
    return Inverse(projection, eigenvalues, problem.identity, "cholesky", error)


def _by_eigh(problem: Problem, ridge: float) -> Inverse:
    """V(Σ² + λ)⁻¹Vᵀ without the directions whose σ² + λ is rounding: for λ = 0 the pseudo-inverse."""
    spectrum, vectors = problem.decomposed
    eigenvalues = problem.cleaned(spectrum)
    kept = problem.kept(eigenvalues, ridge)
    shifted = torch.from_numpy(eigenvalues[kept] + ridge).to(vectors.device)
    basis = vectors[:, int((~kept).sum()) :]  # ascending, so those kept come last
    projection = _symmetric((basis / shifted) @ basis.T)
    identity = problem.identity if kept.all() else basis @ basis.T
    error = _error(problem.shifted(ridge), projection, identity)
    return Inverse(projection, eigenvalues, identity, "eigh", error)


def _error(shifted: torch.Tensor, projection: torch.Tensor, identity: torch.Tensor) -> float:
    """‖(G + λI)P - identity‖_F."""
    return float(torch.linalg.matrix_norm(torch.addmm(identity, shifted, projection, beta=-1)))


def _exactly(
    statistics: Statistics, problem: Problem, ridge: float, cutoff: float
) -> tuple[ExactSystem, RoughInverse]:
    system = ExactSystem(statistics.gram, ridge, problem.gram.device)
    return system, rough_inverse(problem, system, ridge, cutoff)


def _refined(problem: Problem, inverse: Inverse, system: ExactSystem, rough: RoughInverse) -> Inverse:
    """P refined, and its error taken exactly."""
    unit = problem.identity
    found = refine(system, unit, rough)
    projection = system.snapped(_symmetric(found.solution))
    error = float(torch.linalg.matrix_norm(system.residual(unit, projection) - (unit - inverse.identity)))
    return replace(inverse, projection=projection, error=error, steps=found.steps)


def _exact_residual(
    statistics: Statistics, problem: Problem, system: ExactSystem, rough: RoughInverse, ridge: float
) -> float | None:
    """‖XW - Y‖²_F of the exact W (eq. 11); None for more than `EXACT_ANSWERS`.

    GW = C - R - λW, R being the exact residual of the refined columns, so that
    m - 2 tr(WᵀC) + tr(WᵀGW) = m - tr(WᵀC) - tr(WᵀR) - λ‖W‖²_F, whose terms are summed without rounding.
    """
    if len(statistics.sums) > EXACT_ANSWERS:
        return None
    target = targets(statistics, list(statistics.sums), problem.gram.device)
    found = refine(system, target, rough)
    w = found.solution.cpu().numpy()
    parts = [(w, target.cpu().numpy()), (w, found.residual.cpu().numpy()), (ridge * w, w)]
    return math.fsum([statistics.count, *(-term for pair in parts for term in _products(*pair))])


def _products(left: Floats, right: Floats) -> list[float]:
    """Numbers whose sum is Σ left·right exactly: products and what their rounding left off (Dekker 1971)."""
    product = left * right
    (a, b), (c, e) = _halves(left), _halves(right)
    lost = ((a * c - product) + a * e + b * c) + b * e
    return [*product.ravel().tolist(), *lost.ravel().tolist()]


def _halves(x: Floats) -> tuple[Floats, NDArray[np.float64]]:
    """The upper and the lower 26 bits of each number."""
    high = x * 134217729.0
    high = high - (high - x)
    return high, x - high


def _symmetric(matrix: torch.Tensor) -> torch.Tensor:
    return (matrix.T + matrix).div_(2)
