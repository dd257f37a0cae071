"""The planes that a search reads first, and the bound that makes it exact.

A row x (grid integers, not all 0) is held a second time as x = s p + e, p in [-127, 127]**d, with e what
rounding to p lost. Beside p stand

    scale  g, within 2u of s / |x|, u = 2**-24
    slack  r >= ρ + 2**-18 (1 + ρ),   ρ = |e| / |x|

and a query q is q = t c + f, c in [-127, 127]**d, with, for A = |q| + |f|,

    weight  w, within 2u of t / A
    rest    v >= |f| / A.

The first pass takes D = c·p, which is an integer sum and exact, and E = D g w in float32.

Claim: |q·x / (A |x|) - E| <= r + v. So E + (r + v) is an upper bound and E - (r + v) a lower bound of cos(q,
x) |q| / A, in float32 too; and |q| / A is the same for all rows.

Proof. q·x = q·e + f·(s p) + t s D. By Cauchy-Schwarz |q·e| <= |q||e| = |q| ρ |x|. From s p = x - e, |s p| <=
(1 + ρ)|x|, hence |f·(s p)| <= |f| (1 + ρ)|x|, and |t s D| = |t c · s p| <= A (1 + ρ)|x|. So

    |q·x / (A|x|) - t s D / (A|x|)| <= (|q| ρ + |f| (1 + ρ)) / A = ρ + |f| / A.

What remains is rounding. E is t s D / (A|x|) but for D to float32 (u), its products with g (2u and u) and w
(2u and u): a factor within 1 ± 8u, an error below 8u (1 + ρ). E + r, r + v, their sums and differences, and
the comparison with τ - v in place of adding v, round at most six values below 3 (1 + ρ) + v, once each:
together below 6u (3 (1 + ρ) + 1). All of it is below 32u (1 + ρ), half of the 2**-18 (1 + ρ) = 64u (1 + ρ)
that slack holds in store. The other half is more than float64 errs by in ρ: s p_i and x_i - s p_i are within
2**-50 of |x| each, and a sum of d <= 2**14 squares within a factor of 1 ± 2**-38. ∎

Nothing here asks how p came about. The kernels use it three times over.

*Rotation.* They take y = H S x for x, and the same of q: S signs, H blocks of Hadamard's matrix of size b.
Both are integers, so y is exact, and (H S)ᵀ H S = b I, so cosines stay what they are. What it brings: no
component of y stands out, however sparse x is, and few bits serve.

*Steps of 8 bits.* g is the least float32 with a zero lower half that is >= max|y_i| / 127 / |y|, and s is g
|y|: g is exact in 16 bits. Slack is rounded up to such a number, and that costs at most a 128th of it.

*Four bits.* p + 128 = 16 h + l is kept as two planes of 4 bits. From h alone one knows p' = 16 h - 120.5,
the middle of what p may be: it is a p of its own, in halves, with the same g and a slack of its own, from e'
= y - s p'. The sum is 2 D' = 32 c·h - 241 Σc, an integer below 2**30, and E' = (2 D') g (w / 2).

One query reads h, and compares what its bound leaves in integers at once: that value is both bounds, widened
by 2**-20, more than float64 and the rounding to float32 err by. Where h leaves too many rows of a block, and
for several queries, which the products keep longer than memory does, all of p is used.

Without kernels the first comparison knows only R, no row's slack being larger. D g = a in float32 is all it
needs: with a' the k-th largest so far, rows of a < a' - 2 (R + v) / w are dropped. For by the proof each of
the k rows has q·x / (A |x|) >= a' w - (R + v) + 24u, a dropped one less than a w + (R + v) - 24u (product and
comparison in float32, which the claim allows for, are not taken), and the bar is rounded to float32 once, by
less than 4u / w, since (R + v) < 0.86 for all d that are allowed. Those that are left are compared again by
their own slacks, as claimed.

What follows. Let τ be the k-th largest lower bound over the rows seen so far. k rows have a cosine of at
least τ A/|q|, so a row whose upper bound is below τ is not among the k best, nor tied with the k-th; every
other one is kept and compared in integers. A smaller set of rows only lowers τ: rows may be dropped at any
time during the pass.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet.core.stored.batch import Vectors

MAX_DIMENSION = 1 << 14
"""Up to here the proof holds, and products of dot products and norms fit 127 bits."""

ROUNDING = 2.0**-18
_RAISE = 1 + 2.0**-20


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
    """The plane of grid rows (n, d), none of zeros, given their |x|**2."""
    p, step, error = _quantise(rows)
    length = np.sqrt(norms.astype(np.float64))
    rho = error / length
    slack = (rho + ROUNDING * (1 + rho)) * _RAISE
    return Plane(p, (step / length).astype(np.float32), slack.astype(np.float32))


def coefficients(queries: Vectors, norms: NDArray[np.int64]) -> Coefficients:
    """Queries (n, d) in one part, none of zeros, given their |q|**2."""
    c, step, error = _quantise(queries)
    reach = np.sqrt(norms.astype(np.float64)) + error
    rest = error / reach * _RAISE
    return Coefficients(c, (step / reach).astype(np.float32), rest.astype(np.float32))


def _quantise(rows: Vectors) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float64]]:
    """p, s and |e| of each row."""
    wide = rows.astype(np.float32)
    step = np.abs(wide).max(axis=1) / np.float32(127)
    p = np.rint(wide / step[:, None])
    error = rows - step[:, None].astype(np.float64) * p
    return p.astype(np.int8), step, np.sqrt(np.vecdot(error, error))
