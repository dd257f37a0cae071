"""The order of rows by their exact cosines with a query.

A row's cosine is dot / (|q| sqrt(norm)), and both dot and norm are integers. Sorting by float64 is right
except for neighbours that come closer than its error, and these are compared as integers: a before b if

    a.dot |a.dot| b.norm  >  b.dot |b.dot| a.norm          (the squares of both sides, with their signs)

    dot      norm     float64 value     rank
    7        49       1.0               0
    14       196      1.0               0       equal, and found to be
    -3       9        -1.0              2
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CLOSE = 1e-12
"""Float64 cosines that are farther apart than this are in the right order: their error is below 1e-15."""

Integers = NDArray[np.int64]


def ranks(dots: Integers, norms: Integers) -> Integers:
    """The rank of each row (n,) by dot / sqrt(norm), exactly: 0 for the largest, equal ranks for equal
    values. Ranks ascend, but may leave numbers out."""
    if len(dots) < 2:
        return np.zeros(len(dots), dtype=np.int64)
    order, apart = _roughly(dots, norms)
    if not apart.all():
        pairs, back = np.unique(np.stack([dots, norms], axis=1), axis=0, return_inverse=True)
        distinct: Integers = _exactly(pairs)[back.reshape(-1)]
        return distinct
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return ranks


def _roughly(dots: Integers, norms: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """The order (n,) by values in float64, and between which neighbours (n - 1,) it can be trusted."""
    values = dots / np.sqrt(norms)
    order = np.argsort(-values)
    least = _CLOSE * np.abs(values).max()
    return order, -np.diff(values[order]) > least


def _exactly(pairs: Integers) -> Integers:
    """The ranks of distinct pairs (n, 2) of dot and norm."""
    order, apart = _roughly(*pairs.T)
    # Runs of neighbours that float64 can't be trusted to order; each is sorted again in integers.
    run = np.concatenate([[0], np.cumsum(apart)])
    ranks = np.empty(len(pairs), dtype=np.int64)
    ranks[order] = run * len(pairs)
    for close in np.flatnonzero(np.bincount(run) > 1):
        last, step = None, 0
        for pair, i in sorted(((_pair(pairs[i]), int(i)) for i in order[run == close]), key=_by_cosine):
            step += last is not None and _compare(last, pair) != 0
            ranks[i] += step
            last = pair
    return ranks


def _pair(row: NDArray[np.int64]) -> tuple[int, int]:
    return int(row[0]), int(row[1])


def _compare(a: tuple[int, int], b: tuple[int, int]) -> int:
    """Negative if a's dot / sqrt(norm) is the larger, 0 if they are equal."""
    left, right = a[0] * abs(a[0]) * b[1], b[0] * abs(b[0]) * a[1]  # Python's integers don't overflow
    return (left < right) - (left > right)


_COSINE = cmp_to_key(_compare)


def _by_cosine(item: tuple[tuple[int, int], int]) -> Any:
    return _COSINE(item[0])
