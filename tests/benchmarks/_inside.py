"""What the kernels' search reads, how many rows survive its passes, and what a second thread gains."""

from __future__ import annotations

import time
from statistics import mean, median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.stored.batch import Vectors
from tests.benchmarks._exact import Tally

THREADED: Final = {1: 21, 64: 11}
"""How often a search is asked in one thread and in two, by batch size."""
LISTS: Final = {1: 256, 256: 32}
"""How many queries are asked for the best k, by k."""


def bandwidth() -> float:
    """Bytes a second that one thread reads, at best: the sum of an array beyond all caches. (Of numpy's and
    torch's reductions none reads faster.)"""
    array = np.ones(1 << 25)
    seconds = []
    for _ in range(7):
        before = time.thread_time()
        array.sum()
        seconds.append(time.thread_time() - before)
    return array.nbytes / min(seconds)


def scanned(rows: int, dimension: int) -> float:
    """Bytes that a single query must read: the upper four bits, a scale and a slack of each row."""
    return rows * (dimension / 2 + 4)


def survivors(index: ContextIndex, queries: Vectors, name: str) -> dict[str, float]:
    """Rows that the upper four bits leave of a single query, and rows compared in the end, for the best k."""
    table, figures = index._blocks.table(), dict[str, float]()
    for k, asked in LISTS.items():
        found = [kernels.search(table, query[None], k) for query in queries[:asked]]
        figures[f"valued_k{k}_{name}"] = mean(f.valued for f in found)
        figures[f"looked_k{k}_{name}"] = mean(f.looked for f in found)
    return figures


def two_threads(
    index: ContextIndex, queries: Vectors, truth: NDArray[np.int64], tally: Tally
) -> dict[int, float]:
    """Wall time of a search in one thread over that in two, by batch size."""
    table, gains = index._blocks.table(), {}
    for batch, times in THREADED.items():
        wall: dict[int, list[float]] = {1: [], 2: []}
        for i in range(times):
            at = i * batch % len(queries)
            for threads, seconds in wall.items():
                began = time.perf_counter()
                found = kernels.search(table, queries[at : at + batch], 1, threads=threads)
                seconds.append(time.perf_counter() - began)
                best = np.array([rows[0] for rows, _ in found.nearest])
                tally.add(best, truth[at : at + batch])
        gains[batch] = median(wall[1]) / median(wall[2])
    return gains
