"""The nearest row by exact fractions: what every search is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import squared_norms
from hurnet_stream.core.stored.batch import Vectors

CHUNK: Final = 8192


@dataclass(slots=True)
class Tally:
    """Queries asked, and how many were answered with another row than the exact one."""

    asked: int = 0
    wrong: int = 0

    def add(self, rows: NDArray[np.int64], truth: NDArray[np.int64]) -> None:
        self.asked += len(truth)
        self.wrong += int((rows != truth).sum())

    def include(self, other: Tally) -> None:
        self.asked += other.asked
        self.wrong += other.wrong


def nearest(vectors: Vectors, queries: Vectors) -> NDArray[np.int64]:
    """The nearest row of each query, ties to the first; float64 picks what is close, integers decide."""
    close: list[list[int]] = [[] for _ in queries]
    best = np.full(len(queries), -np.inf)
    for first in range(0, len(vectors), CHUNK):
        part = vectors[first : first + CHUNK]
        cosines = part.astype(np.float64) @ queries.T.astype(np.float64)
        cosines /= np.sqrt(squared_norms(part))[:, None]
        best = np.maximum(best, cosines.max(axis=0))
        for row, q in np.argwhere(cosines >= best - np.abs(best) * 1e-9).tolist():
            close[q].append(first + row)
    return np.array([_first_best(vectors, q, rows) for q, rows in zip(queries, close, strict=True)])


def _first_best(vectors: Vectors, query: Vectors, rows: Sequence[int]) -> int:
    dots = vectors[rows].astype(np.int64) @ query.astype(np.int64)
    norms = squared_norms(vectors[rows])
    exact = {
        row: Fraction(dot * abs(dot), norm)
        for row, dot, norm in zip(rows, dots.tolist(), norms.tolist(), strict=True)
    }
    return max(rows, key=lambda row: (exact[row], -row))
