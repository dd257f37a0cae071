"""A whole system on this machine: Kafka, Valkey and workers, for `hurnet up` and `hurnet demo`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, cast

import hurnet
import hurnet_schemas
from hurnet.errors import ConfigurationError, HurnetError
from hurnet.local import KafkaServer, ServerError, ValkeyServer, guard
from hurnet.local.jars import KAFKA
from hurnet.local.process import accepts, free_ports
from hurnet.settings.settings import KafkaSettings, RedisSettings

Say = Callable[[str], None]

STOP_SECONDS = 15.0
"""More than a worker's own deadline for draining."""
READY_SECONDS = 60.0
TAIL_LINES = 15
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessDied(HurnetError):
    """A process that we started ended by itself, or never got ready."""


class WorkerProcess:
    """`hurnet NAME` as a process that logs to a file, and that ends with this one however that ends."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.port = free_ports(1)[0]
        roots = (str(Path(str(package.__file__)).parents[1]) for package in (hurnet, hurnet_schemas))
        paths = os.pathsep.join(filter(None, [*roots, os.environ.get("PYTHONPATH", "")]))
        with log.open("wb") as file:
            self._guard = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", guard.__file__, str(os.getpid())),
                    *(sys.executable, "-P", "-m", "hurnet", name),
                ],
                env={**environment, "HURNET_METRICS_PORT": str(self.port), "PYTHONPATH": paths},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,  # Ctrl-C is for us, who end it in its turn
            )
        with cast(IO[bytes], self._guard.stdout) as line:
            line.readline()  # the process id: the worker has been started

    def page(self, path: str) -> str:
        """A page of its probe server. Raises `OSError` while it isn't there or says no."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as reply:
            return cast(str, reply.read().decode())

    def ready(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.page("/readyz"))
        return False

    def check(self) -> None:
        """Raises `ProcessDied` when it has ended."""
        code = self._guard.poll()
        if code is not None:
            raise self.failed(f"ended with code {code}")

    def failed(self, how: str) -> ProcessDied:
        """An error with the end of its log."""
        lines = self.log.read_text("utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        return ProcessDied("\n".join([f"the worker {self.name} {how}; its last lines:", *lines]))

    def ask_to_stop(self) -> None:
        self._guard.terminate()

    def wait(self, timeout: float) -> None:
        """Until it has ended; by force after `timeout` seconds."""
        try:
            self._guard.wait(timeout)
        except subprocess.TimeoutExpired:
            self._guard.send_signal(signal.SIGUSR1)
            self._guard.wait()


class LocalSystem:
    """Used in a `with` block, which ends all that was started in it.

    `data` keeps Kafka's and Valkey's files and the workers' logs; `environment` is the workers', but for the
    addresses. `kafka` and `redis` are the settings to reach the servers by.
    """

    def __init__(
        self,
        data: Path,
        say: Say,
        settings: KafkaSettings,
        environment: Mapping[str, str],
        ports: tuple[int | None, int | None] = (None, None),
    ) -> None:
        self.data = data
        self._say = say
        self._kafka = KafkaServer(data / "kafka", port=ports[0], say=say)
        self._valkey = ValkeyServer(data / "valkey", port=ports[1])
        self.kafka = settings.model_copy(update={"bootstrap": self._kafka.bootstrap})
        self.redis = RedisSettings(url=self._valkey.url)
        self.addresses = {
            "HURNET_KAFKA_BOOTSTRAP": self._kafka.bootstrap,
            "HURNET_REDIS_URL": self._valkey.url,
        }
        self._environment = {**environment, **self.addresses}
        self.workers: list[WorkerProcess] = []
        self._stack = contextlib.ExitStack()

    def start_servers(self) -> None:
        """Valkey and Kafka, with the topics.

        Raises `ConfigurationError` where one can't be had: not installed, its port or the folder in use.
        """
        from hurnet.adapters.kafka.admin.check import ensure_topics

        try:
            with timed(self._say, "Valkey"):
                self._stack.enter_context(self._valkey)
            with timed(self._say, f"Apache Kafka {KAFKA}"):
                self._stack.enter_context(self._kafka)
        except ServerError as error:
            raise ConfigurationError(str(error)) from error
        ensure_topics(self.kafka, create=True)

    def start_workers(self, names: Sequence[str]) -> None:
        """Start them, and return once each is ready."""
        with timed(self._say, f"workers ({', '.join(names)})"):
            for number, name in enumerate(names, start=1):
                log = self.data / f"{name}-{number}.log"
                self.workers.append(WorkerProcess(name, self._environment, log))
            deadline = time.monotonic() + READY_SECONDS
            while waiting := [worker for worker in self.workers if not worker.ready()]:
                self.check()
                if time.monotonic() > deadline:
                    raise waiting[0].failed(f"was not ready within {READY_SECONDS:g} s")
                time.sleep(0.1)

    def check(self) -> None:
        """Raises `ProcessDied` when a server or a worker has ended by itself."""
        for server in (self._valkey, self._kafka):
            if not server.running:
                raise ProcessDied(f"{server.name} has ended by itself{server.tail()}")
        for worker in self.workers:
            worker.check()

    def __enter__(self) -> LocalSystem:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.ask_to_stop()
        for worker in self.workers:
            worker.wait(STOP_SECONDS)
        self._stack.close()


def port_or_free(port: int) -> int:
    """`port` where nothing listens on it, else a free one."""
    return free_ports(1)[0] if accepts(port) else port


@contextlib.contextmanager
def timed(say: Say, what: str) -> Iterator[None]:
    """Says what starts and how long that took."""
    say(f"starting {what} ...")
    began = time.monotonic()
    yield
    say(f"  ready after {time.monotonic() - began:.1f} s")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Signals to end raise `KeyboardInterrupt` in the block, also those that a shell had ignored for us."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
