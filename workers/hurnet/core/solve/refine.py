"""Iterative refinement with a residual taken exactly from the integers (Wilkinson 1963; Skeel 1980).

A = G + λI is known without error: G is integers in units of 2⁻²⁸ and λ a multiple of 2⁻⁶⁴ (`snapped_ridge`).
So is a float64 solution X, once each column is a multiple of a power of two. Both are cut into digits so
short that float64 sums their products without rounding (Ozaki et al. 2012), carries make AX one number an
entry, and only then is B - AX rounded, once. What is lost is a share of the residual, not of AX, so each
step gains the digits that the first solution had, down to X's last bit, whatever the condition number is up
to the point where the first solution has no digit at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from hurnet.core.solve.weights import MAX_RIDGE

MAX_STEPS: Final = 3

_UNIT_BITS = 28  # G's unit is 2**-28
_RIDGE_BITS = 64
_FRACTION_BITS = _RIDGE_BITS - _UNIT_BITS  # of λ, below the unit of G
_SOLUTION_DIGITS = 3
_LAST_BIT = 2.0**-53


def snapped_ridge(ridge: float) -> float:
    """The multiple of 2⁻⁶⁴ next to `ridge`: from 2⁻¹² up that is the number itself.

    Raises ValueError from `MAX_RIDGE` up, where λ would not fit beside G.
    """
    if ridge >= MAX_RIDGE:
        raise ValueError(f"a ridge must be below {MAX_RIDGE:g}, not {ridge:g}")
    return math.ldexp(round(math.ldexp(ridge, _RIDGE_BITS)), -_RIDGE_BITS)


class ExactSystem:
    """A = M·2⁻²⁸ + λI, M (n, n) int64 and symmetric, on a device.

    `ridge` is one of `snapped_ridge`. Raises OverflowError where an entry of A reaches 2³⁴, which 2³⁴ rows
    of unit vectors can't.
    """

    def __init__(self, matrix: NDArray[np.int64], ridge: float, device: torch.device) -> None:
        whole, fraction = divmod(round(math.ldexp(ridge, _RIDGE_BITS)), 1 << _FRACTION_BITS)
        size = len(matrix)
        most = max(abs(int(matrix.min())), int(matrix.max())) + whole
        if most >= 1 << 62:
            raise OverflowError(f"an entry of {most:.3g} grid units is too large to be refined")
        self.device = device
        # Three products of digits of `bits` bits a place, summed over n, stay below 2⁵², with carries 2⁵³.
        self._bits = (52 - math.ceil(math.log2(_SOLUTION_DIGITS * size))) // 2 + 1
        shifted = matrix + whole * np.eye(size, dtype=np.int64)
        count = -(-(most.bit_length() + 1) // self._bits)
        self._digits = [self._on_device(digit) for digit in _cut(shifted, self._bits, count)]
        below = np.array([fraction << (2 * self._bits - _FRACTION_BITS)])
        self._fraction = [float(digit[0]) for digit in _cut(below, self._bits, 3)] if fraction else []

    def snapped(self, solution: torch.Tensor) -> torch.Tensor:
        """`solution` (n, k) with each column at multiples of the unit in which `residual` can take it.

        That is far below a float64's last bit for the largest entries of a column, and rounds the smallest.
        """
        unit = self._units(solution)
        return torch.round(solution / unit) * unit

    def times(self, solution: torch.Tensor) -> torch.Tensor:
        """A·solution, (n, k), as exact as `residual` is."""
        return -self.residual(torch.zeros_like(solution), solution)

    def residual(self, target: torch.Tensor, solution: torch.Tensor) -> torch.Tensor:
        """target - A·solution, (n, k), each entry right to within two units in its last place.

        `solution` is one of `snapped`.
        """
        unit = self._units(solution)
        places = self._product(solution / unit)
        left = target.clone()
        for place in range(len(places) - 1, -1, -1):  # exact while it cancels: from the top down
            weight = math.ldexp(1.0, (place - 2) * self._bits - _UNIT_BITS)
            left -= places[place] * (unit * weight)
        return left

    def _product(self, integers: torch.Tensor) -> list[torch.Tensor]:
        """A times `integers`, as digits by place, the first worth 2**(-2·bits - 28)."""
        parts = self._split(integers)
        places = [torch.zeros_like(integers) for _ in range(len(self._digits) + len(parts) + 1)]
        for i, digit in enumerate(self._digits):
            for j, part in enumerate(parts):
                places[i + j + 2] += digit @ part
        for i, value in enumerate(self._fraction):
            for j, part in enumerate(parts):
                places[i + j] += value * part
        return self._carried(places)

    def _split(self, integers: torch.Tensor) -> list[torch.Tensor]:
        """Whole float64 numbers into digits of `bits` bits, the lowest first."""
        digits = []
        for place in range(_SOLUTION_DIGITS - 1, -1, -1):
            weight = math.ldexp(1.0, place * self._bits)
            digit = torch.round(integers / weight)
            integers = integers - digit * weight
            digits.append(digit)
        return digits[::-1]

    def _carried(self, places: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The same number with each digit at most half its base in size, so that the top ones cancel to 0."""
        base = math.ldexp(1.0, self._bits)
        carry = torch.zeros_like(places[0])
        digits = []
        for place in places:
            total = place + carry
            carry = torch.round(total / base)
            digits.append(total - carry * base)
        return [*digits, carry]

    def _units(self, solution: torch.Tensor) -> torch.Tensor:
        """A power of two a column, (k,): its largest entry is below 2**(3·bits - 2) of them."""
        peaks = solution.abs().amax(0).cpu().numpy()
        exponents = np.frexp(peaks)[1] - (_SOLUTION_DIGITS * self._bits - 2)
        return self._on_device(np.ldexp(1.0, exponents))

    def _on_device(self, array: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(array.astype(np.float64)).to(self.device)


@dataclass(frozen=True, slots=True)
class Refined:
    """A solution (n, k), its exact residual, the steps that it took, and what one more would have changed:
    the largest change of a column as a share of that column."""

    solution: torch.Tensor
    residual: torch.Tensor
    steps: int
    correction: float


def refine(
    system: ExactSystem,
    target: torch.Tensor,
    correct: Callable[[torch.Tensor], torch.Tensor],
) -> Refined:
    """Solve A·X = target (n, k), `correct` being about A⁻¹ times what it is given.

    At most `MAX_STEPS` steps; fewer where the next would change nothing but X's last bits, or would be no
    longer half of the one before it: then it is noise, and is left out.
    """
    solution, steps, last = system.snapped(correct(target)), 0, math.inf
    while True:
        residual = system.residual(target, solution)
        change = correct(residual)
        size = _relative(change, solution)
        if steps == MAX_STEPS or size <= _LAST_BIT or not size <= last / 2:
            return Refined(solution, residual, steps, size)
        solution, steps, last = system.snapped(solution + change), steps + 1, size


def _relative(change: torch.Tensor, solution: torch.Tensor) -> float:
    """The largest change of a column, as a share of the column."""
    sizes = torch.linalg.vector_norm(solution, dim=0)
    shares = torch.linalg.vector_norm(change, dim=0) / torch.where(sizes > 0, sizes, 1.0)
    return float(shares.max()) if shares.numel() else 0.0


def _cut(integers: NDArray[np.int64], bits: int, count: int) -> list[NDArray[np.int64]]:
    """`count` digits of `bits` bits, the lowest first, each at most half its base in size."""
    half, mask = 1 << (bits - 1), (1 << bits) - 1
    digits = []
    for _ in range(count - 1):
        low = ((integers + half) & mask) - half
        integers = (integers - low) >> bits
        digits.append(low)
    return [*digits, integers]
