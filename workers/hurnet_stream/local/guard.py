"""A script that starts a server, waits for it, and kills it once its owner is gone.

The owner may end in any way, by SIGKILL too, and must leave no server behind. The kernel can send a signal to
a child whose parent ends (PR_SET_PDEATHSIG), but on Linux "parent" means the *thread* that started it, and an
owner's threads come and go. So there is a process in between, with a single thread:

    owner ends       the guard becomes the child of another process, sees that within 0.2 s, kills the server
    guard is killed  the kernel kills the server (Linux only: on macOS the server would go on)

It is run by its path with `python -I -S`, and imports nothing of ours: it starts within milliseconds.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.2
SIGNALLED = 128
"""What is added to the number of the signal that has ended a server, as a shell does."""


def main(owner: int, command: list[str]) -> int:
    """Run `command` until it ends, or until `owner` is no longer the parent; returns its exit code, or
    `SIGNALLED` and the number of the signal that has ended it.

    SIGTERM and SIGINT are passed on as SIGTERM; SIGUSR1 kills the server. The server's standard output goes
    to standard error, and its process id is written to standard output.
    """
    server = subprocess.Popen(
        command,
        stdout=sys.stderr,
        close_fds=False,  # the server inherits the lock of its data folder
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 (there is one thread)
    )

    def forward(number: int, _: FrameType | None) -> None:
        server.send_signal(signal.SIGKILL if number == signal.SIGUSR1 else signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, forward)
    os.write(1, b"%d\n" % server.pid)
    while os.getppid() == owner:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return _code(server.wait(_POLL_S))
    server.kill()
    return _code(server.wait())


def _code(ended: int) -> int:
    return ended if ended >= 0 else SIGNALLED - ended


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
