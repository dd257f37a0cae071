"""The grid that every vector lives on: int16 coordinates in units of 2**-14.

    0.6, 0.8        9830, 13107         a unit vector, and the same on the grid

Products of grid integers are exact in float64 and int64. So sums do not depend on their order, and a score
that decides an answer can be recomputed exactly on any machine (equation 2 of the paper, cosine, on
integers).

Vectors are checked once, when they enter, and all code behind that relies on it: `snap` makes them
(embedders), `stored.codec` checks what comes out of a store, `ContextIndex` what is appended and asked,
`statistics` what is learned. The kernels' sums would overflow for a vector off the grid.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SCALE = 1 << 14
"""Grid steps in one unit: a unit vector's coordinates lie in [-SCALE, SCALE]."""

_SMALL = 1e-140
"""A norm from here to its inverse has a square that float64 holds."""


def snap(vectors: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
    """Rows (n, d) scaled to unit length and rounded to the grid; a row of zeros stays zero.

    Raises ValueError for a coordinate that is NaN or infinite.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    if not np.isfinite(rows).all():
        raise ValueError("an embedding has a coordinate that is not finite")
    with np.errstate(over="ignore", under="ignore"):
        norms = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    extreme = ((norms < _SMALL) | (norms > 1 / _SMALL)).ravel()
    if extreme.any():
        # The squares of these rows left float64's range: scale them by their largest component first.
        peaks = np.abs(rows[extreme]).max(axis=1, keepdims=True, initial=0.0)
        rows = rows.copy()
        rows[extreme] /= np.where(peaks > 0, peaks, 1.0)
        norms = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    unit = rows * (SCALE / np.where(norms > 0, norms, 1.0))
    snapped: NDArray[np.int16] = np.rint(unit).astype(np.int16)
    return snapped


def zero_rows(vectors: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Which rows (n, d) are all zeros: they have no direction, and no cosine with them is defined."""
    zero: NDArray[np.bool_] = ~np.any(vectors, axis=1)
    return zero


def squared_norms(vectors: NDArray[np.int16]) -> NDArray[np.int64]:
    """|x|**2 of each row (n, d), exactly, in grid units (2**-28)."""
    wide = vectors.astype(np.int64)
    norms: NDArray[np.int64] = np.einsum("ij,ij->i", wide, wide)
    return norms


def check_grid(vectors: NDArray[np.int16]) -> None:
    """Raises ValueError for a component beyond ±SCALE."""
    if vectors.size and (vectors.min() < -SCALE or vectors.max() > SCALE):
        raise ValueError(f"a vector leaves the grid: components are from {-SCALE} to {SCALE}")
