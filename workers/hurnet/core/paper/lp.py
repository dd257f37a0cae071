"""Similarity in ℓp by the duality map (eq. 12): the same matrix product, with a mapped query.

    J(x)ᵢ = ‖x‖ₚ^(2-p) |xᵢ|^(p-1) sign xᵢ,  J(0) = 0,      so that ⟨J(x), x⟩ = ‖x‖ₚ² and ‖J(x)‖ₚ* = ‖x‖ₚ,

1/p + 1/p* = 1, single-valued for 1 < p < ∞; J is the identity for p = 2. Below 2 the small coordinates of a
query count for more than in the cosine, above 2 for less. What is asked of the index is the cosine of J(q),
on the grid, with each row. Its argmax is exact, as any query's is; rounding J(q) to the grid is part of the
definition. Rows keep their Euclidean length: dividing by ‖y‖ₚ instead, under which every text is its own best
match, measured worse below 2 (docs/decisions, 0058).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hurnet.core.grid import SCALE, snap
from hurnet.core.stored.batch import Vectors

Floats = NDArray[np.float64]

EUCLIDEAN = 2.0


def duality_map(rows: Floats, p: float) -> Floats:
    """J of each row (n, d). Raises ValueError unless 1 < p < ∞."""
    if not 1 < p < np.inf:
        raise ValueError(f"the duality map is single-valued for 1 < p < ∞, not at {p}")
    sizes = np.abs(rows)
    peaks = sizes.max(axis=1, keepdims=True, initial=0.0)
    shares = sizes / np.where(
        peaks > 0, peaks, 1.0
    )  # J is homogeneous: no power of these over- or underflows
    norms = np.power(shares, p).sum(axis=1, keepdims=True) ** (1 / p)
    scales = np.power(np.where(norms > 0, norms, 1.0), 2 - p) * peaks
    mapped: Floats = np.copysign(np.power(shares, p - 1) * scales, rows)
    return mapped


def mapped_queries(queries: Vectors, p: float) -> Vectors:
    """Grid rows (n, d) whose cosines with the context are the similarities in ℓp; the queries for p = 2."""
    return queries if p == EUCLIDEAN else snap(duality_map(queries.astype(np.float64) / SCALE, p))
