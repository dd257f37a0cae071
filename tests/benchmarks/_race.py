"""Searches asked the same queries in turn: CPU and wall seconds of each call, and every answer checked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.stored.batch import Vectors
from tests.benchmarks._exact import Tally
from tests.benchmarks._report import say
from tests.benchmarks._searches import Search

BATCHES: Final = (1, 16, 64, 256)
CALL_SECONDS: Final = 40.0
"""Of CPU; what would probably take longer with the next batch size is not asked any more."""
ROUNDS_SECONDS: Final = 20.0
"""After so many with one batch size there are no further rounds; two there are always."""


@dataclass(slots=True)
class Calls:
    """Seconds of each call of one search with one batch size, and what it answered."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def add(self, search: Search, queries: Vectors, truth: NDArray[np.int64]) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        rows = search(queries)
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)
        self.tally.add(rows, truth)

    def seconds(self) -> tuple[float, float]:
        """Median CPU and wall seconds of a call."""
        return median(_warm(self.cpu)), median(_warm(self.wall))

    def over(self, other: Calls) -> float:
        """The median over the rounds of this one's CPU time over the other's."""
        return median(a / b for a, b in zip(_warm(self.cpu), _warm(other.cpu), strict=True))


def _warm(seconds: Sequence[float]) -> Sequence[float]:
    """The first call does not count where there are more than two."""
    return seconds[1:] if len(seconds) > 2 else seconds


Raced = dict[int, dict[str, Calls]]
"""By batch size and search."""


def race(searches: Mapping[str, Search], queries: Vectors, truth: NDArray[np.int64], rounds: int) -> Raced:
    """Every search with every batch size, but for what takes too long."""
    raced: Raced = {}
    left = dict(searches)
    for batch, following in pairwise((*BATCHES, BATCHES[-1])):
        say(f"  B = {batch}: {', '.join(left)}")
        calls = raced[batch] = {name: Calls() for name in left}
        began = time.process_time()
        for i in range(rounds + 1):
            if i > 1 and time.process_time() - began > ROUNDS_SECONDS:
                break
            of = slice(i * batch % len(queries), i * batch % len(queries) + batch)
            for name, search in left.items():
                calls[name].add(search, queries[of], truth[of])
        growth = following / batch
        left = {name: s for name, s in left.items() if calls[name].seconds()[0] * growth <= CALL_SECONDS}
    return raced


def check(search: Search, queries: Vectors, truth: NDArray[np.int64], batches: Sequence[int]) -> Tally:
    """All queries once with each batch size."""
    tally = Tally()
    for batch in batches:
        for first in range(0, len(queries), batch):
            tally.add(search(queries[first : first + batch]), truth[first : first + batch])
    return tally
