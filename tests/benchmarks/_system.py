"""What benchmarks are made on: a real Kafka, a real Valkey that syncs every write, workers, texts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from random import Random
from typing import TypeVar

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.kafka import KafkaSink, ensure_topics
from hurnet_stream.adapters.redis import RedisEntryStore, connect
from hurnet_stream.demo.data import Pair, in_a_hurry, load
from hurnet_stream.local import KafkaServer, ValkeyServer, guard
from hurnet_stream.local.system import STOP_S
from hurnet_stream.local.worker import WorkerProcess
from hurnet_stream.ports import EntryStore, Outgoing
from hurnet_stream.settings.settings import KafkaSettings, RedisSettings
from tests.acceptance.system import metric

T = TypeVar("T")

SEED = "hurnet benchmarks"
PARTITIONS = 4
PATIENCE_S = 120.0
CHUNK = 1_000


class Bench:
    """Servers on loopback and a folder for logs; every system on it has a name of its own."""

    def __init__(self, bootstrap: str, redis_url: str, folder: Path) -> None:
        self._bootstrap = bootstrap
        self._redis_url = redis_url
        self._folder = folder

    @property
    def folder(self) -> Path:
        """Logs of workers, and a folder for each server."""
        return self._folder

    def kafka(self, name: str) -> KafkaSettings:
        return KafkaSettings(
            bootstrap=self._bootstrap,
            texts=f"{name}-texts",
            queries=f"{name}-queries",
            answers=f"{name}-answers",
            dead_letters=f"{name}-dead",
            partitions=PARTITIONS,
        )

    def redis(self, name: str) -> RedisSettings:
        return RedisSettings(url=self._redis_url, prefix=name)

    def create_topics(self, name: str) -> KafkaSettings:
        """Those of the system `name`; returns the settings to reach them by."""
        settings = self.kafka(name)
        ensure_topics(settings, create=True)
        return settings

    @contextmanager
    def worker(
        self,
        kind: str,
        name: str,
        embedder: str,
        number: int = 1,
        variables: Mapping[str, str] | None = None,
    ) -> Iterator[WorkerProcess]:
        """`hurnet KIND` of the system `name` (unless `variables` say otherwise), ended with the block."""
        own = {
            "HURNET_EMBEDDER_NAME": embedder,
            "HURNET_KAFKA_BOOTSTRAP": self._bootstrap,
            "HURNET_REDIS_URL": self._redis_url,
            "HURNET_REDIS_PREFIX": name,
            "HURNET_KAFKA_TEXTS": f"{name}-texts",
            "HURNET_KAFKA_QUERIES": f"{name}-queries",
            "HURNET_KAFKA_ANSWERS": f"{name}-answers",
            "HURNET_KAFKA_FEEDBACK": f"{name}-feedback",
            "HURNET_KAFKA_DEAD_LETTERS": f"{name}-dead",
            "HURNET_INGEST_GROUP": f"{name}-ingest",
            "HURNET_RESPONDER_GROUP": f"{name}-responder",
            "HURNET_RESPONDER_INSTANCE": f"{name}-{number}",
            **(variables or {}),
        }
        plain = {key: value for key, value in os.environ.items() if not key.startswith("HURNET_")}
        log = self._folder / f"{len(list(self._folder.iterdir()))}-{kind}.log"
        process = WorkerProcess(kind, plain | own, log)
        try:
            yield process
        finally:
            process.ask_to_stop()
            process.wait(STOP_S)

    @contextmanager
    def program(self, module: str, *arguments: str) -> Iterator[None]:
        """`python -m MODULE ARGUMENTS`, ended with the block or, like a worker, with this process."""
        command = [sys.executable, "-m", module, self._bootstrap, *arguments]
        watched = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), *command]
        with (self._folder / f"{module}-{'-'.join(arguments)}.log").open("wb") as log:
            process = subprocess.Popen(watched, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            process.terminate()
            process.wait(STOP_S)

    @contextmanager
    def store(self, name: str) -> Iterator[RedisEntryStore]:
        store = RedisEntryStore(connect(self.redis(name)))
        try:
            yield store
        finally:
            store.close()


@contextmanager
def bench() -> Iterator[Bench]:
    """Started for the block and gone after it."""
    with tempfile.TemporaryDirectory(prefix="hurnet-bench-", ignore_cleanup_errors=True) as folder:
        data = Path(folder)
        with ValkeyServer(data / "valkey") as valkey, KafkaServer(data / "kafka") as kafka:
            yield Bench(kafka.bootstrap, valkey.url, data)


def wait_for(condition: Callable[[], T], watched: Sequence[WorkerProcess], every_s: float = 0.02) -> T:
    """The first true value of `condition`. Raises `WorkerDied`, and `TimeoutError` after `PATIENCE_S`."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        for process in watched:
            process.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_S:g} s; see the workers' logs")
        time.sleep(every_s)
    return value


def pairs(count: int) -> list[Pair]:
    """The demo's texts, then the same as typed in a hurry, time and again: the same `count` every time."""
    return list(islice(_endless(), count))


def questions() -> list[str]:
    """What the demo asks: held-out phrasings."""
    return [pair.text for pair in load().questions]


def _endless() -> Iterator[Pair]:
    taught = load().stream
    yield from taught
    random = Random(SEED)
    while True:
        for pair in taught:
            yield Pair(in_a_hurry(pair.text, random), pair.answer, pair.origin, pair.template)


def text_event(pair: Pair) -> bytes:
    return TextEvent(text=pair.text, answer=pair.answer).encode()


def produce(settings: KafkaSettings, values: Sequence[bytes]) -> Mapping[int, int]:
    """Spread over the partitions of `texts`; returns the last offset of each."""
    sink = KafkaSink(settings)
    last: dict[int, int] = {}
    try:
        for first in range(0, len(values), CHUNK):
            chunk = values[first : first + CHUNK]
            last |= sink.send(
                [Outgoing(settings.texts, v, partition=i % PARTITIONS) for i, v in enumerate(chunk)]
            )
    finally:
        sink.close()
    return last


def fill(servers: Bench, settings: KafkaSettings, name: str, embedder: str, rows: int) -> None:
    """Bring the new context `name` to so many rows, through the real ingest."""
    produce(settings, [text_event(pair) for pair in pairs(rows)])
    with ExitStack() as stack:
        workers = [stack.enter_context(servers.worker("ingest", name, embedder, n)) for n in (1, 2)]
        store = stack.enter_context(servers.store(name))
        wait_for(lambda: stored(store) == rows, workers)


def stored(store: EntryStore) -> int:
    """Rows of all shards."""
    return sum(state.rows for state in store.states().values())


def counted(worker: WorkerProcess, name: str) -> float:
    """A metric of a worker, 0 while it can't be asked."""
    with suppress(OSError):
        return metric(worker.page("/metrics"), name)
    return 0.0


def has_weights(responder: WorkerProcess) -> bool:
    return counted(responder, "hurnet_weights_version") > 0
