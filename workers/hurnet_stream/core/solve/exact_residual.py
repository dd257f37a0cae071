"""‖XW - Y‖²_F of the exact W, to its last bits (eq. 11).

It is a small difference of large numbers, so every number in it must be exact. W's columns are refined, which
gives their exact residual R = C - (G + λI)W as well. Then GW = C - R - λW, and

    ‖XW - Y‖²_F = m - 2 tr(WᵀC) + tr(WᵀGW) = m - tr(WᵀC) - tr(WᵀR) - λ‖W‖²_F,

whose terms are products of two float64 numbers, each split into its rounded value and what rounding left off:

    product = fl(a·b),   lost = a·b - product,   both float64,   product + lost = a·b exactly

`math.fsum` then adds them all without rounding.
"""

from __future__ import annotations

import math
from typing import Final

from hurnet_stream.core.arrays import Floats
from hurnet_stream.core.solve.precondition import RoughInverse
from hurnet_stream.core.solve.problem import Problem
from hurnet_stream.core.solve.refine import ExactSystem, refine

EXACT_ANSWERS: Final = 1024
"""Answers up to which the residual is taken exactly: refining that many columns costs no more than P does."""


def exact_residual(problem: Problem, system: ExactSystem, rough: RoughInverse, ridge: float) -> float | None:
    """‖XW - Y‖²_F of the exact W; None if there are more than `EXACT_ANSWERS` answers."""
    answers = list(problem.statistics.answer_sums)
    if len(answers) > EXACT_ANSWERS:
        return None
    target = problem.targets(answers)  # (d, k): C
    refined = refine(system, target, rough)
    w, c, r = map(problem.backend.host, (refined.solution, target, refined.residual))
    terms = (*_products(w, c), *_products(w, r), *_products(ridge * w, w))
    return math.fsum([problem.count, *(-term for term in terms)])


def _products(left: Floats, right: Floats) -> list[float]:
    """Numbers whose sum is Σ left·right exactly: products, and what their rounding left off (Dekker 1971)."""
    product = left * right
    (a, b), (c, e) = _halves(left), _halves(right)
    lost = ((a * c - product) + a * e + b * c) + b * e
    return [*product.ravel().tolist(), *lost.ravel().tolist()]


def _halves(x: Floats) -> tuple[Floats, Floats]:
    """The upper and the lower 26 bits of each number, so that products of two halves are exact."""
    high = x * 134217729.0  # 2**27 + 1 (Veltkamp's splitting)
    high = high - (high - x)
    return high, x - high
