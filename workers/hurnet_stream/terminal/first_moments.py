"""What signals to end do before a command runs, while Python imports it.

An exception in the middle of an import would end in a traceback, or be taken for something else by the
module that is imported. Nothing is open yet, so the process may end where it stands.
"""

import os
import signal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOBODYS = (signal.SIG_DFL, signal.default_int_handler)


def heed_signals_at_once() -> None:
    """Let signals to end end the process. One that we were started to ignore (`nohup`) stays ignored."""
    for number in ENDING:
        if signal.getsignal(number) in _NOBODYS:
            signal.signal(number, end_at_once)


def end_at_once(number: int, _frame: object) -> None:
    os._exit(128 + number)  # as a shell says of a program that the signal has ended
