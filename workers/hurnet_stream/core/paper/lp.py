"""Similarity in ℓp by the duality map (equation 12): the same search, with a mapped query.

    J(x)ᵢ = ‖x‖ₚ^(2-p) |xᵢ|^(p-1) sign xᵢ,  J(0) = 0,      so that ⟨J(x), x⟩ = ‖x‖ₚ² and ‖J(x)‖ₚ* = ‖x‖ₚ,

where 1/p + 1/p* = 1. J has one value for 1 < p < ∞, and is the identity for p = 2. Directions for three
orders:

    x = (0.8, 0.6, 0)      p = 1.5  (0.76, 0.65, 0)      p = 2  (0.80, 0.60, 0)      p = 3  (0.87, 0.49, 0)

So below 2 the small coordinates of a query count for more than in the cosine, and above 2 for less. The index
is asked for the cosine of J(q), rounded to the grid, with each row. Its argmax is exact, as that of any query
is; the rounding is part of the definition. Rows keep their Euclidean length. To divide by ‖y‖ₚ instead, so
that every text would be its own best match, measured worse below 2 (docs/decisions, 0058)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE, snap
from hurnet_stream.core.stored.batch import Vectors

Floats = NDArray[np.float64]

EUCLIDEAN = 2.0


def duality_map(rows: Floats, p: float) -> Floats:
    """J of each row (n, d). Raises ValueError unless 1 < p < ∞."""
    if not 1 < p < np.inf:
        raise ValueError(f"the duality map is single-valued for 1 < p < ∞, not at {p}")
    sizes = np.abs(rows)
    peaks = sizes.max(axis=1, keepdims=True, initial=0.0)  # (n, 1)
    # J is homogeneous: of coordinates divided by the largest, no power over- or underflows.
    shares = sizes / np.where(peaks > 0, peaks, 1.0)
    norms = np.power(shares, p).sum(axis=1, keepdims=True) ** (1 / p)
    scales = np.power(np.where(norms > 0, norms, 1.0), 2 - p) * peaks
    mapped: Floats = np.copysign(np.power(shares, p - 1) * scales, rows)
    return mapped


def mapped_queries(queries: Vectors, p: float) -> Vectors:
    """Grid rows (n, d) whose cosines with the entries are the similarities in ℓp; the queries if p is 2."""
    return queries if p == EUCLIDEAN else snap(duality_map(queries.astype(np.float64) / SCALE, p))
