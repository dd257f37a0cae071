"""What fails at the moment, and since when: in the log, a metric and readiness.

    step fails    "Kafka is failing; trying again until it is back"     one line
    fails again   nothing, or the same line once a minute
    step passes   "Kafka is back", after how many seconds and failures

Readiness says so for as long as it lasts, and a metric counts every step that fails.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from hurnet_stream.errors import TransientError
from hurnet_stream.metrics.process import ProcessMetrics

log = structlog.get_logger()

REMIND_S = 60.0
"""How often a failure that goes on is said again."""


@dataclass(slots=True)
class _Failing:
    since: float  # monotonic seconds
    error: TransientError  # the last one
    failures: int = 0  # in a row
    said_at: float = float("-inf")


class Trouble:
    """The loop tells it of each step that fails, and of one that succeeds after that."""

    def __init__(self, metrics: ProcessMetrics) -> None:
        self._metrics = metrics
        self._failing: _Failing | None = None

    @property
    def failures(self) -> int:
        """How many steps in a row have failed."""
        return self._failing.failures if self._failing else 0

    def reason(self) -> str | None:
        """For /readyz: what fails, for how long, and how. None if nothing does."""
        if (failing := self._failing) is None:
            return None
        what = f"{failing.error.dependency} failing" if failing.error.dependency else "failing"
        return f"{what} for {time.monotonic() - failing.since:.0f} s: {failing.error}"

    def goes_on(self, error: TransientError) -> float:
        """A step failed with `error`. Returns for how many seconds no step has succeeded."""
        kind = type(error.__cause__ or error).__name__
        self._metrics.transient_errors.labels(error.dependency.lower() or "none", kind).inc()
        now = time.monotonic()
        failing = self._failing = self._failing or _Failing(now, error)
        if error.dependency != failing.error.dependency:
            failing.said_at = float("-inf")  # another server fails now: that is worth a line at once
        failing.error = error
        failing.failures += 1
        self._say(failing, now)
        return now - failing.since

    def over(self) -> None:
        """A step succeeded."""
        if self._failing is not None:
            seconds = round(time.monotonic() - self._failing.since, 1)
            what = self._failing.error.dependency
            log.info(f"{what} is back" if what else "recovered", seconds=seconds, failures=self.failures)
        self._failing = None

    def _say(self, failing: _Failing, now: float) -> None:
        if now - failing.said_at < REMIND_S:
            return
        failing.said_at = now
        what = failing.error.dependency
        log.warning(
            f"{what} is failing; trying again until it is back" if what else "will try again",
            error=str(failing.error),
            seconds=round(now - failing.since, 1),
            failures=failing.failures,
        )
