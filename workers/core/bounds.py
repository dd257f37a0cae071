"""The 8-bit plane that a search reads first, and the bound that makes it exact.

A row x (grid integers, not all 0) is held a second time as x = s p + e with p in [-127, 127]**d, s =
max|x_i| / 127 in float32, and e, what rounding to p lost. Beside p stand two float32:

    scale  g = s / |x|
    slack  r >= ρ + 2**-18 (1 + ρ),   ρ = |e| / |x|

A query q is q = t c + f with small integers c: either exactly, in two parts of 8 bits (q = 256 h + l, f =
0), or in one part, t = max|q_i| / 127 in float32. The first pass takes D = c·p, which is an integer sum and
exact, and

    E = t D g   in float32.

Claim: |q·x / |x| - E| <= A r + |f|  with A = |q| + |f|. So E + (A r + |f|) is an upper bound and E - (A r +
|f|) a lower bound of |q| cos(q, x), in float32 too.

Proof. q·x = q·e + f·(s p) + t s D. By Cauchy-Schwarz |q·e| <= |q||e| = |q| ρ |x|. From s p = x - e, |s p| <=
(1 + ρ)|x|, hence |f·(s p)| <= |f| (1 + ρ)|x|, and |t s D| = |t c · s p| <= (|q| + |f|)(1 + ρ)|x|. Divide by
|x|:

    |q·x / |x| - t D s/|x|| <= |q| ρ + |f| (1 + ρ) = A ρ + |f|.

What remains is rounding, with u = 2**-24. E is t D g after at most: D to float32 (u), its product with t
(u), the product with g (u) whose own error is below 2u: a factor within (1 ± 6u), so an error below 6u A (1
+ ρ) by the bound on |t s D|. In two parts, 256 H + L: where |q_i| < 128, h_i is 0, and otherwise |256 h_i|
<= |q_i| + 128 <= 2 |q_i|; and |l_i| <= |q_i|; so |256 h| <= 2|q| and |l| <= |q|, each product's error is
below 7u of at most 3 |q| (1 + ρ), that is 21u A (1 + ρ). A r + |f| is evaluated with three roundings of a
value, and the sum with E with one more; each of these values is at most 3 A (1 + ρ) (slack's own 2**-18
included), together below 12u A (1 + ρ) + 3u |f|. As |f| <= A all of it is below 36u A (1 + ρ) < 2**-18 A (1
+ ρ) = 64u A (1 + ρ), which slack holds in store. ∎

ρ, |q| and |f| are taken in float64: s p_i is exact there (24 + 7 bits), x_i - s p_i too (a multiple of 2**-31
below 2**16), a sum of d <= 2**14 squares errs by a factor within 1 ± 2**-38, and each is raised by more than
that before it is rounded to float32, the raise of 2**-20 covering the last rounding.

What follows. Let τ be the k-th largest lower bound over the rows seen so far. k rows have a cosine of at
least τ/|q|, so a row whose upper bound is below τ is not among the k best, nor tied with the k-th; every
other one is kept and compared in integers. A smaller set of rows only lowers τ: rows may be dropped at any
time during the pass.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.core.context import Vectors

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
    """Queries in 8 bits: c (n, d) and t (n,); A and |f| (n,) of the bound."""

    c: NDArray[np.int8]
    step: NDArray[np.float32]
    reach: NDArray[np.float32]
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
    rest = error * _RAISE
    reach = (np.sqrt(norms.astype(np.float64)) + rest) * _RAISE
    return Coefficients(c, step, reach.astype(np.float32), rest.astype(np.float32))


def _quantise(rows: Vectors) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float64]]:
    """p, s and |e| of each row."""
    wide = rows.astype(np.float32)
    step = np.abs(wide).max(axis=1) / np.float32(127)
    p = np.rint(wide / step[:, None])
    error = rows - step[:, None].astype(np.float64) * p
    return p.astype(np.int8), step, np.sqrt(np.einsum("ij,ij->i", error, error))
