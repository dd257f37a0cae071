"""Figures over time, from one look at the system to the next: rates, quantiles, small charts.

A counter that falls was begun anew (a worker was restarted, a store was emptied), so that step counts from 0.
Looks at 0 s, 2 s and 4 s that find 100, 110 and 5 give the rates 5 and 2.5 a second.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TypeVar

from hurnet_stream.overview.system_status import Status
from hurnet_stream.overview.worker_pages import histogram, quantile

KEPT = 240
"""How many looks are remembered."""
WINDOW_S = 15.0
"""What the rates and quantiles of now are taken over."""
BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
SHARES = (0.5, 0.99)

Rate = float | None
_T = TypeVar("_T")


class Trends:
    """What the last looks have found."""

    def __init__(self) -> None:
        self._counters: dict[str, deque[tuple[float, float]]] = {}
        self._buckets: dict[str, deque[tuple[float, dict[float, float]]]] = {}
        self._last = 0.0

    def add(self, status: Status, now: float | None = None) -> None:
        """Remember a look at `now` (monotonic seconds)."""
        at = self._last = time.monotonic() if now is None else now
        for name, value in counters(status).items():
            self._counters.setdefault(name, deque(maxlen=KEPT)).append((at, value))
        for name in ("hurnet_freshness_seconds", "hurnet_query_age_seconds"):
            if found := histogram(status.pages, f"{name}_bucket"):
                self._buckets.setdefault(name, deque(maxlen=KEPT)).append((at, found))

    def rate(self, name: str, window_s: float = WINDOW_S) -> Rate:
        """By how much it rose a second lately; None if the last look did not find it, or was the first."""
        looks = self._lately(self._counters.get(name, ()), window_s)
        if len(looks) < 2 or looks[-1][0] != self._last:
            return None
        return sum(_rises(looks)) / (looks[-1][0] - looks[0][0])

    def rates(self, name: str) -> list[float]:
        """The rate between each two looks, oldest first."""
        looks = list(self._counters.get(name, ()))
        steps = zip(_rises(looks), itertools.pairwise(looks), strict=True)
        return [rise / max(later[0] - earlier[0], 1e-9) for rise, (earlier, later) in steps]

    def values(self, name: str) -> list[float]:
        """What each look has found, oldest first."""
        return [value for _, value in self._counters.get(name, ())]

    def now(self, name: str) -> float | None:
        """What the last look has found."""
        looks = self._counters.get(name)
        return looks[-1][1] if looks and looks[-1][0] == self._last else None

    def doubled(self, name: str, window_s: float) -> bool:
        """Whether it was never 0 for so long, and is now more than twice what it was then."""
        looks = self._lately(self._counters.get(name, ()), window_s)
        long = len(looks) >= 5 and looks[-1][0] - looks[0][0] >= 0.8 * window_s
        return long and min(value for _, value in looks) > 0 and looks[-1][1] > 2 * looks[0][1]

    def still_s(self, name: str) -> float:
        """For how many seconds it has not changed, as far as it was watched."""
        looks = list(self._counters.get(name, ()))
        if not looks:
            return 0.0
        moved = next((i for i in range(len(looks) - 1, 0, -1) if looks[i][1] != looks[i - 1][1]), 0)
        return looks[-1][0] - looks[moved][0]

    def quantiles(self, name: str) -> tuple[float | None, ...]:
        """`SHARES` of what a histogram of the workers' pages took up lately, or else since they started."""
        looks = self._lately(self._buckets.get(name, ()), WINDOW_S)
        if not looks:
            return (None,) * len(SHARES)
        first, last = looks[0][1], looks[-1][1]
        lately = {edge: max(0.0, count - first.get(edge, 0.0)) for edge, count in last.items()}
        chosen = lately if max(lately.values(), default=0.0) > 0 else last
        return tuple(quantile(chosen, share) for share in SHARES)

    def _lately(self, looks: Iterable[tuple[float, _T]], window_s: float) -> list[tuple[float, _T]]:
        return [look for look in looks if self._last - look[0] <= window_s]


def counters(status: Status) -> dict[str, float]:
    """The figures of a look that are followed over time. What is not known is left out."""
    found: dict[str, float] = dict(status.ends)
    if status.store_read:
        found["entries"] = sum(shard.rows_ever or 0 for shard in status.shards)
        found |= {
            f"appended {s.partition}": s.next_offset for s in status.shards if s.next_offset is not None
        }
    found |= {f"readable {s.partition}": s.end_offset for s in status.shards if s.end_offset is not None}
    for role, workers in (status.workers or {}).items():
        if workers.committed:
            found[f"committed {role}"] = sum(workers.committed.values())
        if workers.lag_records is not None:
            found[f"behind {role}"] = workers.lag_records
    lags = [shard.lag_records for shard in status.shards]
    if lags and None not in lags:
        found["behind texts"] = sum(lag for lag in lags if lag is not None)
    for page in status.pages:
        if (errors := page.total("hurnet_transient_errors_total")) is not None:
            found[f"errors {page.address}"] = errors
    return found


def sparkline(values: Sequence[float], width: int, blocks: str = BLOCKS) -> str:
    """The last `width` values as a line of small columns, the highest one full. 0 is the lowest column."""
    shown = [max(0.0, value) for value in values[-width:]] if width > 0 else []
    highest = max(shown, default=0.0)
    if not highest:
        return blocks[0] * len(shown)
    return "".join(blocks[math.ceil(value / highest * (len(blocks) - 1))] for value in shown)


def _rises(looks: Sequence[tuple[float, float]]) -> list[float]:
    return [
        later - earlier if later >= earlier else later
        for (_, earlier), (_, later) in itertools.pairwise(looks)
    ]
