"""A server process that belongs to this one: what the local Kafka and Valkey share. Linux and macOS only.

this process ── starts ──> guard.py ── starts ──> the server
     │                        │
     │ stop(): SIGTERM ──────>│── SIGTERM ───────>│ ends in an orderly way
     │ after `timeout`: SIGUSR1 ─────────────────>│ SIGKILL
     ╳ is killed              │ sees that its parent is another one, and kills the server
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from hurnet_stream.local import guard
from hurnet_stream.local.errors import ServerError
from hurnet_stream.local.folders import locked
from hurnet_stream.local.loopback import accepts, check_free

TAIL_LINES = 25
_POLL_S = 0.05
_LOCK_S = 3.0
"""How long a start waits for the folder: a server whose owner was killed needs a moment to follow it."""


class Server(ABC):
    """One server process on loopback, with its own data folder and ports, to stop, kill and restart.

    `data` is created if it is missing, and what is in it is used again. Without `data` there is a temporary
    folder that lives as long as the object. The server ends with `stop`, with the `with` block, with the
    object, and with this process even if that is killed.
    """

    name: str

    def __init__(self, data: Path | None, ports: Sequence[int], timeout: float) -> None:
        self.data = (data or Path(tempfile.mkdtemp(prefix="hurnet-"))).absolute()
        self._temporary = None if data else weakref.finalize(self, _remove, self.data, os.getpid())
        self.log = self.data / "server.log"
        self._ports = tuple(ports)
        self._timeout = timeout
        self._log_start = 0
        self._pid = 0
        self._guard: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = lambda: None

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Make the data folder ready and return the server's command line; it runs in that folder."""

    @abstractmethod
    def _ready(self) -> bool:
        """Whether a client is really served; called only once the first port is open."""

    @property
    def running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    @property
    def pid(self) -> int:
        """The server's own process id."""
        if not self.running:
            raise ServerError(f"{self.name} in {self.data} is not running")
        return self._pid

    def start(self) -> Self:
        """Start, and return once a client is served.

        Raises:
            ServerError: it runs already, its folder or port is in use, or it failed or took longer than
                `timeout`; with the end of its log.
        """
        if self.running:
            raise ServerError(f"{self.name} in {self.data} is already running")
        try:
            with locked(self.data, _LOCK_S) as lock:
                for port in self._ports:
                    check_free(port, self.name)
                self._spawn(self._prepare(), lock)
            self._wait_ready()
        except BaseException:  # Ctrl-C too: a server that nobody waited for would be left behind
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End it in an orderly way, and by force after `timeout` seconds. Nothing if it isn't running."""
        self._end()

    def kill(self) -> None:
        """End it by SIGKILL, as in a crash. Returns once it is gone."""
        if self._guard and self.running:
            if self._pid:
                _kill(self._pid)
            else:  # it was just being started
                self.end_at_once()
            self._guard.wait()
        self._end()

    def end_at_once(self) -> None:
        """Have it ended by SIGKILL, and don't wait for that: a signal handler may call this."""
        if self._guard:
            self._guard.send_signal(signal.SIGUSR1)

    def ended(self) -> str:
        """How it has ended, in words."""
        return how_ended(self._guard.returncode if self._guard else 0)

    def restart(self) -> Self:
        """Stop it if it runs, and start it again on the same ports and data."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """End it, and remove its data folder if that is a temporary one."""
        if self._temporary:  # nobody will read its data: no need to wait for an orderly end
            self.kill()
            self._temporary()
        self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spawn(self, command: list[str], lock: int) -> None:
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._pid = 0
        with self.log.open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), *command],
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=[lock],  # from here on the guard and the server hold the folder
                start_new_session=True,  # Ctrl-C is for the owner, which drains first and then ends it
            )
        # A finalizer and not __del__: it also runs when this process ends in an orderly way.
        self._end = weakref.finalize(self, _stop, self._guard, self._timeout, os.getpid())
        with cast(IO[bytes], self._guard.stdout) as line:
            self._pid = int(line.readline() or 0)  # no line if the guard could not start it

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            if not self.running:
                raise ServerError(f"{self.name} ended while starting{self.tail()}")
            if accepts(self._ports[0]) and self._ready():
                return
            time.sleep(_POLL_S)
        raise ServerError(f"{self.name} was not ready within {self._timeout:g} s{self.tail()}")

    def tail(self) -> str:
        """The last lines of its log since it was started, as the end of an error message."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join([f"; the end of {self.log}:", *lines[-TAIL_LINES:]])


def how_ended(code: int) -> str:
    """How a process has ended whose guard ended with this code, in words."""
    try:
        return f"was ended by {signal.Signals(code - guard.SIGNALLED).name}"
    except ValueError:
        return f"ended with code {code}"


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child that exits must not remove its parent's folder
        shutil.rmtree(folder, ignore_errors=True)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _stop(guard: subprocess.Popen[bytes], timeout: float, owner: int) -> None:
    if os.getpid() != owner:  # a forked child that exits must not end its parent's server
        return
    guard.terminate()
    try:
        guard.wait(timeout)
    except subprocess.TimeoutExpired:
        guard.send_signal(signal.SIGUSR1)
        guard.wait()
