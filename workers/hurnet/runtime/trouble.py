"""Steps that fail for a while: what fails, since when, and a line in the log when that begins and ends."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from hurnet.errors import TransientError
from hurnet.metrics import Metrics

log = structlog.get_logger()

REMIND_S = 60.0
"""As long as it goes on, a line so often."""


@dataclass(slots=True)
class _Failing:
    since: float
    error: TransientError
    failures: int = 0
    said_at: float = float("-inf")


class Trouble:
    """Told by the loop of each step that fails, and when one succeeds."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._now: _Failing | None = None

    @property
    def failures(self) -> int:
        """In a row."""
        return self._now.failures if self._now else 0

    def told(self) -> str | None:
        """For /readyz: what fails, for how long, and how."""
        if (now := self._now) is None:
            return None
        what = f"{now.error.dependency} failing" if now.error.dependency else "failing"
        return f"{what} for {time.monotonic() - now.since:.0f} s: {now.error}"

    def goes_on(self, error: TransientError) -> float:
        """A step failed by `error`; returns for how many seconds none has succeeded."""
        kind = type(error.__cause__ or error).__name__
        self._metrics.transient_errors.labels(error.dependency.lower() or "none", kind).inc()
        at = time.monotonic()
        now = self._now = self._now or _Failing(at, error)
        if error.dependency != now.error.dependency:
            now.said_at = float("-inf")
        now.error = error
        now.failures += 1
        self._say(now, at)
        return at - now.since

    def over(self) -> None:
        """A step succeeded."""
        if self._now is not None:
            seconds = round(time.monotonic() - self._now.since, 1)
            what = self._now.error.dependency
            log.info(f"{what} is back" if what else "recovered", seconds=seconds, failures=self.failures)
        self._now = None

    def _say(self, now: _Failing, at: float) -> None:
        if at - now.said_at < REMIND_S:
            return
        now.said_at = at
        what = now.error.dependency
        log.warning(
            f"{what} is failing; trying again until it is back" if what else "will try again",
            error=str(now.error),
            seconds=round(at - now.since, 1),
            failures=now.failures,
        )
