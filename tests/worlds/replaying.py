"""A store with a solver and responders, whose answers are asked again later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hurnet_schemas import Answer, Query
from hurnet_schemas.reply import Reply
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.stored.batch import Batch, Deletion, Entry
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.operations.again.again import ask_again, ask_today
from hurnet_stream.operations.again.asked import Asked, Missing, from_line
from hurnet_stream.operations.again.replayed import Replayed, World
from hurnet_stream.ports import Appended, Record, Unfinished
from hurnet_stream.responder.pending import pending_of
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import ResponderSettings, Settings, SolveSettings
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
    responders: int = 0
    kafka: MemoryKafka = field(default_factory=MemoryKafka)
    redis: MemoryRedis = field(default_factory=MemoryRedis)

    def __post_init__(self) -> None:
        for topic in ("queries", "answers", "dead-letters"):
            self.kafka.create(topic, partitions=1)
        self.store = MemoryEntryStore(self.redis)
        self.store.open(EMBEDDER.identity)

    def teach(self, *pairs: tuple[str, str | None], partition: int = 0, **of_all: object) -> None:
        """Append pairs. `of_all`: copies, context, timestamp_ms and metadata of each."""
        watermark = self.store.state(partition).watermark
        context, copies = str(of_all.get("context", "default")), int(str(of_all.get("copies", 1)))
        metadata: Mapping[str, str] = of_all.get("metadata", {})  # type: ignore[assignment]
        at = int(str(of_all.get("timestamp_ms", 0)))
        entries = [
            Entry(watermark + 1 + i, at, context, text, answer, metadata, copies)
            for i, (text, answer) in enumerate(pairs)
        ]
        vectors = EMBEDDER.embed([text for text, _ in pairs])
        batch = Batch(partition, watermark + len(entries), entries, vectors)
        assert isinstance(self.store.append(batch, watermark), Appended)

    def forget(self, *offsets: int, partition: int = 0) -> None:
        self._delete(partition, targets=offsets)

    def drop(self, context: str, partition: int = 0) -> None:
        self._delete(partition, context=context)

    def _delete(self, partition: int, targets: Iterable[int] = (), context: str | None = None) -> None:
        watermark = self.store.state(partition).watermark
        deletion = Deletion(watermark + 1, 0, targets=tuple(targets), context=context)
        while isinstance(self.store.delete(partition, deletion, watermark), Unfinished):
            pass

    def settings(self) -> Settings:
        return Settings(
            solve=SolveSettings(
                interval=0, checkpoint_interval=0, device="cpu", half_life=self.half_life, keep_deletions=0
            ),
            responder=ResponderSettings(poll=0, threshold=0.3),
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

    def replay(self, reply: Reply, today: bool = False) -> Replayed:
        asked = from_line(reply.encode())
        assert isinstance(asked, Asked), asked
        stores = MemoryEntryStore(self.redis), MemoryWeightsStore(self.redis)
        stores[0].open(EMBEDDER.identity)
        world = World(*stores, EMBEDDER, self.settings())
        return ask_today(asked, world) if today else ask_again(asked, world)


def what(missing: Iterable[Missing]) -> list[str]:
    return [each.what for each in missing]
