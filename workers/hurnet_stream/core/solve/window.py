"""Exponential forgetting, exactly: a pair counts half as much with every half-life that it gets older.

These are equations 14 and 15 with μ as the weights of entries, by age. As in stream processing, time is cut
into panes, here of one half-life each, and a pair belongs to the pane of its own timestamp. Statistics are
kept by pane, and in them nothing has aged. A pair of pane p has the share 2^(p - now) while the clock is in
pane `now`, and 1 if its pane is still to come. With a half-life of one day and PANES = 4:

    pane                      ...   Mon    Tue    Wed    Thu    Fri = now    Sat
    share                     0     0      1/8    1/4    1/2    1            1
    in units of the least     0     0      1      2      4      8            8

Pairs of panes up to now - PANES are left out and their statistics dropped. In units of the least share in the
window all shares are whole numbers of copies, so whatever holds for statistics with copies holds here: the
same bytes in any order, batches or partitions, and after any deletion. When the clock enters the next pane,
all shares halve, and nothing that is kept has to be touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.arrays import Floats
from hurnet_stream.core.solve.weights import Weights
from hurnet_stream.core.statistics.statistics import Statistics

PANES: Final = 8
"""Half-lives after which a pair has expired: it counts no more."""

_MARK: Final = "@"
"""Stands between a context's name, which can't hold it, and a pane."""

LAST_MS: Final = 32_503_680_000_000
"""The year 3000. A timestamp beyond it, or as far before 1970, is taken as this. So all that a producer sends
who counts in microseconds is in one pane, and no difference of timestamps overflows."""

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Window:
    """What counts while the clock is in pane `now`. With a half-life of 0 nothing ages: all is one pane."""

    half_life_ms: int = 0
    now: int = 0

    @property
    def unit(self) -> int:
        """The share 1 in units of the least share in the window."""
        return 1 << (PANES - 1) if self.half_life_ms else 1

    def pane(self, clock_s: float) -> int:
        """The pane of a time in seconds since the epoch."""
        return int(clock_s * 1000) // self.half_life_ms if self.half_life_ms else 0

    def panes(self, timestamps_ms: Integers) -> Integers:
        """The pane of each timestamp, (n,)."""
        if not self.half_life_ms:
            return np.zeros_like(timestamps_ms)
        panes: Integers = np.clip(timestamps_ms, -LAST_MS, LAST_MS) // self.half_life_ms
        return panes

    def share(self, pane: int) -> float:
        """What a pair of this pane counts: 1 now and in the future, then a power of two, in the end 0."""
        age = max(0, self.now - pane)
        return 0.0 if self.has_expired(pane) else 2.0**-age

    def has_expired(self, pane: int) -> bool:
        """Whether the pane is older than the window."""
        return bool(self.half_life_ms) and pane <= self.now - PANES

    def shares(self, timestamps_ms: Integers) -> Floats:
        """What a pair of each timestamp counts, (n,)."""
        if not self.half_life_ms:
            return np.ones(len(timestamps_ms))
        ages = np.clip(self.now - self.panes(timestamps_ms), 0, PANES)
        return np.where(ages < PANES, np.ldexp(1.0, -ages), 0.0)

    def recency(self, timestamps_ms: Integers) -> Floats:
        """2^-(half-lives by which each timestamp (n,) is older than the newest), at least 2^-PANES."""
        if not self.half_life_ms or not len(timestamps_ms):
            return np.ones(len(timestamps_ms))
        times = np.clip(timestamps_ms, -LAST_MS, LAST_MS)
        # A timestamp that is nonsense, far in the future, must not age all the others.
        newest = times.max(where=times < LAST_MS, initial=-LAST_MS)
        recency: Floats = np.exp2(-np.clip((newest - times) / self.half_life_ms, 0, PANES))
        return recency

    def key(self, context: str, timestamp_ms: int) -> str | None:
        """The name of the statistics that a pair belongs to; None if it is older than the window."""
        if not self.half_life_ms:
            return context
        pane = min(max(timestamp_ms, -LAST_MS), LAST_MS) // self.half_life_ms
        return None if self.has_expired(pane) else f"{context}{_MARK}{pane}"

    def expired(self, keys: Mapping[str, Statistics]) -> list[str]:
        """Those of `keys` whose pane is older than the window."""
        return [key for key in keys if self.half_life_ms and self.has_expired(_pane_of(key))]

    def combined(self, statistics: Mapping[str, Statistics], context: str) -> Statistics | None:
        """The statistics of a context with every pair at its share, times `unit`; None without any pairs.

        Raises OverflowError if that is more than statistics can hold: 2²⁸ pairs of the newest pane.
        """
        if not self.half_life_ms:
            return statistics.get(context)
        total: Statistics | None = None
        for key, part in statistics.items():
            share = self.share(_pane_of(key)) if context_of(key) == context else 0.0
            if share:
                total = total or Statistics(part.dimension, part.device)
                total.merge(part, int(share * self.unit))
        return total

    def in_force(self, weights: Weights) -> Weights:
        """The weights of pairs that count their `share`, and of λ.

        `weights` were solved of `combined` and of λ·`unit`. All factors are powers of two, so nothing is
        rounded. The score of cross-validation goes: it rests on the number of independent rows, and a pair of
        the newest pane is not `unit` of them.
        """
        if not self.half_life_ms:
            return weights
        aged = replace(
            weights.certificate,
            count=weights.certificate.count / self.unit,
            ridge=weights.certificate.ridge / self.unit,
            gcv=None,
            half_life=self.half_life_ms / 1000,
            pane=self.now,
        )
        return Weights(weights.projection * self.unit, aged)


NOTHING_AGES: Final = Window()


def context_of(key: str) -> str:
    """The context whose statistics a key names."""
    return key.partition(_MARK)[0]


def identity(features: str, half_life_ms: int) -> str:
    """Says what statistics are of: the identity of their features, and their half-life if pairs age."""
    return f"{features}, half-life {half_life_ms} ms" if half_life_ms else features


def _pane_of(key: str) -> int:
    return int(key.partition(_MARK)[2])
