"""What signals to end do: at first they interrupt; once everything is being ended, they hurry it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def on_signals(do: Callable[[], object]) -> Iterator[None]:
    """In the block, signals to end call `do`, even those that a shell had us ignore."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda _number, _frame: do()) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interruptible() -> contextlib.AbstractContextManager[None]:
    """In the block, signals to end raise `KeyboardInterrupt`."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    return on_signals(interrupt)


def undisturbed() -> contextlib.AbstractContextManager[None]:
    """In the block, which must be short, signals to end do nothing."""
    return on_signals(lambda: None)
