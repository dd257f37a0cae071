"""No loss, watched: every hour some offsets of texts are compared with the store, by the code of `hurnet
verify`.

    every `verify_interval`    the newest offsets of each partition, and as many at a place drawn at random
    each offset counts as      ok           topic and store have the same there, or neither has anything
                               different    a text is lost, altered or invented
                               unproved     the topic no longer holds it, or the comparison could not be made

It is made in a process of its own that ends within `verify_timeout`, because it loads the embedder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from hurnet_stream.canary.aside import Aside, Run, in_thread
from hurnet_stream.metrics.canary import CanaryMetrics
from hurnet_stream.settings.settings import CanarySettings

log = structlog.get_logger()

Verify = Callable[[], Mapping[str, int]]
"""How many offsets were ok, different and unproved. Raises if the comparison can't be made."""
FIRST_AFTER_S: Final = 30.0
"""The first comparison waits so long, or for the interval if that is less: a start has other things to do."""


class NoLoss:
    """Starts comparisons, and counts what they say."""

    def __init__(
        self, verify: Verify | None, settings: CanarySettings, metrics: CanaryMetrics, run: Run = in_thread
    ) -> None:
        self._verify = verify
        self._interval_s = settings.verify_interval
        self._offsets = settings.verify_offsets
        self._metrics = metrics
        self._aside: Aside[Mapping[str, int]] = Aside(run)
        self._due: float | None = None

    def step(self, now: float) -> None:
        """Take a comparison that is over, and start one that is due."""
        result = self._aside.result()
        if result is not None:
            self._count(result)
        if self._verify is None or not self._interval_s:
            return
        if self._due is None:
            self._due = now + min(FIRST_AFTER_S, self._interval_s)
        if now >= self._due and not self._aside.busy:
            self._due = now + self._interval_s
            self._aside.start(self._verify)

    def _count(self, result: Mapping[str, int] | Exception) -> None:
        if isinstance(result, Exception):
            log.warning("topic and store could not be compared", why=str(result))
            result = {"unproved": self._offsets}
        for outcome, offsets in result.items():
            self._metrics.verified_offsets.labels(outcome).inc(offsets)
        if result.get("different"):
            log.error("topic and store differ: `hurnet verify` says where", **result)
