"""BM25 in integers: what a term adds to the score of an entry that holds it.

    idf(t) = ln((2 N + 2) / (2 n_t + 1))                    N entries, of which n_t hold the term
    most(t) = (k1 + 1) idf(t)
    adds(t, e) = most(t) f / (f + k1 (1 - b + b l / mean))       f times in an entry of l terms

    N = 3, n_t = 1, f = 1, l = mean:   idf = ln(8/3) = 0.98,  most = 2.16,  adds = 2.16 / 2.2 = 0.98

That is Robertson's and Zaragoza's formula with Lucene's idf, ln(1 + (N - n + 1/2) / (n + 1/2)), which is
never negative. Everything that goes in is an integer and a function of the set of entries alone: N, n_t and
the sum of all lengths. So no order, batch or deletion leaves a trace.

The scores are the same on every machine. `idf` is made by basic operations on float64, which IEEE 754
rounds alike everywhere (the logarithm of a C library is not), and rounded down to the grid of 2**-16; so is
what a term adds. Sums are integers.

Age and copies change nothing here: they say how much an entry teaches, not how rare a word is.

Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009, equation 3.15.
"""

from __future__ import annotations

from math import frexp
from typing import Final

import numpy as np
from numpy.typing import NDArray

K1: Final = 1.2
"""How slowly a term that is repeated in an entry stops adding."""
B: Final = 0.75
"""How much the length of an entry counts."""

GRID: Final = 1 << 16
"""Scores are whole numbers of 1 / GRID. The sum of 64 terms stays below 2**31: idf is below 22."""

_LN2: Final = 0.6931471805599453
_ROOT: Final = 0.7071067811865476

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def most(entries: int, holding: int) -> int:
    """What a term can add at most, on the grid, if `holding` of the entries hold it."""
    return int(_logarithm((2 * entries + 2) / (2 * holding + 1)) * (K1 + 1) * GRID)


def _logarithm(x: float) -> float:
    """ln x, to nine digits, by operations that every machine rounds alike."""
    mantissa, exponent = frexp(x)  # x = mantissa 2**exponent, mantissa in [1/2, 1)
    s = (mantissa - _ROOT) / (mantissa + _ROOT)
    q = s * s
    # ln(mantissa / root) = 2 artanh s, as a series
    series = s * (2 + q * (2 / 3 + q * (2 / 5 + q * (2 / 7 + q * (2 / 9)))))
    return (exponent - 0.5) * _LN2 + series


def damping(entries: int, total: int, longest: int) -> Floats:
    """k1 (1 - b + b l / mean) by length l, (longest + 1,). `total` is the sum of all lengths."""
    step = K1 * B * entries / max(total, 1)
    damped: Floats = K1 * (1 - B) + step * np.arange(longest + 1, dtype=np.float64)
    return damped


def adds(most_of_term: int, times: NDArray[np.uint8], damped: Floats) -> Integers:
    """What a term adds to entries (n,) that hold it so many `times`, on the grid. `damped` (n,) is
    `damping` at their lengths."""
    times_f = times.astype(np.float64)
    return (most_of_term * times_f / (times_f + damped)).astype(np.int64)
