"""A broker, a store, and responders between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from hurnet_schemas import Answer, DeadLetter, Query
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Batch, Deletion, Entry
from hurnet_stream.errors import (
    TransientError,
)
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import Appended, Embedder, Headers, Outgoing, PublishedWeights
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import PaperSettings, ResponderSettings, Settings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.kafka import MemoryKafka
from tests.memory.redis import MemoryRedis
from tests.memory.weights_store import MemoryWeightsStore

EMBEDDER = HashedText(128)
PAIRS = [
    ("turn on the kitchen light", "on"),
    ("switch the lamp on please", "on"),
    ("turn off the kitchen light", "off"),
    ("what is the weather tomorrow", "weather"),
    ("will it rain tomorrow", "weather"),
]


@dataclass
class World:
    """A broker, a store, and responders between them."""

    kafka: MemoryKafka = field(default_factory=MemoryKafka)
    redis: MemoryRedis = field(default_factory=MemoryRedis)
    embedder: Embedder = EMBEDDER

    def __post_init__(self) -> None:
        for topic in ("queries", "answers", "answers-mine", "dead-letters"):
            self.kafka.create(topic, partitions=2)
        self.store = MemoryEntryStore(self.redis)
        self.store.open(EMBEDDER.identity)

    def teach(self, *pairs: tuple[str, str | None], context: str = "default", partition: int = 0) -> None:
        watermark = self.store.state(partition).watermark
        entries = [
            Entry(watermark + 1 + i, 0, context, t, a, {"n": str(i)}) for i, (t, a) in enumerate(pairs)
        ]
        vectors = EMBEDDER.embed([text for text, _ in pairs])
        batch = Batch(partition, watermark + len(entries), entries, vectors)
        assert isinstance(self.store.append(batch, watermark), Appended)

    def delete(self, offsets: Iterable[int], partition: int = 0) -> None:
        watermark = self.store.state(partition).watermark
        deletion = Deletion(watermark + 1, 0, targets=tuple(offsets))
        assert isinstance(self.store.delete(partition, deletion, watermark), Appended)

    def solve(self, spec: str = "none") -> None:
        features = KernelMap(spec, EMBEDDER.identity.dimension)
        statistics = Statistics(features.size)
        statistics.add(features(EMBEDDER.embed([t for t, _ in PAIRS])), [a for _, a in PAIRS])
        solved = solve(statistics, 0.1, "cpu")
        solved = replace(solved, certificate=replace(solved.certificate, features=features.identity))
        weights = MemoryWeightsStore(self.redis)
        weights.claim("test")
        version = weights.versions().get("default", 0) + 1
        weights.publish(PublishedWeights("default", version, solved, {0: len(PAIRS) - 1}, 0))

    def ask(self, *queries: Query | bytes, headers: Headers = (), partition: int = 0) -> None:
        raw = [q.encode() if isinstance(q, Query) else q for q in queries]
        self.kafka.append([Outgoing("queries", value, b"key", headers, partition) for value in raw])

    def responder(
        self, instance: str = "one", features: str = "none", p: float = 2.0, **responder: object
    ) -> Responder:
        chosen = ResponderSettings.model_validate(
            {"poll": 0, "threshold": 0.3, "instance": instance, **responder}
        )
        exchange = MemoryExchange(self.kafka, "queries", "responders", instance)
        stores = (MemoryEntryStore(self.redis), MemoryWeightsStore(self.redis))
        settings = Settings(responder=chosen, paper=PaperSettings(features=features, p=p))
        return Responder(exchange, *stores, self.embedder, settings, ResponderMetrics())

    def answers(self, topic: str = "answers") -> list[Answer]:
        return [Answer.decode(record.value) for record in self.kafka.records(topic)]

    def dead_letters(self) -> list[DeadLetter]:
        return [DeadLetter.decode(record.value) for record in self.kafka.records("dead-letters")]


def turn(responder: Responder, times: int = 6) -> None:
    for _ in range(times):
        try:
            responder.step()
        except TransientError:
            continue


def only(answers: list[Answer]) -> Answer:
    (answer,) = answers
    return answer
