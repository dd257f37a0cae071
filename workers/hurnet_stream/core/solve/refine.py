"""Iterative refinement with a residual taken exactly from the integers (Wilkinson 1963; Skeel 1980).

To solve AX = B, a first solution X is improved by X + A⁻¹(B - AX), and any rough A⁻¹ will do. All depends
on the residual B - AX: in float64 it is a small difference of large numbers, and what it loses by rounding
the solution never gains. Here nothing is lost before the end:

    A = G + λI is known without error: G is integers in units of 2⁻²⁸, λ a multiple of 2⁻⁶⁴
    X is known without error, too, once each column is a multiple of a power of two (`snapped`)
    both are cut into digits so short that float64 sums their products without rounding (Ozaki et al. 2012)
    carries make AX one number an entry, and only then B - AX is rounded, once

In base 100, for example, the product 1234 · 5678 would be

    (12·100 + 34) · (56·100 + 78)  =  672·100² + (936 + 1904)·100 + 2652
    carried:                       =    7·100³ + 0·100² + 66·100 + 52          = 7,006,652

where no product of two digits has more than four decimal digits. What is rounded in the end is a share of the
residual, not of AX. So each step gains the digits that the first solution had, down to X's last bit, as long
as the first solution has any digit at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.arrays import Array, Backend
from hurnet_stream.core.solve.weights import MAX_RIDGE

MAX_STEPS: Final = 3

_UNIT_BITS = 28  # G's unit is 2**-28
_RIDGE_BITS = 64
_FRACTION_BITS = _RIDGE_BITS - _UNIT_BITS  # bits of λ below the unit of G
_SOLUTION_DIGITS = 3
_LAST_BIT = 2.0**-53


def snapped_ridge(ridge: float) -> float:
    """The multiple of 2⁻⁶⁴ next to `ridge`: from 2⁻¹² up that is the number itself.

    Raises ValueError from `MAX_RIDGE` up: λ would not fit beside G.
    """
    if ridge >= MAX_RIDGE:
        raise ValueError(f"a ridge must be below {MAX_RIDGE:g}, not {ridge:g}")
    return math.ldexp(round(math.ldexp(ridge, _RIDGE_BITS)), -_RIDGE_BITS)


class ExactSystem:
    """A = M·2⁻²⁸ + λI, M (n, n) int64 and symmetric, worked on by a backend.

    `ridge` is a result of `snapped_ridge`. Raises OverflowError if an entry of A reaches 2³⁴, which 2³⁴ rows
    of unit vectors can't bring about.
    """

    def __init__(self, matrix: NDArray[np.int64], ridge: float, backend: Backend) -> None:
        whole, fraction = divmod(round(math.ldexp(ridge, _RIDGE_BITS)), 1 << _FRACTION_BITS)
        size = len(matrix)
        largest = max(abs(int(matrix.min())), int(matrix.max())) + whole
        if largest >= 1 << 62:
            raise OverflowError(f"an entry of {largest:.3g} grid units is too large to be refined")
        self.backend = backend
        # Each digit of the product sums 3 n products of two digits (n is the size). With this many bits a
        # digit the sum stays below 2**52, and with the carry below 2**53: float64 holds such integers
        # exactly.
        self._bits = (52 - math.ceil(math.log2(_SOLUTION_DIGITS * size))) // 2 + 1
        shifted = matrix + whole * np.eye(size, dtype=np.int64)
        count = -(-(largest.bit_length() + 1) // self._bits)
        self._digits = [backend.put(digit) for digit in _cut(shifted, self._bits, count)]
        below_unit = np.array([fraction << (2 * self._bits - _FRACTION_BITS)])
        self._fraction = [float(digit[0]) for digit in _cut(below_unit, self._bits, 3)] if fraction else []

    def snapped(self, solution: Array) -> Array:
        """`solution` (n, k) with each column at multiples of a unit of its own, as `residual` needs it.

        The unit is far below the last bit of the largest entries of a column, so only the smallest entries
        are rounded.
        """
        unit = self._units(solution)
        return self.backend.xp.round(solution / unit) * unit

    def times(self, solution: Array) -> Array:
        """A·solution, (n, k), as exact as `residual` is."""
        return -self.residual(self.backend.xp.zeros_like(solution), solution)

    def residual(self, target: Array, solution: Array) -> Array:
        """target - A·solution, (n, k), each entry right to within two units in its last place.

        `solution` is a result of `snapped`.
        """
        unit = self._units(solution)  # (k,)
        product = self._product(solution / unit)
        left = target
        # The highest digit first. AX nearly equals the target, so the high digits cancel what is left, and a
        # subtraction that cancels is exact in float64. Only the low digits, which make up the residual
        # itself, are rounded.
        for position in range(len(product) - 1, -1, -1):
            weight = math.ldexp(1.0, (position - 2) * self._bits - _UNIT_BITS)
            left = left - product[position] * (unit * weight)
        return left

    def _product(self, integers: Array) -> list[Array]:
        """A times `integers` (n, k), as digits, the lowest first. A 1 in the lowest is 2**(-2·bits - 28)."""
        factors = self._split(integers)
        count = len(self._digits) + len(factors) + 1
        sums = [self.backend.xp.zeros_like(integers) for _ in range(count)]
        for i, digit in enumerate(self._digits):
            for j, factor in enumerate(factors):
                sums[i + j + 2] += digit @ factor
        for i, value in enumerate(self._fraction):  # λ's bits below G's unit are two digits lower
            for j, factor in enumerate(factors):
                sums[i + j] += value * factor
        return self._carried(sums)

    def _split(self, integers: Array) -> list[Array]:
        """Whole float64 numbers (n, k) as digits of `bits` bits, the lowest first."""
        digits = []
        for position in range(_SOLUTION_DIGITS - 1, -1, -1):
            weight = math.ldexp(1.0, position * self._bits)
            digit = self.backend.xp.round(integers / weight)
            integers = integers - digit * weight
            digits.append(digit)
        return digits[::-1]

    def _carried(self, sums: Sequence[Array]) -> list[Array]:
        """The number whose digits are these sums, with every digit at most half the base in size.

        Without carries a small number could stand as a large digit and a large negative one beside it, which
        would then not cancel exactly against the target.
        """
        base = math.ldexp(1.0, self._bits)
        carry = self.backend.xp.zeros_like(sums[0])
        digits = []
        for each in sums:
            total = each + carry
            carry = self.backend.xp.round(total / base)
            digits.append(total - carry * base)
        return [*digits, carry]

    def _units(self, solution: Array) -> Array:
        """A power of two for each column, (k,): its largest entry is below 2**(3·bits - 2) of them."""
        xp = self.backend.xp
        peaks = self.backend.host(xp.amax(xp.abs(solution), axis=0))
        exponents = np.frexp(peaks)[1] - (_SOLUTION_DIGITS * self._bits - 2)
        return self.backend.put(np.ldexp(1.0, exponents))


@dataclass(frozen=True, slots=True)
class Refined:
    """A solution (n, k), its exact residual (n, k), and the steps that it took.

    `correction` is what one more step would have changed: the largest share of a column.
    """

    solution: Array
    residual: Array
    steps: int
    correction: float


def refine(system: ExactSystem, target: Array, correct: Callable[[Array], Array]) -> Refined:
    """Solve A·X = target (n, k), `correct` giving about A⁻¹ times its argument.

    Takes at most `MAX_STEPS` steps. It stops earlier if the next step would change nothing but X's last
    bits, or would not be less than half of the one before it: such a step is noise, and is left out.
    """
    solution, steps, last = system.snapped(correct(target)), 0, math.inf
    while True:
        residual = system.residual(target, solution)
        change = correct(residual)
        size = _relative(change, solution, system.backend)
        if steps == MAX_STEPS or size <= _LAST_BIT or not size <= last / 2:
            return Refined(solution, residual, steps, size)
        solution, steps, last = system.snapped(solution + change), steps + 1, size


def _relative(change: Array, solution: Array, backend: Backend) -> float:
    """The largest ‖change‖/‖solution‖ of a column."""
    norm = backend.xp.linalg.vector_norm
    changes, sizes = backend.host(norm(change, axis=0)), backend.host(norm(solution, axis=0))
    return float((changes / np.where(sizes > 0, sizes, 1.0)).max(initial=0.0))


def _cut(integers: NDArray[np.int64], bits: int, count: int) -> list[NDArray[np.int64]]:
    """`count` digits of `bits` bits, the lowest first, each at most half its base in size."""
    half, mask = 1 << (bits - 1), (1 << bits) - 1
    digits = []
    for _ in range(count - 1):
        low = ((integers + half) & mask) - half
        integers = (integers - low) >> bits
        digits.append(low)
    return [*digits, integers]
