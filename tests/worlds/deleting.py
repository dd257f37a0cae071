"""Records are deleted while all workers run: the workers, and what must be true afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace

import numpy as np
from hypothesis import strategies as st

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.grid import zero_rows
from hurnet_stream.core.rule.halves import undivided
from hurnet_stream.core.rule.rule import nearest, ranked
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import APPEND, UPSERT, Batch, Deletion, Entry
from hurnet_stream.core.stored.compaction import Horizon
from hurnet_stream.errors import StoreReplaced, TransientError
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.ports import (
    Appended,
    Checkpoint,
    Outgoing,
    Record,
    Refused,
    Unfinished,
    check_not_passed,
    deleted_by,
)
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.settings.settings import ContextSettings, IngestSettings, Settings, SolveSettings
from hurnet_stream.solver.solver import Solver
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.kafka import MemoryKafka
from tests.memory.lease_store import MemoryLeaseStore
from tests.memory.redis import MemoryRedis
from tests.memory.sink import MemorySink
from tests.memory.source import MemorySource
from tests.memory.weights_store import MemoryWeightsStore

EMBEDDER = HashedText(32)
DIMENSION = EMBEDDER.identity.dimension
CONTEXTS = ("one", "two")
NOTHING_KNOWN = "\u2060"
"""A text that embeds to zero."""


class LosesReplies(MemoryEntryStore):
    """Does what it is told, but every second reply is lost."""

    calls = 0

    def _lose(self) -> None:
        self.calls += 1
        if self.calls % 2:
            raise TransientError("the reply was lost")

    def append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        result = super().append(batch, expected)
        self._lose()
        return result

    def delete(self, partition: int, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        result = super().delete(partition, deletion, expected)
        self._lose()
        return result


class LosesSaves(MemoryWeightsStore):
    """Fails at every third save, before or after it."""

    calls = 0

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.calls += 1
        if self.calls % 6 == 3:
            raise TransientError("the store is away")
        super().save_checkpoint(checkpoint)
        if self.calls % 6 == 0:
            raise TransientError("the reply was lost")


@dataclass
class World:
    """A broker, a store, and workers between them."""

    kafka: MemoryKafka = field(default_factory=MemoryKafka)
    redis: MemoryRedis = field(default_factory=MemoryRedis)
    keys: str = APPEND
    """How keyed texts are taken in by the next ingest."""
    upserted: set[tuple[int, int]] = field(default_factory=set)
    """The records that were sent while they replaced others."""

    def __post_init__(self) -> None:
        for topic in ("texts", "dead-letters"):
            self.kafka.create(topic, partitions=2)
        MemoryEntryStore(self.redis).open(EMBEDDER.identity)

    def send(self, text: str, answer: str | None = None, key: str | None = None, **where: object) -> None:
        context = str(where.get("context", "one"))
        event = TextEvent(text=text, answer=answer, context=context, weight=where.get("weight"))  # type: ignore[arg-type]
        self._send(event.encode(), key, int(str(where.get("partition", 0))))

    def delete_key(self, key: str | None, partition: int = 0) -> None:
        self._send(None, key, partition)

    def delete_at(self, offset: str, partition: int = 0) -> None:
        self._send(None, None, partition, (("forget", offset.encode()),))

    def _send(self, value: bytes | None, key: str | None, partition: int, headers: object = ()) -> None:
        raw = None if key is None else key.encode()
        if self.keys == UPSERT and key is not None:
            end = max((r.offset for r in self.kafka.records("texts") if r.partition == partition), default=-1)
            self.upserted.add((partition, end + 1))
        self.kafka.append([Outgoing("texts", value, raw, headers, partition)])  # type: ignore[arg-type]

    def ingest(
        self, batch: int = 4, lossy: bool = False, contexts: Mapping[str, ContextSettings] | None = None
    ) -> Ingest:
        store = (LosesReplies if lossy else MemoryEntryStore)(self.redis)
        chosen = Settings(
            ingest=IngestSettings.model_validate({"poll": 0, "batch": batch, "keys": self.keys}),
            contexts=dict(contexts or {}),
        )
        source = MemorySource(self.kafka, "texts", "ingest")
        return Ingest(source, store, MemorySink(self.kafka), EMBEDDER, chosen, IngestMetrics())

    def solver(
        self, interval: float = 0, checkpoint_interval: float = 0, lossy: bool = False, keep: float = 3600
    ) -> Solver:
        self.redis.data.leases.clear()
        solve = SolveSettings(
            interval=interval, checkpoint_interval=checkpoint_interval, keep_deletions=keep, device="cpu"
        )
        weights = (LosesSaves if lossy else MemoryWeightsStore)(self.redis)
        stores = weights, MemoryLeaseStore(self.redis)
        return Solver(MemoryEntryStore(self.redis), *stores, Settings(solve=solve), SolverMetrics())

    def take_in(self) -> None:
        """Let an ingest and a solver do all that there is to do."""
        ingest = self.ingest()
        turn(ingest, 40)
        ingest.close()
        solver = self.solver()
        turn(solver, 2)
        for _ in range(500):
            turn(solver)
            if self.settled():
                break
        turn(solver)

    def settled(self) -> bool:
        """Whether all is in the saved checkpoint, and all that was deleted is erased."""
        covered = {p: shard.watermark for p, shard in self.redis.data.checkpoint.shards.items()}
        shards = self.redis.data.shards.items()
        return all(covered.get(p) == shard.state.watermark and not shard.pending for p, shard in shards)

    def statistics(self) -> Mapping[str, Statistics]:
        return self.redis.data.checkpoint.statistics

    def left(self) -> list[tuple[int, Entry]]:
        """What a plain reading of the topic says must be in the store."""
        entries: dict[tuple[int, int], tuple[Entry, bytes | None]] = {}
        for record in self.kafka.records("texts"):
            if record.value is not None:
                event = TextEvent.decode(record.value)
                at = record.offset, record.timestamp_ms
                entry = Entry(*at, event.context, event.text, event.answer, copies=event.weight or 1)
                if zero_rows(EMBEDDER.embed([event.text]))[0]:
                    continue
                for coordinates in self.replaced(record, event.context, entries):
                    del entries[coordinates]
                entries[record.partition, record.offset] = entry, record.key
            else:
                for coordinates in self.named(record, entries):
                    del entries[coordinates]
        return [(partition, entry) for (partition, _), (entry, _) in sorted(entries.items())]

    def replaced(
        self, record: Record, context: str, entries: Mapping[tuple[int, int], tuple[Entry, bytes | None]]
    ) -> list[tuple[int, int]]:
        if (record.partition, record.offset) not in self.upserted:
            return []
        return [
            (partition, offset)
            for (partition, offset), (entry, key) in entries.items()
            if (partition, entry.context, key) == (record.partition, context, record.key)
        ]

    @staticmethod
    def named(
        record: Record, entries: Mapping[tuple[int, int], tuple[Entry, bytes | None]]
    ) -> list[tuple[int, int]]:
        forget = record.header("forget")
        if expired := record.header("expire-context"):
            before, through = int(record.header("before") or 0), int(record.header("through") or 0)
            return [
                (partition, offset)
                for (partition, offset), (entry, _) in entries.items()
                if partition == record.partition and entry.context == expired.decode()
                if entry.timestamp_ms < before and offset <= through
            ]
        return [
            (partition, offset)
            for (partition, offset), (_, key) in entries.items()
            if partition == record.partition
            and (offset == int(forget) if forget else record.key is not None and key == record.key)
        ]


class Follower:
    """What a responder holds in memory, kept up to date."""

    def __init__(self, redis: MemoryRedis) -> None:
        self.store = MemoryEntryStore(redis)
        self.begin()

    def begin(self) -> None:
        self.memory = LoadedContexts(undivided(DIMENSION))
        self.horizon = Horizon()

    def step(self, most: int = 100) -> None:
        positions = self.memory.watermarks()
        tail = self.store.tail(positions, most)
        try:
            check_not_passed(self.horizon, positions, tail)
        except StoreReplaced:  # as a worker: built anew
            self.begin()
            return
        for batch in tail.batches:
            deletion = batch.deletion
            if deletion and deletion.replaces:  # as the backlog has it: the last ones go as the new ones come
                deletion = replace(deletion, targets=(), by=())
            for targets in deleted_by(self.store, batch.partition, deletion) if deletion else ():
                self.memory.remove(batch.partition, targets)
            self.memory.append(batch)

    def is_behind(self) -> bool:
        states = self.store.states()
        return any(self.memory.shard_rows(p) != state.rows for p, state in states.items())


def turn(worker: Ingest | Solver, times: int = 1) -> None:
    for _ in range(times):
        try:
            worker.step()
        except (TransientError, StoreReplaced):
            continue


def never_saw(world: World) -> tuple[dict[str, Statistics], LoadedContexts]:
    """Statistics and memory that are made from nothing, of what is left in the topic."""
    statistics: dict[str, Statistics] = {}
    memory = LoadedContexts(undivided(DIMENSION))
    for partition, entry in world.left():
        vectors = EMBEDDER.embed([entry.text])
        memory.append(Batch(partition, entry.offset, [entry], vectors))
        if entry.answer is not None:
            of_context = statistics.setdefault(entry.context, Statistics(DIMENSION))
            of_context.add(np.repeat(vectors, entry.copies, axis=0), [entry.answer] * entry.copies)
    return statistics, memory


QUESTIONS = ("text number 3", "text", "number 11 again")


def answers(
    memory: LoadedContexts, context: str, statistics: Statistics | None
) -> tuple[list[object], list[float]]:
    """(what of the answers must be equal, their scores, whose last bits depend on a row's place)"""
    projection = solve(statistics, 0.1, "cpu").projection if statistics else None
    index = memory.index(context)
    exact: list[object] = [len(index)]
    scores: list[float] = []
    found = nearest(EMBEDDER.embed(QUESTIONS), index, projection)
    for ranking in ranked(QUESTIONS, found, index):
        for c in sorted(ranking.candidates, key=lambda c: c.answer):
            exact.append((c.answer, index.entry_id(c.row), index.entry(c.row)))
            scores += [c.combined, *(score or 0.0 for score in astuple(c.scores))]
    return exact, scores


def assert_never_seen(world: World, *memories: LoadedContexts) -> None:
    statistics, clean = never_saw(world)
    held = world.statistics()
    assert {c: s.digest() for c, s in held.items()} == {c: s.digest() for c, s in statistics.items()}
    assert world.redis.data.weights.keys() == statistics.keys()
    store = MemoryEntryStore(world.redis)
    batches = store.tail({}, 10_000).batches
    assert [(b.partition, e) for b in batches for e in b.entries] == world.left()
    for memory in memories:
        for context in CONTEXTS:
            exact, scores = answers(memory, context, statistics.get(context))
            wanted, wanted_scores = answers(clean, context, statistics.get(context))
            assert exact == wanted
            np.testing.assert_allclose(scores, wanted_scores, atol=1e-5)


class Schedule:
    """Draws what happens next."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.world = World(keys=data.draw(st.sampled_from([APPEND, UPSERT])))
        self.ingest: Ingest | None = None
        self.solver: Solver | None = None
        self.follower = Follower(self.world.redis)
        self.sent = 0

    def send(self) -> None:
        for _ in range(self.data.draw(st.integers(1, 5))):
            self.world.send(
                self.data.draw(st.sampled_from([f"text number {self.sent}"] * 7 + [NOTHING_KNOWN])),
                self.data.draw(st.sampled_from([None, "answer 1", "answer 2", f"answer of {self.sent}"])),
                self.data.draw(st.sampled_from([None, "a", "b"])),
                context=self.data.draw(st.sampled_from(CONTEXTS)),
                partition=self.data.draw(st.integers(0, 1)),
                weight=self.data.draw(st.sampled_from([None, 1, 2, 9])),
            )
            self.sent += 1

    def change_mode(self) -> None:
        """All that was sent is taken in as before; what is sent from now on is taken in the other way."""
        if self.ingest:
            self.ingest.close()
        self.ingest = None
        last = self.world.ingest()
        turn(last, 40)
        last.close()
        self.world.keys = {APPEND: UPSERT, UPSERT: APPEND}[self.world.keys]

    def delete(self) -> None:
        partition = self.data.draw(st.integers(0, 1))
        if self.data.draw(st.booleans()):
            self.world.delete_key(self.data.draw(st.sampled_from(["a", "b", "c"])), partition)
        elif end := self.world.kafka.partition("texts", partition).end:
            self.world.delete_at(str(self.data.draw(st.integers(0, end - 1))), partition)

    def step_ingest(self) -> None:
        lossy, batch = self.data.draw(st.booleans()), self.data.draw(st.integers(1, 6))
        self.ingest = self.ingest or self.world.ingest(batch, lossy)
        turn(self.ingest, 4)

    def step_solver(self) -> None:
        interval, lossy = self.data.draw(st.sampled_from([0, 3600])), self.data.draw(st.booleans())
        keep = self.data.draw(st.sampled_from([0, 3600]))
        self.solver = self.solver or self.world.solver(3600, interval, lossy, keep)
        turn(self.solver, self.data.draw(st.integers(1, 4)))

    def crash(self) -> None:
        if self.ingest and self.data.draw(st.booleans()):
            self.ingest.close()
            self.ingest = None
        else:
            self.solver = None

    def forget_the_checkpoint(self) -> None:
        self.solver = None
        self.world.redis.data.checkpoint.statistics.clear()
        self.world.redis.data.checkpoint.shards.clear()

    def follow(self) -> None:
        if self.data.draw(st.integers(0, 4)) == 0:
            self.follower = Follower(self.world.redis)
        self.follower.step(self.data.draw(st.integers(1, 5)))
