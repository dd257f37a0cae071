"""A store with a solver and responders, whose answers are asked again later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hurnet_schemas import Query
from hurnet_schemas.reply import Reply
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.stored.batch import Batch, Deletion, Entry
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.operations.again.again import Replayed, World, ask_again, ask_today
from hurnet_stream.operations.again.asked import Asked, Missing, from_line
from hurnet_stream.ports import Appended, Outgoing, Unfinished
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
    """The world. `half_life` is in seconds."""

    half_life: float = 0.0
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
        solver = Solver(MemoryEntryStore(self.redis), weights, leases, self.settings(), SolverMetrics())
        for _ in range(turns):
            solver.step()

    def responder(self) -> Responder:
        exchange = MemoryExchange(self.kafka, "queries", "responders", "one")
        stores = MemoryEntryStore(self.redis), MemoryWeightsStore(self.redis)
        responder = Responder(exchange, *stores, EMBEDDER, self.settings(), ResponderMetrics())
        for _ in range(6):
            responder.step()
        return responder

    def ask(self, *queries: Query, responder: Responder | None = None) -> list[Reply]:
        """The replies of a responder; of a new one, if none is given."""
        answering, before = responder or self.responder(), len(self.kafka.records("answers"))
        self.kafka.append([Outgoing("queries", q.encode(), None, (), 0) for q in queries])
        for _ in range(6):
            answering.step()
        records = self.kafka.records("answers")[before:]
        if responder is None:
            answering.close()
        replies = [Reply.decode(_with_question(record.value or b"", queries)) for record in records]
        assert len(replies) == len(queries)
        return replies

    def replay(self, reply: Reply, today: bool = False) -> Replayed:
        asked = from_line(reply.encode())
        assert isinstance(asked, Asked), asked
        stores = MemoryEntryStore(self.redis), MemoryWeightsStore(self.redis)
        stores[0].open(EMBEDDER.identity)
        world = World(*stores, EMBEDDER, self.settings())
        return ask_today(asked, world) if today else ask_again(asked, world)


def _with_question(raw: bytes, queries: Iterable[Query]) -> bytes:
    from hurnet_schemas import Answer

    answer = Answer.decode(raw)
    asked = next(query for query in queries if query.id == answer.id)
    return Reply.of(answer, asked.text).encode()


def what(missing: Iterable[Missing]) -> list[str]:
    return [each.what for each in missing]
