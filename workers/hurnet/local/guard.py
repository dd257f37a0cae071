"""Run as a script: start a server, wait for it, and kill it once its owner is gone, however that went.

A process of its own, because the kernel's death signal fires when the *thread* that started a child ends. It
has a single thread itself, and so may hold its child by that signal: a killed guard takes the server along.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType

_PR_SET_PDEATHSIG = 1
_OWNER_SECONDS = 0.2  # between looks at whether the owner lives


def main(owner: int, command: list[str]) -> int:
    """Run `command` until it ends or `owner` is no longer the parent; SIGTERM is passed on, SIGUSR1 kills.

    The server logs to standard error; its process id is written to standard output.
    """
    server = subprocess.Popen(
        command,
        stdout=sys.stderr,
        close_fds=False,  # the data folder's lock goes along
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 (one thread)
    )

    def forward(number: int, _: FrameType | None) -> None:
        server.send_signal(signal.SIGKILL if number == signal.SIGUSR1 else signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, forward)
    os.write(1, b"%d\n" % server.pid)
    while os.getppid() == owner:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return server.wait(_OWNER_SECONDS)
    server.kill()
    return server.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(abs(main(int(sys.argv[1]), sys.argv[2:])))
