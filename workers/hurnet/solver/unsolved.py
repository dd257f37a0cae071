"""The contexts that wait to be solved, the longest first."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class _Waiting:
    since: float
    pairs: int


class Unsolved:
    """A queue: a context that is solved leaves it, and comes back at its end with its next pair. So none
    waits for another twice, however many pairs that gets."""

    def __init__(self, interval: float, rows: int) -> None:
        self._interval = interval
        self._rows = rows
        self._waiting: dict[str, _Waiting] = {}
        self._pairs = 0

    def begin(self, contexts: Iterable[str], published_ms: Mapping[str, int]) -> None:
        """All of them wait, and nothing else: first those whose weights are oldest, so that solvers that
        don't live long get through all, too."""
        now = time.monotonic()
        oldest_first = sorted(contexts, key=lambda context: (published_ms.get(context, 0), context))
        self._waiting = {context: _Waiting(now, 1) for context in oldest_first}
        self._pairs = len(self._waiting)

    def note(self, context: str, pairs: int) -> None:
        """So many pairs of it are new."""
        self._waiting.setdefault(context, _Waiting(time.monotonic(), 0)).pairs += pairs
        self._pairs += pairs

    def due(self) -> str | None:
        """The context that waits longest, once it has for `interval` seconds, or if `rows` pairs are new."""
        context = next(iter(self._waiting), None)
        if context is None:
            return None
        waited = time.monotonic() - self._waiting[context].since
        return context if self._pairs >= self._rows or waited >= self._interval else None

    def solved(self, context: str) -> None:
        """It waits no longer."""
        self._pairs -= self._waiting.pop(context).pairs
