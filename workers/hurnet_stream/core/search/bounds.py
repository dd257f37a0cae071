"""The planes that a search reads first, and the bound that makes it exact.

The idea: a vector in few bits is read faster, and how much rounding lost of it is known. So a product with
the rounded vector says between which two values the true cosine lies. For x = (100, 31):

    step 100 / 127       p = (127, 39)        lost e = (0, 0.29)       |e| / |x| = 0.003
    a cosine that is 0.71 by p is between 0.707 and 0.713, if the query lost nothing

If the k best rows seen so far are all above 0.72 at least, this row need not be looked at any further.

The bound. A row x (grid integers, not all 0) is held a second time as x = s p + e, p in [-127, 127]**d, where
e is what rounding to p lost. Beside p stand

    scale  g, within 2u of s / |x|, u = 2**-24
    slack  r >= ρ + 2**-18 (1 + ρ),   ρ = |e| / |x|

and a query q is q = t c + f, c in [-127, 127]**d, with, for A = |q| + |f|,

    weight  w, within 2u of t / A
    rest    v >= |f| / A.

The first pass computes D = c·p, a sum of integers and so exact, and the estimate E = D g w in float32.

Claim: |q·x / (A |x|) - E| <= r + v. So E + (r + v) is an upper bound and E - (r + v) a lower bound of cos(q,
x) |q| / A, in float32 too; and |q| / A is the same for all rows.

Proof. q·x = q·e + f·(s p) + t s D. By Cauchy-Schwarz |q·e| <= |q||e| = |q| ρ |x|. From s p = x - e, |s p| <=
(1 + ρ)|x|, hence |f·(s p)| <= |f| (1 + ρ)|x|, and |t s D| = |t c · s p| <= A (1 + ρ)|x|. So

    |q·x / (A|x|) - t s D / (A|x|)| <= (|q| ρ + |f| (1 + ρ)) / A = ρ + |f| / A.

What remains is rounding. E is t s D / (A|x|) up to the rounding of D to float32 (u) and of its products with
g (2u and u) and w (2u and u): a factor within 1 ± 8u, an error below 8u (1 + ρ). E + r, r + v, their sums and
differences, and the comparison with τ - v in place of adding v, round at most six values below 3 (1 + ρ) + v,
once each: together below 6u (3 (1 + ρ) + 1). All of it is below 32u (1 + ρ), half of the 2**-18 (1 + ρ) = 64u
(1 + ρ) that slack holds in reserve. The other half is more than float64 errs by in ρ: s p_i and x_i - s p_i
are within 2**-50 of |x| each, and a sum of d <= 2**14 squares within a factor of 1 ± 2**-38. ∎

The proof does not ask how p came about. The kernels make use of that three times.

*Rotation.* They take y = H S x instead of x, and the same of q. S changes signs, and H is made of blocks of
Hadamard's matrix of size b. Both are integers, so y is exact, and (H S)ᵀ H S = b I, so cosines stay what they
are. The use of it: no component of y stands out, however sparse x is, so that few bits are enough.

*Scale and slack in 16 bits.* g is the least float32 with a zero lower half that is >= max|y_i| / 127 / |y|,
and s is g |y|, so g is exact in 16 bits. Slack is rounded up to such a number, at most by a 128th of it.

*Four bits.* p + 128 = 16 h + l is kept as two planes of 4 bits. From h alone one knows p' = 16 h - 120.5,
the middle of what p may be. It is a p of its own, in halves, with the same g and a slack of its own, from e'
= y - s p'. The sum is 2 D' = 32 c·h - 241 Σc, an integer below 2**30, and E' = (2 D') g (w / 2).

A single query reads h alone, and compares the rows that its bound leaves in integers at once: the exact value
± 2**-20 serves as both bounds, as float64 and the rounding to float32 err by less. All of p is read if h
leaves too many rows, and for several queries together: these wait for products, not for memory.

Without kernels the first comparison knows only R, the largest slack of all rows. It needs no more than D g =
a in float32: if a' is the k-th largest so far, rows with a < a' - 2 (R + v) / w are dropped. By the proof,
each of the k rows has q·x / (A |x|) >= a' w - (R + v) + 24u, and a dropped one has less than a w + (R + v) -
24u. (The claim allows for a product with w and a comparison in float32. Neither is made here, so fewer values
are rounded than the claim allows.) The bar is rounded to float32 once, by less than 4u / w, since (R + v) <
0.86 for all d that are allowed. The rows that are left are compared again by their own slacks, as claimed.

What follows. Let τ be the k-th largest lower bound over the rows seen so far. k rows have a cosine of at
least τ A/|q|, so a row whose upper bound is below τ is not among the k best, nor tied with the k-th. Every
other row is kept and compared in integers. A smaller set of rows only lowers τ, so rows may be dropped at any
time during the pass.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.stored.batch import Vectors

MAX_DIMENSION = 1 << 14
"""Up to here the proof holds, and products of dot products and norms fit 127 bits."""

ROUNDING = 2.0**-18
"""What slack holds in reserve for all that is rounded."""
_RAISE = 1 + 2.0**-20
"""A bound in float64 times this is still one when it has been rounded to float32."""


class Plane(NamedTuple):
    """Rows in 8 bits: p (n, d), scale g and slack r (n,)."""

    p: NDArray[np.int8]
    scale: NDArray[np.float32]
    slack: NDArray[np.float32]


class Coefficients(NamedTuple):
    """Queries in 8 bits: c (n, d), weight w and rest v (n,)."""

    c: NDArray[np.int8]
    weight: NDArray[np.float32]
    rest: NDArray[np.float32]


def plane(rows: Vectors, norms: NDArray[np.int64]) -> Plane:
    """The plane of grid rows (n, d), none of zeros, given their |x|**2 (n,)."""
    p, step, error = _quantise(rows)
    length = np.sqrt(norms.astype(np.float64))
    rho = error / length
    slack = (rho + ROUNDING * (1 + rho)) * _RAISE
    return Plane(p, (step / length).astype(np.float32), slack.astype(np.float32))


def coefficients(queries: Vectors, norms: NDArray[np.int64]) -> Coefficients:
    """The coefficients of queries (n, d), none of zeros, given their |q|**2 (n,)."""
    c, step, error = _quantise(queries)
    reach = np.sqrt(norms.astype(np.float64)) + error
    rest = error / reach * _RAISE
    return Coefficients(c, (step / reach).astype(np.float32), rest.astype(np.float32))


def _quantise(rows: Vectors) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float64]]:
    """p (n, d), s and |e| (n,) of each row."""
    wide = rows.astype(np.float32)
    step = np.abs(wide).max(axis=1) / np.float32(127)
    p = np.rint(wide / step[:, None])
    error = rows - step[:, None].astype(np.float64) * p
    return p.astype(np.int8), step, np.sqrt(np.vecdot(error, error))
