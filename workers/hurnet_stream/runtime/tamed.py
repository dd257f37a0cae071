"""Bounds how much libraries log: a client without its server says the same thing a thousand times.

    12:00:01  kafka.conn  connect attempt to node 1 failed      shown
    12:00:02  kafka.conn  connect attempt to node 1 failed      left out, as are 57 more
    12:01:02  kafka.conn  connect attempt to node 1 failed      shown, with left_out=58

Two lines are the same if their text is the same before anything is filled in.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from typing_extensions import override

WINDOW_S = 60.0
"""A library's line is shown once in this time."""
MOST_LINES = 20
"""How many lines of one library are shown in this time, whatever they say: some fill in the text
themselves."""
_COUNTERS_MAX = 512


@dataclass(slots=True)
class _Counter:
    since: float
    shown: int = 0
    left_out: int = 0


class Tamed(logging.Filter):
    """Lets our own lines pass, and a bounded number of the libraries'. A line that passes tells in `left_out`
    how many did not since the last one."""

    def __init__(self, ours: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._ours = frozenset(ours)
        self._clock = clock
        self._counters: OrderedDict[tuple[str, ...], _Counter] = OrderedDict()  # the longest unused first
        self._lock = threading.Lock()

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        library = record.name.partition(".")[0]
        if library in self._ours:
            return True
        with self._lock:
            of_line = self._count((library, record.name, str(record.msg)), 1)
            if of_line is None:
                return False
            of_library = self._count((library,), MOST_LINES)
            record.left_out = of_line + (of_library or 0)
            return of_library is not None

    def _count(self, key: tuple[str, ...], shown_max: int) -> int | None:
        """None if `shown_max` were shown in this window already. Else how many were left out in the last."""
        now = self._clock()
        counter, left_out = self._counters.pop(key, None), 0
        if counter is None or now - counter.since >= WINDOW_S:
            left_out = counter.left_out if counter else 0
            counter = _Counter(now)
        self._counters[key] = counter
        while len(self._counters) > _COUNTERS_MAX:
            self._counters.popitem(last=False)
        if counter.shown >= shown_max:
            counter.left_out += 1
            return None
        counter.shown += 1
        return left_out
