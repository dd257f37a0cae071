"""Calls that may take long, made by a thread beside the loop: one at a time, and the loop looks when it is
over.

start(call)    result() -> None    result() -> None    result() -> what it returned, or its error
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Run = Callable[[Callable[[], None]], None]
"""Starts something, and does not wait for it."""


def in_thread(target: Callable[[], None]) -> None:
    """The usual `Run`. The thread is a daemon: no call can keep the process from ending."""
    threading.Thread(target=target, name="canary-aside", daemon=True).start()


class Aside(Generic[T]):
    """At most one call at a time."""

    def __init__(self, run: Run = in_thread) -> None:
        self._run = run
        self._outcomes: list[T | Exception] = []  # at most one; the thread appends, the loop pops
        self.busy = False
        """Whether a call was started and its result not taken yet."""

    def start(self, call: Callable[[], T]) -> None:
        """Begin the call. Does nothing while another one is in hand."""
        if self.busy:
            return
        self.busy = True
        self._run(lambda: self._call(call))

    def result(self) -> T | Exception | None:
        """What the call returned or raised, once; None while it is not over."""
        if not self._outcomes:
            return None
        self.busy = False
        return self._outcomes.pop()

    def _call(self, call: Callable[[], T]) -> None:
        try:
            self._outcomes.append(call())
        except Exception as error:  # whatever it is: the loop says so, and goes on
            self._outcomes.append(error)
