"""A store with a solver and responders, whose answers are asked again later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from hurnet_schemas import Answer, Query
from hurnet_schemas.reply import Reply
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.places import free_position, last_position, next_record, offset_of
from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion, Entry, Expiry, key_digest
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.operations.again.again import ask_again
from hurnet_stream.operations.again.asked import Asked, Missing, from_line
from hurnet_stream.operations.again.replayed import Replayed, World
from hurnet_stream.operations.again.today import ask_today
from hurnet_stream.places import Places
from hurnet_stream.ports import Record, Unfinished
from hurnet_stream.responder.pending import pending_of
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import PaperSettings, ResponderSettings, Settings, SolveSettings
from hurnet_stream.solver.solver import Solver
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.kafka import MemoryKafka
from tests.memory.lease_store import MemoryLeaseStore
from tests.memory.redis import MemoryRedis
from tests.memory.weights_store import MemoryWeightsStore

EMBEDDER = HashedText(32)


@dataclass
class Replaying:
    """The world. `half_life` and the `clock` of solvers are in seconds."""

    half_life: float = 0.0
    clock: float = 0.0
    features: str = "none"
    p: float = 2.0
    ridge: float | Literal["gcv"] = 0.1
    responders: int = 0
    taught: list[tuple[int, int]] = field(default_factory=list)
    kafka: MemoryKafka = field(default_factory=MemoryKafka)
    redis: MemoryRedis = field(default_factory=MemoryRedis)

    def __post_init__(self) -> None:
        for topic in ("queries", "answers", "dead-letters"):
            self.kafka.create(topic, partitions=1)
        self.store = MemoryEntryStore(self.redis)
        self.store.open(EMBEDDER.identity)

    def teach(self, *pairs: tuple[str, str | None], partition: int = 0, **of_all: Any) -> None:
        """Append pairs to a shard. `of_all`: copies, context, timestamp_ms and metadata of each; with
        `chunks` each becomes so many entries, and with `keys` it takes the place of what came under its own
        before."""
        watermark, chunks = self.store.state(partition).watermark, of_all.pop("chunks", 1)
        keys = of_all.pop("keys", None)
        of_each: dict[str, Any] = {"timestamp_ms": 0, "context": "default"} | of_all
        entries: list[Entry] = []
        digests: list[bytes | None] = []
        for i, (text, answer) in enumerate(pairs):
            watermark = next_record(partition, watermark)
            for chunk in range(chunks):
                entries.append(
                    Entry(
                        watermark + chunk, text=f"{text} {chunk}" if chunk else text, answer=answer, **of_each
                    )
                )
                digests.append(key_digest(keys[i].encode()) if keys else None)
            watermark = last_position(partition, offset_of(partition, watermark))
        self.taught += [(partition, entry.offset) for entry in entries]
        vectors = EMBEDDER.embed([entry.text for entry in entries])
        replacing: dict[str, Any] = {"keys": digests, "replaces": [True] * len(entries)} if keys else {}
        batch = Batch(partition, watermark, entries, vectors, **replacing)
        while isinstance(self.store.append(batch, self.store.state(partition).watermark), Unfinished):
            pass

    def forget(self, *offsets: int, partition: int = 0) -> None:
        self._delete(partition, targets=offsets)

    def drop(self, context: str, partition: int = 0) -> None:
        self._delete(partition, context=context)

    def leave(self, before_ms: int, partition: int = 0, context: str = "default") -> None:
        """Let what is too old of a context leave, as ingest does."""
        through = self.store.state(partition).watermark
        if through != NOTHING:
            self._delete(partition, context=context, expiry=Expiry(before_ms, through))

    def compact(self) -> None:
        """Compact away all that is erased."""
        self.store.ask_to_compact({shard: state.watermark for shard, state in self.store.states().items()})
        self.learn()

    def _delete(self, partition: int, targets: Iterable[int] = (), **asked: Any) -> None:
        watermark = self.store.state(partition).watermark
        free = free_position(partition, watermark) or next_record(partition, watermark)
        position = (
            free if "expiry" in asked else last_position(partition, offset_of(partition, watermark) + 1)
        )
        deletion = Deletion(position, 0, targets=tuple(targets), **asked)
        while isinstance(self.store.delete(partition, deletion, watermark), Unfinished):
            pass

    def settings(self) -> Settings:
        return Settings(
            solve=SolveSettings(
                interval=0,
                checkpoint_interval=0,
                device="cpu",
                half_life=self.half_life,
                keep_deletions=0,
                ridge=self.ridge,
            ),
            responder=ResponderSettings(poll=0, threshold=0.3),
            paper=PaperSettings(features=self.features, p=self.p),
        )

    def learn(self, turns: int = 12) -> None:
        """Let a solver do all that there is to do: fold in, save, erase, compact and publish."""
        self.redis.data.leases.clear()
        weights = MemoryWeightsStore(self.redis)
        leases = MemoryLeaseStore(self.redis)
        store, metrics = MemoryEntryStore(self.redis), SolverMetrics()
        solver = Solver(store, weights, leases, self.settings(), metrics, clock=lambda: self.clock)
        for _ in range(turns):
            solver.step()

    def mix_version(self) -> int:
        return MemoryWeightsStore(self.redis).mix_versions().get("default", 0)

    def responder(self) -> Responder:
        self.responders += 1
        exchange = MemoryExchange(self.kafka, "queries", "responders", f"responder {self.responders}")
        stores = MemoryEntryStore(self.redis), MemoryWeightsStore(self.redis)
        responder = Responder(exchange, *stores, EMBEDDER, self.settings(), ResponderMetrics())
        for _ in range(6):
            responder.step()
        return responder

    def ask(self, *queries: Query, responder: Responder | None = None) -> list[Reply]:
        """The replies of a responder; of a new one, if none is given."""
        answering = responder or self.responder()
        records = [Record("queries", 0, i, 0, None, query.encode()) for i, query in enumerate(queries)]
        replies = answering._serving.current.replies.answer(
            [pending_of(record, 1.0, 0.0, 0.0) for record in records]
        )
        if responder is None:
            answering.close()
        answers = [Answer.decode(reply.value) for reply in replies]
        return [Reply.of(a, query.text) for a, query in zip(answers, queries, strict=True)]

    def held(self, responder: Responder, context: str = "default") -> set[str]:
        """The names of the entries of a context that a responder holds."""
        index = responder._serving.current.memory.index(context)
        return {self._name(*each) for each in self.taught if index.find(each) is not None}

    def stored(self) -> set[str]:
        """The names of all entries that are not erased."""
        shards = self.redis.data.shards.items()
        return {self._name(number, entry.offset) for number, shard in shards for entry in shard.entries()}

    def _name(self, shard: int, position: int) -> str:
        return Places.of(self.store.topics(), "texts").whole_name((shard, position))

    def replay(self, reply: Reply, today: bool = False) -> Replayed:
        asked = from_line(reply.encode())
        assert isinstance(asked, Asked), asked
        return self.again(asked, today)

    def again(self, asked: Asked, today: bool = False, **topics: Any) -> Replayed:
        stores = MemoryEntryStore(self.redis), MemoryWeightsStore(self.redis)
        stores[0].open(EMBEDDER.identity)
        world = World(*stores, EMBEDDER, self.settings(), **topics)
        return ask_today(asked, world) if today else ask_again(asked, world)


def what(missing: Iterable[Missing]) -> list[str]:
    return [each.what for each in missing]
