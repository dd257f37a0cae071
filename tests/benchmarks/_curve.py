"""How accuracy grows with the time and the operations that were spent on learning.

    seconds       0.4    0.5    0.6    0.7
    accuracy     0.81   0.92   0.94   0.93        first(0.94) is the point at 0.6 s; best is 0.94

Only learning is timed: the watch stands still while accuracy is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

FIRST_LOOK: Final = 16
GROWTH: Final = 1.1

Clock = Callable[[], float]
"""Seconds since some moment."""


@dataclass(frozen=True, slots=True)
class Point:
    """What was spent on learning so far, and the held-out accuracy (0 to 1) that it brought."""

    seconds: float
    operations: float
    accuracy: float


@dataclass(slots=True)
class Curve:
    """The points of one run, in the order of time; at least one."""

    points: list[Point] = field(default_factory=list)

    def first(self, level: float) -> Point | None:
        """Where the accuracy was at least `level` for the first time; None if it never was."""
        return next((point for point in self.points if point.accuracy >= level), None)

    @property
    def best(self) -> float:
        return max((point.accuracy for point in self.points), default=0.0)

    @property
    def last(self) -> Point:
        return self.points[-1]


class Stopwatch:
    """Adds up the seconds of `with` blocks."""

    def __init__(self, clock: Clock) -> None:
        self.seconds = 0.0
        self._clock = clock
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = self._clock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds += self._clock() - self._started


def clock_of(device: str) -> Clock:
    """The processor's time, which other programs disturb little; for a GPU the clock, read when all that it
    was given is done."""
    if device == "cpu":
        return time.process_time
    import torch

    def now() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return now


def looks() -> Iterator[int]:
    """After which steps accuracy is looked at: so often that a time is found at most a tenth too long."""
    step = FIRST_LOOK
    while True:
        yield step
        step = max(step + 1, int(step * GROWTH))
