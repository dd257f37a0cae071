"""The closed form (eq. 3, 10) from the statistics alone: W = (G + λI)⁻¹C.

    Statistics (integers)  ->  Problem: G, S = CCᵀ (float64)  ->  P = (G + λI)⁻¹  ->  Weights: P, Certificate
                                                                     |
                                              refined, if the error that was measured asks for it

Only P is published. The score of answer a for a query x is (xW)_a = ⟨Px, B_a⟩, so a responder, which
holds the B_a, needs nothing else. All is in units of the vectors (length 1): G·2⁻²⁸, C·2⁻¹⁴.

Equation 3 as printed has no ridge and fails for a singular XᵀX; λ = 0 means the pseudo-inverse here. The
bound printed as equation 11 is false; the certificate gives the residual itself instead (certify.py).

On ordinary text nothing is refined: with λ = 0.1, Cholesky errs by about 1e-15. If rounding does show, P is
refined against G + λI in integers (refine.py). Even a P that is right to its last bit does not make W = PC
right to the last bit, so if W itself is wanted its columns are refined on their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hurnet_stream.core.arrays import Floats, backend_of
from hurnet_stream.core.solve.certify import certificate
from hurnet_stream.core.solve.exact_residual import exact_residual
from hurnet_stream.core.solve.inverse import Inverse, by_cholesky, by_eigh, symmetric
from hurnet_stream.core.solve.precondition import RoughInverse, rough_inverse
from hurnet_stream.core.solve.problem import Problem, problem_of
from hurnet_stream.core.solve.refine import ExactSystem, refine, snapped_ridge
from hurnet_stream.core.solve.weights import Weights
from hurnet_stream.core.statistics.statistics import Statistics

MAX_CONDITION: Final = 1e6
"""Up to here Cholesky serves: it then errs by about 1e-10, far less than the grid."""
REFINED_ABOVE: Final = 1e-9
"""‖(G + λI)P - I‖_F/√d above which P is refined. Below, it would change no score that the grid shows."""


def solve(
    statistics: Statistics, ridge: float = 0.1, device: str = "auto", max_condition: float = MAX_CONDITION
) -> Weights:
    """The weights of `statistics` and their certificate, in time that depends on d alone once S is kept up.

    `ridge` is λ on unit vectors, taken at the nearest multiple of 2⁻⁶⁴; 0 gives the pseudo-inverse. The
    default of 0.1 serves answers that occur once better than cross-validation (core/paper/gcv.py). The method
    is Cholesky if it succeeds and cond(G + λI) is at most `max_condition`, else an eigendecomposition.

    Raises ValueError for statistics without pairs, a ridge that is negative, not finite or from 2³³ up, and
    an unknown device; OverflowError for 2³⁴ rows or more that have to be refined.
    """
    _check(statistics, ridge)
    problem, ridge = problem_of(statistics, backend_of(device)), snapped_ridge(ridge)
    return certified(problem, ridge, by_cholesky(problem, ridge, max_condition) or by_eigh(problem, ridge))


def certified(problem: Problem, ridge: float, inverse: Inverse) -> Weights:
    """The weights of an `inverse`, refined if its error asks for it. `ridge` is one of `snapped_ridge`."""
    residual = None
    if inverse.error > REFINED_ABOVE * math.sqrt(problem.dimension):
        system, rough = _exactly(problem, ridge, problem.cutoff(inverse.eigenvalues[-1] + ridge))
        inverse = _refined(problem, inverse, system, rough)
        residual = exact_residual(problem, system, rough, ridge)
    projection = problem.backend.host(inverse.projection)
    return Weights(projection, certificate(problem, inverse, ridge, residual))


@dataclass(frozen=True, slots=True, eq=False)
class WeightColumns:
    """W's columns (d, k) for some answers.

    `correction` is the largest ‖P·R_a‖/‖W_a‖ that is left after `steps` of refinement, with R = C - (G+λI)W
    taken exactly: W's relative error, up to the rounding of its own last bits.
    """

    weights: Floats
    steps: int
    correction: float


def solve_weights(
    statistics: Statistics, answers: Sequence[str], ridge: float = 0.1, device: str = "auto"
) -> WeightColumns:
    """W's columns for `answers`, right to about the last bit as long as cond(X) is below 1e13.

    Whoever holds the rows needs P alone; this is for those who want W itself (`hurnet weights`). For λ = 0 it
    is the pseudo-inverse with the cutoff d·eps·σ₁ on the singular values of X itself: G is known exactly, so
    its eigenvalues below float64's rounding of G can be known too (precondition.py).

    Raises KeyError for an answer without pairs, and otherwise as `solve` does.
    """
    _check(statistics, ridge)
    problem = problem_of(statistics, backend_of(device))
    system, rough = _exactly(problem, snapped_ridge(ridge), problem.rows_cutoff)
    refined = refine(system, problem.targets(answers), rough)
    return WeightColumns(problem.backend.host(refined.solution), refined.steps, refined.correction)


def _check(statistics: Statistics, ridge: float) -> None:
    if not (math.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"a ridge must be a finite number from 0 up, not {ridge!r}")
    if statistics.count == 0:
        raise ValueError("nothing to solve: the statistics hold no pairs")


def _exactly(problem: Problem, ridge: float, cutoff: float) -> tuple[ExactSystem, RoughInverse]:
    """G + λI in integers, and a rough inverse of it without the directions up to `cutoff`."""
    system = ExactSystem(problem.statistics.gram, ridge, problem.backend)
    return system, rough_inverse(problem, system, ridge, cutoff)


def _refined(problem: Problem, inverse: Inverse, system: ExactSystem, rough: RoughInverse) -> Inverse:
    """P refined, and its error taken exactly."""
    refined = refine(system, problem.identity, rough)
    projection = system.snapped(symmetric(refined.solution))
    # (G + λI)P - identity = (I - identity) - (I - (G + λI)P), and the last bracket is the exact residual.
    left = system.residual(problem.identity, projection) - (problem.identity - inverse.identity)
    error = float(problem.backend.xp.linalg.matrix_norm(left))
    return replace(inverse, projection=projection, error=error, refinement_steps=refined.steps)
