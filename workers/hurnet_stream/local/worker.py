"""A worker as a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO, cast

import hurnet_schemas
import hurnet_stream
from hurnet_stream.local import guard
from hurnet_stream.local.errors import ProcessDied
from hurnet_stream.local.loopback import free_ports
from hurnet_stream.local.server import how_ended

TAIL_LINES = 15


class WorkerProcess:
    """`hurnet NAME`, which logs to a file and ends with this process, however that ends.

    Its pages are at `port`, or at a free one."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path, port: int | None = None) -> None:
        self.name = name
        self.log = log
        self.port = port or free_ports(1)[0]
        roots = (str(Path(str(package.__file__)).parents[1]) for package in (hurnet_stream, hurnet_schemas))
        paths = os.pathsep.join(filter(None, [*roots, os.environ.get("PYTHONPATH", "")]))
        with log.open("wb") as file:
            self._guard = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", guard.__file__, str(os.getpid())),
                    *(sys.executable, "-P", "-m", "hurnet_stream", name),
                ],
                env={**environment, "HURNET_METRICS_PORT": str(self.port), "PYTHONPATH": paths},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,  # Ctrl-C is for us: we end the workers first, then the servers
            )
        with cast(IO[bytes], self._guard.stdout) as line:
            self.pid = int(line.readline() or 0)  # the guard writes it once it has started the worker

    def page(self, path: str) -> str:
        """One of its pages. Raises `OSError` if the server isn't there yet, or the answer is no."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as reply:
            return cast(str, reply.read().decode())

    def ready(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.page("/readyz"))
        return False

    def check(self) -> None:
        """Raises `ProcessDied` if it has ended."""
        code = self._guard.poll()
        if code is not None:
            raise self.failed(how_ended(code))

    def failed(self, how: str) -> ProcessDied:
        """An error with the end of its log."""
        lines = self.log.read_text("utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        return ProcessDied("\n".join([f"the worker {self.name} {how}; its last lines:", *lines]))

    def kill(self) -> None:
        """End it by SIGKILL, as in a crash. Returns once it is gone."""
        self._guard.send_signal(signal.SIGUSR1)
        self._guard.wait()

    def end_at_once(self) -> None:
        """The same without waiting for it: a signal handler may call this."""
        self._guard.send_signal(signal.SIGUSR1)

    def ask_to_stop(self) -> None:
        self._guard.terminate()

    def wait(self, timeout: float) -> None:
        """Returns once it has ended; after `timeout` seconds it is killed."""
        try:
            self._guard.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
