"""A question's near entries as they are compared: with the question, and with each other.

All that grows with the dimension is here. Products are exact, of integers; cosines are rounded to float64.

    entries                        a     b     c
    with the question, meaning     0.9   0.6   0.5        (halves, m)
    with the question, spelling    0.8   0.7   0.4

With kernels (native/local_solve.c) the entries are read where the index holds them, and the local solves are
done there too. Without, numpy does the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.readable import Index
from hurnet_stream.core.native import local_solve as kernels
from hurnet_stream.core.rule.local_solve import local_coefficients
from hurnet_stream.core.stored.batch import Vectors

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def with_question(index: Index, rows: Integers, vector: Vectors, halves: Sequence[slice]) -> Floats:
    """The cosine of each entry (m,) with a question (d,) over each half: (halves, m). 0 if either knows
    nothing there."""
    addresses = index.addresses(rows)
    if addresses is not None and vector.astype(np.int64) @ vector < kernels.MOST_SQUARED:
        return kernels.cosines(addresses, halves, vector)
    vectors = index.vectors(rows)
    return np.array([_cosines(vectors[:, half], vector[half]) for half in halves])


def _cosines(rows: Vectors, question: Vectors) -> Floats:
    wide, asked = rows.astype(np.float64), question.astype(np.float64)
    squares = np.vecdot(wide, wide) * (asked @ asked)
    cosines: Floats = wide @ asked / np.sqrt(np.maximum(squares, 1.0))
    return cosines


def solve_over(
    index: Index,
    rows: Integers,
    halves: Sequence[slice],
    shares: Floats,
    cosines: Floats,
    ridge: Floats,
) -> Floats:
    """α (systems, m) of the local solves over entries (m,): in each, the cosines of the halves count by its
    `shares` (systems, halves). `cosines` (halves, m) are those with the question, `ridge` (m,) is λ of each
    entry."""
    right = shares @ cosines  # (systems, m)
    addresses = index.addresses(rows)
    if addresses is not None:
        alpha = kernels.solve(addresses, halves, shares, ridge, np.square(np.maximum(right, 0.0)))
        if alpha is not None:
            return alpha
    vectors = index.vectors(rows)
    alike = np.array([_with_each_other(vectors[:, half]) for half in halves])  # (halves, m, m)
    mixed = np.tensordot(shares, alike, 1)  # (systems, m, m)
    return np.array([local_coefficients(*system, ridge) for system in zip(mixed, right, strict=True)])


def _with_each_other(rows: Vectors) -> Floats:
    """The cosine of each two entries (m, m) of which these are the rows (m, d)."""
    wide = rows.astype(np.float64)
    products = wide @ wide.T
    inverse = 1.0 / np.sqrt(np.maximum(np.diagonal(products), 1.0))
    cosines: Floats = products * inverse * inverse[:, None]
    return cosines
