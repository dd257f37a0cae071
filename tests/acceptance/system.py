"""A whole system on real servers: the real commands as subprocesses, and what they left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition

from hurnet_schemas import Answer, DeadLetter, Message, Query, TextEvent
from hurnet_schemas.places import Marks
from hurnet_stream.adapters.kafka.admin.check import ensure_topics
from hurnet_stream.adapters.kafka.writing.sink import KafkaSink
from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore, connect
from hurnet_stream.adapters.segments import segments_at
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Batch
from hurnet_stream.errors import TransientError
from hurnet_stream.ports import Checkpoint, Outgoing
from hurnet_stream.settings.settings import RedisSettings, Settings

PARTITIONS = 3
WITH_TORCH = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
"""Has a worker load torch, if it is installed."""
_WITHOUT_TORCH = os.pathsep.join(
    filter(None, (str(Path(__file__).parent / "without_torch"), *WITH_TORCH.values()))
)
_ENVIRONMENT = threading.Lock()
"""Held by whoever changes this process's variables: a thread that sends load reads settings, too."""


def wait_for(condition: Callable[[], Any], seconds: float = 120.0, what: str = "") -> Any:
    """The first true value of `condition`. The seconds only end what hangs: they are never what is tested."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s: {what or condition}")


def system_is_busy() -> bool:
    """Whether others use this machine so much that seconds say nothing: by its load of the last minute, or by
    how much of the last ten seconds somebody waited for a core or a disk, where Linux tells that."""
    waited = [0.0]
    for what in ("cpu", "io"):
        with suppress(OSError):
            said = Path(f"/proc/pressure/{what}").read_text()
            waited += map(float, re.findall(r"^some avg10=([\d.]+)", said))
    return os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1) or max(waited) > 20


class Running:
    """A worker process and its log."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, env=dict(environment), stderr=file, stdout=file)

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    @property
    def url(self) -> str:
        """Where its pages are; "" before its log says so."""
        found = re.findall(r'"url": ?"(http://[^"]+)"', self.said())
        return found[-1] if found else ""

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page; (0, "") while there is no server."""
        if not self.url:
            return 0, ""
        try:
            with urllib.request.urlopen(self.url + path, timeout=20) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self, seconds: float = 120.0) -> Self:
        def ready() -> bool:
            assert self.process.poll() is None, f"{self.name} ended: {self.said()[-3000:]}"
            return self.get("/readyz")[0] == 200

        wait_for(ready, seconds, f"{self.name} ready; it said: {self.said()[-3000:]}")
        return self

    def wait_end(self, seconds: float = 120.0) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs; it said: {self.said()[-3000:]}") from None

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_end()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class System:
    """Topics, groups and keys of its own on the given servers; ends its workers on exit."""

    def __init__(self, bootstrap: str, redis_url: str, name: str, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.running: list[Running] = []
        self.variables = {
            "HURNET_KAFKA_BOOTSTRAP": bootstrap,
            "HURNET_REDIS_URL": redis_url,
            "HURNET_REDIS_PREFIX": name,
            "HURNET_KAFKA_TEXTS": f"{name}-texts",
            "HURNET_KAFKA_QUERIES": f"{name}-queries",
            "HURNET_KAFKA_ANSWERS": f"{name}-answers",
            "HURNET_KAFKA_FEEDBACK": f"{name}-feedback",
            "HURNET_KAFKA_DEAD_LETTERS": f"{name}-dead",
            "HURNET_KAFKA_PARTITIONS": str(PARTITIONS),
            "HURNET_RESPONDER_INSTANCE": f"{name}-responder",
            "HURNET_FEEDBACK_INSTANCE": f"{name}-feedback",
            "HURNET_RESPONDER_REPLY_TOPICS": f"{name}-answers.*",
            # By default it looks for entries fifty times a second, a seventh of a core in each test.
            "HURNET_RESPONDER_POLL": "0.1",
            "HURNET_EMBEDDER_NAME": "hash128",
            "HURNET_INGEST_BATCH": "50",
            "HURNET_SOLVE_INTERVAL": "0.2",
            "HURNET_SOLVE_CHECKPOINT_INTERVAL": "0.2",
            "HURNET_SOLVE_LEASE": "4",
            "HURNET_REDIS_TIMEOUT": "2.5",
            # One's own broker may insist on Kafka's least, six seconds.
            "HURNET_KAFKA_SESSION_TIMEOUT": "6" if "KAFKA_BOOTSTRAP" in os.environ else "3",
            "HURNET_LIFECYCLE_DRAIN": "60",
            "HURNET_LOG_FORMAT": "json",
            "PYTHONPATH": _WITHOUT_TORCH,
            **settings,
        }

    @property
    def settings(self) -> Settings:
        """As the workers read them."""
        with _ENVIRONMENT:
            before = dict(os.environ)
            os.environ.update(self.variables)
            try:
                return Settings()
            finally:
                os.environ.clear()
                os.environ.update(before)

    @property
    def patient_redis(self) -> RedisSettings:
        """For looks of a test's own: workers try again after a time-out, and tests don't."""
        return self.settings.redis.model_copy(update={"timeout": 60.0})

    def create_topics(self) -> Self:
        findings = ensure_topics(self.settings.kafka, create=True)
        assert all(finding.exists for finding in findings), findings
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in self.running:
            if running.process.poll() is None:
                running.kill()

    def start(self, worker: str, *options: str, **settings: str) -> Running:
        """`hurnet WORKER OPTIONS`."""
        return self._start(worker, [sys.executable, "-m", "hurnet_stream", worker, *options], settings)

    def start_doomed(self, worker: str, point: str, nth: int, **settings: str) -> Running:
        """The same, but it kills itself the `nth` time that it comes to `point` (see saboteur.py)."""
        return self._start(
            worker, [sys.executable, "-m", "tests.acceptance.saboteur", point, str(nth)], settings
        )

    def start_poisoned(self, worker: str, how: str, **settings: str) -> Running:
        """The same, but a text with "poison" in it ends it, or makes it hang (see poisoned.py)."""
        return self._start(worker, [sys.executable, "-m", "tests.acceptance.poisoned", worker, how], settings)

    def _start(self, worker: str, command: list[str], settings: Mapping[str, str]) -> Running:
        with _ENVIRONMENT:
            environment = {**os.environ, **self.variables, **settings}
        log = self.folder / f"{worker}-{len(self.running)}.log"
        running = Running(worker, command, environment, log)
        self.running.append(running)
        return running

    def run(self, *arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        """`hurnet ARGUMENTS` to its end."""
        with _ENVIRONMENT:
            environment = {**os.environ, **self.variables, **settings}
        return subprocess.run(
            [sys.executable, "-m", "hurnet_stream", *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    @contextmanager
    def sink(self) -> Iterator[KafkaSink]:
        # Workers try again after a time-out, and tests don't.
        sink = KafkaSink(self.settings.kafka.model_copy(update={"request_timeout": 60.0}))
        try:
            yield sink
        finally:
            sink.close()

    def teach(self, events: Sequence[TextEvent | bytes | None]) -> None:
        """Produce text events (or raw values), spread over the partitions."""
        self._send(self.settings.kafka.texts, events)

    def ask(self, queries: Sequence[Query | bytes]) -> None:
        self._send(self.settings.kafka.queries, queries)

    def _send(self, topic: str, values: Sequence[Message | bytes | None]) -> None:
        raw = [value.encode() if isinstance(value, Message) else value for value in values]
        with self.sink() as sink:
            for first in range(0, len(raw), 500):
                block = raw[first : first + 500]
                sink.send(
                    [
                        Outgoing(topic, value, partition=(first + i) % PARTITIONS)
                        for i, value in enumerate(block)
                    ]
                )

    def read(self, topic: str) -> list[Any]:
        """Every committed record of `topic`."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.variables["HURNET_KAFKA_BOOTSTRAP"].split(","),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        try:
            partitions = [
                TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())
            ]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            records: list[Any] = []
            deadline = time.monotonic() + 120
            while any(consumer.position(p) < ends[p] for p in partitions):
                assert time.monotonic() < deadline, f"{topic} can't be read to its end"
                for batch in consumer.poll(200).values():
                    records += batch
            return records
        finally:
            consumer.close()

    def answers(self) -> list[Answer]:
        return [Answer.decode(record.value) for record in self.read(self.settings.kafka.answers)]

    def dead_letters(self) -> list[DeadLetter]:
        return [DeadLetter.decode(record.value) for record in self.read(self.settings.kafka.dead_letters)]

    def batches(self) -> list[Batch]:
        """The whole context, as any reader finds it."""
        store = RedisEntryStore(connect(self.patient_redis, segments_at(self.settings.segments)))
        try:
            positions: dict[int, int] = {}
            batches: list[Batch] = []
            if store.identity() is None:
                return []
            while found := store.tail(positions, 1_000).batches:
                batches += found
                positions |= {batch.partition: batch.watermark for batch in found}
            return batches
        finally:
            store.close()

    def texts_in_store(self) -> list[str]:
        return [entry.text for batch in self.batches() for entry in batch.entries]

    def checkpoint(self) -> Checkpoint:
        weights = RedisWeightsStore(connect(self.patient_redis))
        dimension = self.batches()[0].vectors.shape[1]
        for _ in range(100):
            with suppress(TransientError):  # the solver saved another one meanwhile
                return weights.load_checkpoint(dimension)
            time.sleep(0.05)
        return weights.load_checkpoint(dimension)

    def rows_folded(self) -> int:
        """How many rows the saved checkpoint has seen."""
        return sum(shard.rows for shard in self.checkpoint().shards.values())

    def clean_statistics(self, context: str = "default") -> Statistics:
        """What a solver that never failed has after the whole context."""
        batches = self.batches()
        statistics = Statistics(batches[0].vectors.shape[1])
        for batch in batches:
            rows = [i for i, e in enumerate(batch.entries) if e.context == context and e.answer is not None]
            if rows:
                statistics.add(batch.vectors[rows], [batch.entries[i].answer or "" for i in rows])
        return statistics


def weights_know(answer: Answer, watermarks: Marks) -> bool:
    """Whether the weights that scored the answer have learned from all up to these watermarks."""
    weights = answer.receipt and answer.receipt.weights
    return weights is not None and all(weights.watermarks.get(at, -1) >= o for at, o in watermarks.items())


def metric(exposition: str, name: str) -> float:
    """The sum of a metric's samples."""
    samples = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", exposition, re.MULTILINE)
    return sum(map(float, samples))


def lines(log: str) -> list[dict[str, Any]]:
    """A JSON log's events."""
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]
