"""Where the time of a turn goes: a role marks its phases once, and that serves metrics and traces.

    with stage("embed"):
        vectors = embed(...)            hurnet_turn_seconds{phase="embed"}, and if it is traced, an interval

The phases of a role do not overlap, so their rates add up: `sum by (phase)
(rate(hurnet_turn_seconds_sum[1m]))` is how much of each second a phase takes. What is missing to 1 is spent
between them.

While nobody keeps intervals, a phase costs two looks at the clock and one observation, about 2 microseconds,
and makes no object.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from prometheus_client import Histogram

from hurnet_stream.ports import Interval

Phases = Callable[[str], AbstractContextManager[None]]
"""Gives, by the name of a phase, a block that is measured."""

KEPT_MOST = 256
"""Intervals of one turn that are kept. Later ones are measured only."""


_NOTHING = nullcontext()


def unmeasured(_phase: str) -> AbstractContextManager[None]:
    """For work outside a worker, which nobody measures."""
    return _NOTHING


class Stage:
    """One phase, to be used in `with`, time and again. It is never within itself."""

    __slots__ = ("_began", "_phase", "_seconds", "_stages")

    def __init__(self, stages: Stages, phase: str, seconds: Histogram) -> None:
        self._stages = stages
        self._phase = phase
        self._seconds = seconds
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        ended = time.monotonic()
        self._seconds.observe(ended - self._began)
        if self._stages.keeps:
            self._stages.keep(Interval(self._phase, self._began, ended))


class Stages:
    """The phases of a role. The thread that turns the role's loop is the only one that uses them."""

    def __init__(self, seconds: Histogram, phases: Sequence[str]) -> None:
        self._stages = {phase: Stage(self, phase, seconds.labels(phase)) for phase in phases}
        self.keeps = False
        """Whether the intervals of each turn are kept, for its traces."""
        self.kept: list[Interval] = []
        """Those of the turn in hand, in the order in which they ended."""

    def __call__(self, phase: str) -> Stage:
        return self._stages[phase]

    def begin_turn(self) -> None:
        self.kept.clear()

    def keep(self, interval: Interval) -> None:
        if len(self.kept) < KEPT_MOST:
            self.kept.append(interval)
