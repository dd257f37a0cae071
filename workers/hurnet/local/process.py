"""A server process that belongs to this one: what the local Kafka and Valkey share.

Linux and macOS only.
"""

import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from hurnet.local import guard

HOST = "127.0.0.1"
TAIL_LINES = 25
_POLL_SECONDS = 0.05
_LOCK_SECONDS = 3.0  # a server whose owner was killed needs a moment to follow it


class ServerError(RuntimeError):
    """A local server could not be installed, started or reached; the message says what to do."""


def free_ports(count: int) -> list[int]:
    """`count` distinct loopback ports that nothing listens on.

    They lie below the ephemeral range, so that no outgoing connection takes one while its server is down (a
    client that reconnects to a dead ephemeral port may even connect to itself).
    """
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for port in random.SystemRandom().sample(range(20_000, 32_000), 200):
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise ServerError(f"found no {count} free ports on {HOST} between 20000 and 32000")


def accepts(port: int) -> bool:
    """Whether something listens on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


@contextlib.contextmanager
def locked(folder: Path, timeout: float) -> Iterator[int]:
    """Make `folder` and hold it against other processes; yields the descriptor of its lock.

    The kernel drops the lock when the last process that has the descriptor ends, so it can't go stale.

    Raises:
        ServerError: another process still held it after `timeout` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    with (folder / "in-use.lock").open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"another running server or process is using the folder {folder}"
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield file.fileno()


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """`folder`, empty, until the block ends; the caller holds a lock, so what is in it is a leftover."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Server(ABC):
    """One server process on loopback, with its own data folder and ports, to stop, kill and restart.

    `data` is created where missing and reused where it has data; without it a temporary folder lives as long
    as the object. The server ends with `stop`, with the `with` block, with the object and with this process,
    even a killed one: `guard.py` sees to that.
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
        with locked(self.data, _LOCK_SECONDS) as lock:
            self._check_ports()
            self._spawn(self._prepare(), lock)
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End it in an orderly way, by force after `timeout`; nothing to do when it isn't running."""
        self._end()

    def kill(self) -> None:
        """SIGKILL, as a crash: return once it is gone."""
        if self.running:
            _kill(self._pid)
        self._end()

    def restart(self) -> Self:
        """Start again on the same ports and data, after `stop` if it runs."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """End it and remove its data folder if that is a temporary one."""
        if self._temporary:
            self.kill()
            self._temporary()
        self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_ports(self) -> None:
        for port in self._ports:
            with socket.socket() as probe:
                # as the servers do, to whom a connection in TIME_WAIT is no obstacle
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError as error:
                    why = f"{self.name} can't have port {port} on {HOST}: {error.strerror}"
                    raise ServerError(why) from None

    def _spawn(self, command: list[str], lock: int) -> None:
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), *command],
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=[lock],  # held by guard and server from here on
                start_new_session=True,  # Ctrl-C is for the owner, which ends the server when it has drained
            )
        self._end = weakref.finalize(self, _stop, self._guard, self._timeout, os.getpid())
        with cast(IO[bytes], self._guard.stdout) as line:
            self._pid = int(line.readline() or 0)  # none, if the guard could not start it

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            if not self.running:
                raise ServerError(f"{self.name} ended while starting{self.tail()}")
            if accepts(self._ports[0]) and self._ready():
                return
            time.sleep(_POLL_SECONDS)
        raise ServerError(f"{self.name} was not ready within {self._timeout:g} s{self.tail()}")

    def tail(self) -> str:
        """The end of what the server has logged since it was started, to end an error message with."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join([f"; the end of {self.log}:", *lines[-TAIL_LINES:]])


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # as in _stop
        shutil.rmtree(folder, ignore_errors=True)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _stop(guard: subprocess.Popen[bytes], timeout: float, owner: int) -> None:
    if os.getpid() != owner:  # a forked child that exits must not take its parent's server along
        return
    guard.terminate()
    try:
        guard.wait(timeout)
    except subprocess.TimeoutExpired:
        guard.send_signal(signal.SIGUSR1)
        guard.wait()
