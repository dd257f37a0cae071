"""P = (G + λI)⁻¹ in float64, by Cholesky if the matrix is well conditioned, else by its eigenvectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hurnet_stream.core.arrays import Array, Floats
from hurnet_stream.core.solve.problem import Problem


@dataclass(frozen=True, slots=True)
class Inverse:
    """P (d, d), and what is known of it.

    `eigenvalues` (d,) are G's, ascending, with 0 for rounding. `identity` (d, d) is what (G + λI)P should be:
    I, or less if P is a pseudo-inverse. `error` is ‖(G + λI)P - identity‖_F, in float64 or, after
    `refinement_steps` of refinement, exact.
    """

    projection: Array
    eigenvalues: Floats
    identity: Array
    method: Literal["cholesky", "eigh"]
    error: float
    refinement_steps: int = 0


def by_cholesky(problem: Problem, ridge: float, max_condition: float) -> Inverse | None:
    """By Cholesky; None if cond(G + λI) is above `max_condition` or the matrix is not positive definite."""
    eigenvalues = problem.eigenvalues()
    if eigenvalues[-1] + ridge > max_condition * (eigenvalues[0] + ridge):
        return None
    shifted = problem.shifted(ridge)
    projection = problem.backend.inverse(shifted)
    if projection is None:
        return None
    projection = symmetric(projection)
    error = _error(problem, shifted, projection, problem.identity)
    return Inverse(projection, eigenvalues, problem.identity, "cholesky", error)


def by_eigh(problem: Problem, ridge: float) -> Inverse:
    """V(Σ² + λ)⁻¹Vᵀ without the directions whose σ² + λ is rounding: for λ = 0 the pseudo-inverse."""
    spectrum, vectors = problem.decomposed
    eigenvalues = problem.cleaned(problem.backend.host(spectrum))
    kept = problem.kept(eigenvalues, ridge)
    shifted = problem.backend.put(eigenvalues[kept] + ridge)  # (r,)
    basis = vectors[:, int((~kept).sum()) :]  # (d, r): eigenvalues ascend, so those kept come last
    projection = symmetric((basis / shifted) @ basis.T)
    identity = problem.identity if kept.all() else basis @ basis.T
    error = _error(problem, problem.shifted(ridge), projection, identity)
    return Inverse(projection, eigenvalues, identity, "eigh", error)


def symmetric(matrix: Array) -> Array:
    """The mean of a matrix and its transpose: rounding may have made the two differ."""
    return (matrix + matrix.T) / 2


def _error(problem: Problem, shifted: Array, projection: Array, identity: Array) -> float:
    """‖(G + λI)P - identity‖_F."""
    return float(problem.backend.xp.linalg.matrix_norm(shifted @ projection - identity))
