"""Rows by their exact cosines with a query: dot products and squared norms are integers, and compared as
such."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CLOSE = 1e-12  # float64 cosines farther apart than this are in the right order: their error is below 1e-15

Integers = NDArray[np.int64]


def ranks(dots: Integers, norms: Integers) -> Integers:
    """Rank of each row by dot/sqrt(norm), the largest 0, equal values with equal ranks; compared in
    integers."""
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
    """The order by values in float64, and between which neighbours it can be trusted."""
    values = dots / np.sqrt(norms)
    order = np.argsort(-values)
    least = _CLOSE * np.abs(values).max()
    return order, -np.diff(values[order]) > least


def _exactly(pairs: Integers) -> Integers:
    """Ranks of distinct pairs (n, 2)."""
    order, apart = _roughly(*pairs.T)
    chain = np.concatenate([[0], np.cumsum(apart)])  # of values that float64 can't be trusted to order
    ranks = np.empty(len(pairs), dtype=np.int64)
    ranks[order] = chain * len(pairs)
    for c in np.flatnonzero(np.bincount(chain) > 1):
        last, step = None, 0
        for pair, i in sorted(((_pair(pairs[i]), int(i)) for i in order[chain == c]), key=_by_cosine):
            step += last is not None and _compare(last, pair) != 0
            ranks[i] += step
            last = pair
    return ranks


def _pair(row: NDArray[np.int64]) -> tuple[int, int]:
    return int(row[0]), int(row[1])


def _compare(a: tuple[int, int], b: tuple[int, int]) -> int:
    """Negative where a's dot/sqrt(norm) is the larger, 0 where they are equal; Python's integers don't
    overflow."""
    left, right = a[0] * abs(a[0]) * b[1], b[0] * abs(b[0]) * a[1]
    return (left < right) - (left > right)


_COSINE = cmp_to_key(_compare)


def _by_cosine(item: tuple[tuple[int, int], int]) -> Any:
    return _COSINE(item[0])
