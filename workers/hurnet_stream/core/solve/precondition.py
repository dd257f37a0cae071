"""A rough inverse of G + λI that has a digit in every direction in which X has one.

An eigendecomposition of G in float64 finds eigenvalues down to eps·σ₁(G). In terms of X, whose singular
values are their roots, that is √eps·σ₁(X): half of the digits are lost, which is the usual objection to
solving from XᵀX. But here G is known in integers, and so more can be found:

    σ² / σ₁²      1 ......... 1e-8 ......... 1e-16 ......... 1e-32
                  float64 is sure    the others, looked at again    rounding even of X

On the directions U that float64 is not sure of, made G-orthogonal to the sure ones, UᵀGU is taken exactly.
U's own rounding enters it squared, as in a Rayleigh quotient. So eigenvalues are found down to eps²·σ₁(G),
which is eps·σ₁(X), as a decomposition of X itself would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hurnet_stream.core.arrays import Array
from hurnet_stream.core.solve.problem import Problem
from hurnet_stream.core.solve.refine import ExactSystem

UNSURE: Final = 1e-8
"""Share of the largest eigenvalue below which a direction is looked at again: half of float64's digits."""


@dataclass(frozen=True, slots=True)
class RoughInverse:
    """The inverse on the sure directions, (n, n), and the others, (n, k), with their eigenvalues (k,)."""

    system: ExactSystem
    sure: Array
    others: Array
    energies: Array

    def __call__(self, target: Array) -> Array:
        """About A⁻¹·target, (n, k)."""
        solution = self.system.snapped(self.sure @ target)
        if not len(self.energies):
            return solution
        # What the sure directions account for is taken out of the target first, and exactly. A rest of it
        # would be divided by the small eigenvalues of the others, and drown what belongs to these.
        left = self.system.residual(target, solution)
        return solution + self.others @ ((self.others.T @ left) / self.energies[:, None])


def rough_inverse(problem: Problem, system: ExactSystem, ridge: float, cutoff: float) -> RoughInverse:
    """The rough inverse of `system`, which is `problem` with this ridge in integers.

    Directions whose eigenvalue is at most `cutoff` have no part in it.
    """
    eigenvalues, vectors = problem.decomposed
    shifted = eigenvalues + ridge
    clear = shifted > UNSURE * shifted[-1]
    sure = (vectors[:, clear] / shifted[clear]) @ vectors[:, clear].T
    others = system.snapped(vectors[:, ~clear])
    others = system.snapped(others - sure @ system.times(others))  # G-orthogonal to the sure directions
    energy = others.T @ system.times(others)  # (k, k): UᵀAU
    energies, mix = problem.backend.xp.linalg.eigh((energy + energy.T) / 2)
    real = energies > cutoff
    return RoughInverse(system, sure, others @ mix[:, real], energies[real])
