"""Ends a process whose loop no longer turns, so that a supervisor starts it again: nothing else helps then.

    turns    41 42 42 42 42 ...        no turn for `hang` ticks: log what every thread does, exit with code 70
    ticks     0  0  1  2  3 ...

The watchdog counts its own ticks, one a second, instead of asking a clock. A process that was paused for
minutes (SIGSTOP, a laptop that slept) has ticked as little as it has turned, and is not ended when it goes
on.

A thread that never gives up the interpreter (native code that holds the GIL) stops the ticks, too. For that
there is faulthandler behind the watchdog: it needs no interpreter, writes the stacks and ends the process
with code 1.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from hurnet_stream.exit_codes import STUCK
from hurnet_stream.settings.settings import LifecycleSettings

if TYPE_CHECKING:
    from types import FrameType

log = structlog.get_logger()

TICK_S = 1.0
_GRACE_S = 30.0  # after which faulthandler acts, if the watchdog itself could not
_LAST_WORDS_S = 5.0  # the reader of our log may be what the process hangs on, so logging gets no longer
_FRAMES_MAX = 40


class Watchdog:
    """Watches the number of `turns` in a thread of its own, until it is closed. If there is no turn within
    `hang` seconds it ends the process. The first turn has `start` seconds, because it connects and loads
    models."""

    def __init__(self, turns: Callable[[], int], settings: LifecycleSettings) -> None:
        self._turns = turns
        self._settings = settings
        self._closed = threading.Event()
        self._arm(settings.start)
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        last, ticks = self._turns(), 0
        while not self._closed.wait(TICK_S):
            turns = self._turns()
            last, ticks = turns, ticks + 1 if turns == last else 0
            limit = self._settings.hang if turns else self._settings.start
            self._arm(limit)  # puts faulthandler off; it acts if this thread gets no turn
            if ticks * TICK_S > limit:
                _end(limit)

    @staticmethod
    def _arm(limit: float) -> None:
        faulthandler.dump_traceback_later(limit + _GRACE_S, exit=True, file=sys.__stderr__ or sys.stderr)


def _end(limit: float) -> None:
    words = threading.Thread(target=_say, args=(limit,), name="last words", daemon=True)
    words.start()
    words.join(_LAST_WORDS_S)
    os._exit(STUCK)


def _say(limit: float) -> None:
    log.critical(
        "the loop has not turned for too long: ending the process, to be started again",
        seconds=limit,
        stacks=stacks(),
    )


def stacks() -> dict[str, list[str]]:
    """Where each other thread is in the code, innermost first. No values of variables: they may be secret."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {
        names.get(ident, f"thread {ident}"): [
            f"{frame.f_code.co_filename}:{line} {frame.f_code.co_name}" for frame, line in _walk(innermost)
        ]
        for ident, innermost in sys._current_frames().items()
        if ident != threading.get_ident()
    }


def _walk(innermost: FrameType) -> list[tuple[FrameType, int]]:
    return list(traceback.walk_stack(innermost))[:_FRAMES_MAX]
