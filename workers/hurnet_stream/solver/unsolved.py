"""The contexts that have changed since they were solved, in the order in which they are solved.

A solve takes up to seconds and contexts are many, so they queue:

    note a, note b, note a, note c      queue  a (2 pairs)  b (1)  c (1)
    due                                 a, once it has waited for the interval or enough pairs are new in all
    solved a; note a                    queue  b (1)  c (1)  a (1)

A context that is solved leaves the queue, and comes back at its end with its next pair. So no context waits
for another one twice, however many pairs that one gets.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class _Waiting:
    since: float  # monotonic seconds
    pairs: int


class Unsolved:
    """The queue. A context is due after `interval_s` seconds, or if `pairs_enough` pairs are new in all."""

    def __init__(self, interval_s: float, pairs_enough: int) -> None:
        self._interval_s = interval_s
        self._pairs_enough = pairs_enough
        self._waiting: dict[str, _Waiting] = {}  # in the order of the queue
        self._pairs = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, contexts: Iterable[str], published_ms: Mapping[str, int]) -> None:
        """Queue all of them and nothing else: first those whose weights are oldest.

        So even solvers that don't live long get through all contexts in the end.
        """
        now = time.monotonic()
        oldest_first = sorted(contexts, key=lambda context: (published_ms.get(context, 0), context))
        self._waiting = {context: _Waiting(now, 1) for context in oldest_first}
        self._pairs = len(self._waiting)

    def note(self, context: str, pairs: int) -> None:
        """This many pairs of the context are new or were taken out."""
        self._waiting.setdefault(context, _Waiting(time.monotonic(), 0)).pairs += pairs
        self._pairs += pairs

    def due(self) -> str | None:
        """The context that has waited longest, if it is due."""
        context = next(iter(self._waiting), None)
        if context is None:
            return None
        waited_s = time.monotonic() - self._waiting[context].since
        return context if self._pairs >= self._pairs_enough or waited_s >= self._interval_s else None

    def solved(self, context: str) -> None:
        """The context waits no longer."""
        self._pairs -= self._waiting.pop(context).pairs
