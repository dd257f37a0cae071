"""How fresh the last texts were when they could be answered with, from the histograms of the workers' pages.

second   buckets: below 0.25 s, 0.5 s, all     of the last 10 s      99 % below
0        100  100  100
1        140  150  150                         40  50  50            0.49 s
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from hurnet_stream.overview.worker_pages import WorkerPage, histogram, quantile

METRIC: Final = "hurnet_freshness_seconds_bucket"
WINDOW_S: Final = 10.0
SHARE: Final = 0.99


class Freshness:
    """Remembers the histograms of the last looks."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, dict[float, float]]] = deque(maxlen=64)

    def p99_ms(self, pages: Iterable[WorkerPage], now_s: float) -> float | None:
        """Milliseconds that 99 % of the texts of the last seconds took at most. None if no text came in."""
        buckets = histogram(pages, METRIC)
        while self._looks and now_s - self._looks[0][0] > WINDOW_S:
            self._looks.popleft()
        before = self._looks[0][1] if self._looks else buckets
        self._looks.append((now_s, buckets))
        # A worker that began anew counts from 0 again.
        lately = {edge: max(0.0, count - before.get(edge, 0.0)) for edge, count in buckets.items()}
        seconds = quantile(lately, SHARE)
        return None if seconds is None else round(1000 * seconds, 1)
