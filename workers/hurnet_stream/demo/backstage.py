"""What stands behind the scenes: the servers and workers, what they say of themselves, and what is stored."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, cast

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from hurnet_schemas.places import Marks
from hurnet_stream.adapters.kafka.reading.apart import reader
from hurnet_stream.adapters.redis import RedisEntryStore, connect_serving
from hurnet_stream.errors import HurnetError
from hurnet_stream.local.system import LocalSystem
from hurnet_stream.local.worker import WorkerProcess
from hurnet_stream.ports import CORRELATION_ID

PATIENCE_S = 60.0
VERIFY_S = 180.0
POLL_S = 0.05
TRIES = 10


class Stuck(HurnetError):
    """The workers run, but do not get done."""


@dataclass(frozen=True, slots=True)
class Killed:
    """An ingest worker that was killed, and the partitions of texts that it had."""

    pid: int
    partitions: frozenset[int]


@dataclass(frozen=True, slots=True)
class Books:
    """What is there after all: entries in the store, how many of them are there more than once, and how many
    a responder can answer with. `equal` is the verdict of `hurnet verify`, `deleted` and `contexts` are how
    many deleted entries and how many contexts it has seen, and `difference` is what it found, in words."""

    stored: int
    twice: int
    answerable: int
    equal: bool
    deleted: int
    contexts: int
    difference: str


@dataclass(frozen=True, slots=True)
class Replies:
    """How many answers are in their topic, and how many of them are to a question that has another one."""

    answers: int
    twice: int


class Backstage:
    """A running system, from behind. Everything raises `ProcessDied` if a process has ended by itself."""

    def __init__(self, system: LocalSystem) -> None:
        self._system = system
        self._store = RedisEntryStore(connect_serving(system.redis))

    def close(self) -> None:
        self._store.close()

    def check(self) -> None:
        self._system.check()

    def watermarks(self) -> dict[int, int]:
        """The last offset of each partition that is in the store."""
        return {partition: state.watermark for partition, state in self._store.states().items()}

    def answerable(self) -> int:
        """How many entries the responder can answer with."""
        (responder,) = self._workers("responder")
        return int(sum(sample.value for sample in _samples(responder, "hurnet_context_rows")))

    def ingests(self) -> int:
        """How many ingest workers run."""
        return len(self._workers("ingest"))

    def wait_answerable(self, watermarks: Marks) -> None:
        """Returns once the responder knows everything up to these offsets."""
        self.wait(lambda: self._past("responder", watermarks), "the responder to know all texts")

    def kill_an_ingest(self) -> Killed:
        """Kill one (kill -9) that has partitions, in the middle of whatever it does."""
        having = [(_partitions(worker), worker) for worker in self._workers("ingest")]
        partitions, victim = max(having, key=lambda each: len(each[0]))
        self._system.kill(victim)
        return Killed(victim.pid, partitions)

    def books(self, watermarks: Marks) -> Books:
        """Everything counted, once the solver has saved what it learned up to these offsets."""
        self._wait_saved(watermarks)
        proof = self._verify()
        stored, twice = self._entries()
        compared = sum(shard["entries"] for shard in proof["shards"])
        differences = [s["difference"][1] for s in proof["shards"] if s["difference"]]
        if compared != stored:
            differences.append(f"{compared:,} of {stored:,} entries were compared")
        return Books(
            stored=stored,
            twice=twice,
            answerable=self.answerable(),
            equal=proof["equal"] and not proof["unproved"] and compared == stored,
            deleted=sum(shard["deleted"] for shard in proof["shards"]),
            contexts=len(proof["digests"]),
            difference="; ".join([*differences, *proof["differences"].values()]),
        )

    def replies(self) -> Replies:
        """All answers that are in their topic now."""
        answered: Counter[bytes] = Counter()
        topic = self._system.kafka.answers
        with closing(reader(self._system.kafka, topic, from_end=False)) as consumer:
            ends = consumer.end_offsets(list(consumer.assignment()))
            deadline = time.monotonic() + PATIENCE_S
            while any(consumer.position(partition) < end for partition, end in ends.items()):
                if time.monotonic() > deadline:
                    raise Stuck(f"the answers in {topic} could not all be read within {PATIENCE_S:g} s")
                for batch in consumer.poll(timeout_ms=500).values():
                    answered.update(dict(record.headers).get(CORRELATION_ID, b"") for record in batch)
        return Replies(answered.total(), answered.total() - len(answered))

    def _workers(self, role: str) -> list[WorkerProcess]:
        return [worker for worker in self._system.workers if worker.name == role]

    def _entries(self) -> tuple[int, int]:
        """How many entries are in the store, and how many of them are there more than once."""
        found: Counter[tuple[int, int]] = Counter()
        positions: dict[int, int] = {}
        while batches := self._store.tail(positions, 1_000).batches:
            for batch in batches:
                found.update((batch.partition, entry.offset) for entry in batch.entries)
                positions[batch.partition] = batch.watermark
        return found.total(), found.total() - len(found)

    def _wait_saved(self, watermarks: Marks) -> None:
        """Returns once a checkpoint of the solver's holds everything up to these offsets."""
        self.wait(lambda: self._past("solver", watermarks), "the solver to learn from everything")
        now = time.time()

        def saved() -> bool:
            (solver,) = self._workers("solver")
            pending = sum(sample.value for sample in _samples(solver, "hurnet_deletions_pending"))
            times = _samples(solver, "hurnet_checkpoint_timestamp_seconds")
            return not pending and any(sample.value > now for sample in times)

        self.wait(saved, "the solver to save what it has learned, and to erase what is deleted")

    def _past(self, role: str, watermarks: Marks) -> bool:
        """Whether the worker is done with everything up to these offsets."""
        (worker,) = self._workers(role)
        samples = _samples(worker, "hurnet_watermark_offset")
        reached = {sample.labels["partition"]: sample.value for sample in samples}
        return all(reached.get(str(shard), -1) >= offset for shard, offset in watermarks.items())

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Returns once it holds. Raises `Stuck` after `PATIENCE_S` seconds."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if condition():
                return
            self.check()
            if time.monotonic() > deadline:
                raise Stuck(
                    f"waited {PATIENCE_S:g} s for {what}; `hurnet demo --keep DIR` keeps the workers' logs"
                )
            time.sleep(POLL_S)

    def _verify(self) -> dict[str, Any]:
        """What `hurnet verify --json` prints."""
        command = [sys.executable, "-P", "-m", "hurnet_stream", "verify", "--json"]
        environment = dict(self._system.environment)
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=VERIFY_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise Stuck(f"`hurnet verify` was not done after {VERIFY_S:g} s") from None
        if not done.stdout:
            raise Stuck(f"`hurnet verify` ended with code {done.returncode}: {done.stderr.strip()}")
        return cast(dict[str, Any], json.loads(done.stdout))


def _partitions(worker: WorkerProcess) -> frozenset[int]:
    return frozenset(int(s.labels["partition"]) for s in _samples(worker, "hurnet_watermark_offset"))


def _samples(worker: WorkerProcess, name: str) -> list[Sample]:
    """The samples of one of its metrics. Raises `Stuck` if it does not show its page in several tries."""
    for _ in range(TRIES):
        with suppress(OSError):  # it is too busy
            families = text_string_to_metric_families(worker.page("/metrics"))
            return [sample for family in families for sample in family.samples if sample.name == name]
        worker.check()
        time.sleep(POLL_S)
    raise Stuck(f"the worker {worker.name} does not show its metrics")
