"""A whole system on this machine: Kafka, Valkey and workers, for `hurnet up` and `hurnet demo`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.local.errors import FolderInUse, ProcessDied
from hurnet_stream.local.folders import writable
from hurnet_stream.local.jars import KAFKA
from hurnet_stream.local.kafka import KafkaServer
from hurnet_stream.local.loopback import HOST, port_or_free
from hurnet_stream.local.signals import on_signals
from hurnet_stream.local.valkey import ValkeyServer
from hurnet_stream.local.worker import WorkerProcess
from hurnet_stream.settings.settings import KafkaSettings, RedisSettings

Say = Callable[[str], None]

STOP_S = 15.0
"""How long a worker may take to stop: more than its own deadline for draining."""
READY_S = 60.0


class LocalSystem:
    """Kafka, Valkey and workers. Its `with` block ends everything that was started in it. If a signal to end
    comes meanwhile, that is by SIGKILL, and then `KeyboardInterrupt` is raised.

    `data` is the folder of Kafka's and Valkey's files and of the workers' logs. `environment` is that of the
    workers, to which the addresses of the servers are added. `kafka` and `redis` are the settings for a
    client of the two.
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
        self.environment = {**environment, **self.addresses}
        self.workers: list[WorkerProcess] = []
        self._stack = contextlib.ExitStack()

    def start_servers(self) -> None:
        """Start Valkey and Kafka, and create the topics.

        Raises `ConfigurationError` if one can't be had: it is not installed, or its port or folder is in use.
        """
        # Not at the top: `hurnet up --help` must be quick.
        from hurnet_stream.adapters.kafka.admin.check import ensure_topics

        with writable(self.data):
            try:
                with timed(self._say, "Valkey"):
                    self._stack.enter_context(self._valkey)
                with timed(self._say, f"Apache Kafka {KAFKA}"):
                    self._stack.enter_context(self._kafka)
            except FolderInUse as error:
                raise ConfigurationError(
                    f"{error}: a second system on this machine needs a folder of its own"
                    " (`hurnet up --data DIR`)"
                ) from error
        ensure_topics(self.kafka, create=True)

    def start_workers(self, names: Sequence[str], ports: Mapping[str, int] | None = None) -> None:
        """Start the workers of these names, and return once each is ready.

        `ports` are those that their metrics should have, by name. One that is taken is replaced by a free
        one, and that is said. A worker without one has a free one. Each is told the metrics of those before
        it, which a gateway shows."""
        with writable(self.data), timed(self._say, f"workers ({', '.join(names)})"):
            for number, name in enumerate(names, start=1):
                log = self.data / f"{name}-{number}.log"
                port = self._metrics_port(name, (ports or {}).get(name))
                seen = {"HURNET_GATEWAY_WORKERS": ",".join(f"{HOST}:{each.port}" for each in self.workers)}
                self.workers.append(WorkerProcess(name, {**seen, **self.environment}, log, port))
            deadline = time.monotonic() + READY_S
            while waiting := [worker for worker in self.workers if not worker.ready()]:
                self.check()
                if time.monotonic() > deadline:
                    raise waiting[0].failed(f"was not ready within {READY_S:g} s")
                time.sleep(0.1)

    def _metrics_port(self, name: str, wanted: int | None) -> int | None:
        port = port_or_free(wanted) if wanted else None
        if port != wanted:
            self._say(f"  port {wanted} is taken, so the metrics of {name} are at port {port}")
        return port

    def kill(self, worker: WorkerProcess) -> None:
        """End a worker by SIGKILL, on purpose: `check` no longer asks for it."""
        self.workers.remove(worker)
        worker.kill()

    def check(self) -> None:
        """Raises `ProcessDied` if a server or a worker has ended by itself."""
        for server in (self._valkey, self._kafka):
            if not server.running:
                raise ProcessDied(f"{server.name} {server.ended()}{server.tail()}")
        for worker in self.workers:
            worker.check()

    def __enter__(self) -> LocalSystem:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        hurried = False

        def hurry() -> None:
            nonlocal hurried
            hurried = True
            for worker in self.workers:
                worker.end_at_once()
            for server in (self._valkey, self._kafka):
                server.end_at_once()

        with on_signals(hurry):
            if kind is KeyboardInterrupt:
                with contextlib.suppress(OSError):  # nobody reads any more
                    self._say("ending everything; once more Ctrl-C ends it at once")
            self._end()
        if hurried:
            raise KeyboardInterrupt

    def _end(self) -> None:
        # Workers first: they drain, which takes servers that run. All are asked before any is waited for.
        for worker in self.workers:
            worker.ask_to_stop()
        for worker in self.workers:
            worker.wait(STOP_S)
        self._stack.close()


@contextlib.contextmanager
def timed(say: Say, what: str) -> Iterator[None]:
    """Say what starts, and when it is ready how long that took."""
    say(f"starting {what} ...")
    began = time.monotonic()
    yield
    say(f"  ready after {time.monotonic() - began:.1f} s")
