"""A rough inverse of G + λI that has a digit in every direction in which X has one.

An eigendecomposition of G in float64 finds eigenvalues to within eps·σ₁(G), and so is blind to singular
values of X below √eps·σ₁(X), which a decomposition of X would see. But G is integers. On the directions U
that float64 can't tell, made G-orthogonal to the others, UᵀGU is taken exactly; U's own rounding enters it
squared (as in a Rayleigh quotient). So eigenvalues are found down to eps²·σ₁(G), which is eps·σ₁(X).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from hurnet.core.solve.problem import Problem
from hurnet.core.solve.refine import ExactSystem

UNSURE: Final = 1e-8
"""Share of the largest eigenvalue below which a direction is looked at again: half of float64's digits."""


@dataclass(frozen=True, slots=True)
class RoughInverse:
    """The inverse on the sure directions, (n, n), and the others, (n, k), with their eigenvalues (k,)."""

    system: ExactSystem
    sure: torch.Tensor
    others: torch.Tensor
    energies: torch.Tensor

    def __call__(self, target: torch.Tensor) -> torch.Tensor:
        """About A⁻¹·target, (n, k). The sure part is taken out of the target, exactly, before the others:
        of it they would make, divided by their small eigenvalues, more than there is of themselves."""
        solution = self.system.snapped(self.sure @ target)
        if not len(self.energies):
            return solution
        left = self.system.residual(target, solution)
        return solution + self.others @ ((self.others.T @ left) / self.energies[:, None])


def rough_inverse(problem: Problem, system: ExactSystem, ridge: float, cutoff: float) -> RoughInverse:
    """Of `system`, which is `problem` with this ridge in integers. Directions whose eigenvalue is at most
    `cutoff` have no part in it."""
    eigenvalues, vectors = problem.decomposed
    shifted = eigenvalues + ridge
    clear = shifted > UNSURE * shifted[-1]
    sure: torch.Tensor = (vectors[:, clear] / shifted[clear]) @ vectors[:, clear].T
    others = vectors[:, ~clear]
    others = system.snapped(others)
    others = system.snapped(others - sure @ system.times(others))
    energy = others.T @ system.times(others)
    energies, mix = torch.linalg.eigh((energy + energy.T) / 2)
    real = energies > cutoff
    return RoughInverse(system, sure, others @ mix[:, real], energies[real])
