"""Lines of libraries. A few tell as much as thousands: a client without its server repeats itself."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from typing_extensions import override

WINDOW_S = 60.0
"""A library's line is shown once in that time, by its text before anything is filled in."""
MOST_LINES = 20
"""Of one library in that time, whatever they say: some fill in their texts themselves."""
_KEPT = 512


@dataclass(slots=True)
class _Seen:
    since: float
    lines: int = 0
    left_out: int = 0


class Tamed(logging.Filter):
    """Lets our own lines pass, and of the libraries' only so many; the next that passes says in `left_out`
    how many did not."""

    def __init__(self, ours: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._ours = frozenset(ours)
        self._clock = clock
        self._seen: OrderedDict[tuple[str, ...], _Seen] = OrderedDict()
        self._lock = threading.Lock()

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        library = record.name.partition(".")[0]
        if library in self._ours:
            return True
        with self._lock:
            passes = self._counted((library, record.name, str(record.msg)), 1)
            return passes is not None and self._pass(record, library, passes)

    def _pass(self, record: logging.LogRecord, library: str, left_out: int) -> bool:
        whole = self._counted((library,), MOST_LINES)
        record.left_out = left_out + (whole or 0)
        return whole is not None

    def _counted(self, key: tuple[str, ...], most: int) -> int | None:
        """None if there were `most` in this window already; else how many were left out in the last one."""
        now = self._clock()
        before = self._seen.pop(key, None)
        if before is None or now - before.since >= WINDOW_S:
            seen, left_out = _Seen(now), before.left_out if before else 0
        else:
            seen, left_out = before, 0
        self._seen[key] = seen
        while len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
        if seen.lines >= most:
            seen.left_out += 1
            return None
        seen.lines += 1
        return left_out
