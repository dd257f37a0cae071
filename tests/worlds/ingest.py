"""A broker, a store, and ingest workers between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hurnet_schemas import DeadLetter, TextEvent
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.stored.batch import Entry
from hurnet_stream.errors import TransientError
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.ports import Embedder, Outgoing
from hurnet_stream.settings.settings import IngestSettings, Settings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.kafka import MemoryKafka
from tests.memory.redis import MemoryRedis
from tests.memory.sink import MemorySink
from tests.memory.source import MemorySource

EMBEDDER = HashedText(32)


@dataclass
class World:
    """A broker, a store, and ingest workers between them."""

    kafka: MemoryKafka = field(default_factory=MemoryKafka)
    redis: MemoryRedis = field(default_factory=MemoryRedis)
    embedder: Embedder = EMBEDDER
    metrics: IngestMetrics = field(default_factory=IngestMetrics)

    def __post_init__(self) -> None:
        for topic in ("texts", "dead-letters"):
            self.kafka.create(topic, partitions=2)

    def worker(self, **ingest: object) -> Ingest:
        chosen = Settings(ingest=IngestSettings.model_validate({"poll": 0, "batch": 4, **ingest}))
        source = MemorySource(self.kafka, "texts", "ingest")
        store = MemoryEntryStore(self.redis)
        return Ingest(source, store, MemorySink(self.kafka), self.embedder, chosen, self.metrics)

    def send(self, *values: TextEvent | bytes | None, partition: int = 0) -> None:
        raw = [v.encode() if isinstance(v, TextEvent) else v for v in values]
        self.kafka.append([Outgoing("texts", value, partition=partition) for value in raw])

    def delete(self, offset: int, partition: int = 0) -> None:
        headers = (("forget", b"%d" % offset),)
        self.kafka.append([Outgoing("texts", None, partition=partition, headers=headers)])

    def entries(self) -> list[Entry]:
        store = MemoryEntryStore(self.redis)
        return [entry for batch in store.tail({}, 10_000).batches for entry in batch.entries]

    def texts(self) -> list[str]:
        return [entry.text for entry in self.entries()]

    def dead_letters(self) -> list[DeadLetter]:
        letters = [DeadLetter.decode(record.value) for record in self.kafka.records("dead-letters")]
        return sorted(letters, key=lambda letter: (letter.partition, letter.offset))


def turn(worker: Ingest, times: int = 12) -> None:
    for _ in range(times):
        try:
            worker.step()
        except TransientError:
            continue


def numbered(first: int, end: int) -> list[TextEvent]:
    return [TextEvent(text=f"text number {i}") for i in range(first, end)]
