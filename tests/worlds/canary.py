"""A canary beside the workers of `deleting` and a responder, on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hurnet_schemas import Answer, Candidate, Coordinates, Query, Receipt, Scores
from hurnet_stream.canary.canary import Canary, StoreLooks
from hurnet_stream.metrics.canary import CanaryMetrics
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import Outgoing, Record
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import CanarySettings, ResponderSettings, Settings
from tests.memory.courier import Clock, MemoryCourier
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds import deleting

Step = Callable[[], object]
REPLIES = "answers-canary"


@dataclass
class World(deleting.World):
    """All topics, a canary's courier, and what it has measured."""

    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        super().__post_init__()
        for topic, partitions in (("queries", 2), ("answers", 1), (REPLIES, 1)):
            self.kafka.create(topic, partitions)
        self.metrics = CanaryMetrics()
        self.courier = MemoryCourier(self.kafka, REPLIES, self.clock)
        self.answered: set[str] = set()

    def canary(self, looks: StoreLooks | None = None, **settings: object) -> Canary:
        chosen = Settings(canary=CanarySettings.model_validate(settings))
        self.courier = MemoryCourier(self.kafka, REPLIES, self.clock)
        return Canary(self.courier, chosen, self.metrics, looks, self.clock, run=lambda call: call())

    def responder(self, wait: float = 5.0) -> Responder:
        chosen = Settings(responder=ResponderSettings(poll=0, wait=wait))
        exchange = MemoryExchange(self.kafka, "queries", "responder", "one")
        stores = MemoryEntryStore(self.redis), MemoryWeightsStore(self.redis)
        return Responder(exchange, *stores, deleting.EMBEDDER, chosen, ResponderMetrics())

    def holds(self, partition: int, offset: int) -> bool:
        store = MemoryEntryStore(self.redis)
        return any(batch.entries for batch in store.stored_at(partition, [offset]))

    def run(self, seconds: float, canary: Canary, *others: Step) -> None:
        """Let the canary's clock go on by so many seconds, and all others work whenever it turns."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            canary.step()
            for other in others:
                other()

    def answering(self, reply: Callable[[Query, Record], list[bytes]], topic: str = REPLIES) -> Step:
        """A stand-in for the responder, which sends what `reply` makes of each question."""

        def step() -> None:
            for record in self.kafka.records("queries"):
                if record.coordinates in self.answered:
                    continue
                self.answered.add(record.coordinates)
                headers = (("correlation-id", record.header("correlation-id")),)
                values = reply(Query.decode(record.value), record)
                self.kafka.append([Outgoing(topic, value, None, headers) for value in values])

        return step

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"hurnet_canary_{name}", labels) or 0.0

    def outcomes(self, of: str = "probes_total") -> dict[str, float]:
        """Those that were counted at all."""
        family = f"hurnet_canary_{of}"
        samples = [each for metric in self.metrics.registry.collect() for each in metric.samples]
        return {s.labels["outcome"]: s.value for s in samples if s.name == family and s.value}


def right(query: Query, seen: int = 0) -> Answer:
    """The answer that a canary expects, with watermarks that are `seen` higher than they must be."""
    ((partition, offset),) = query.min_watermarks.items()
    scores = Scores(combined=1, meaning=1, spelling=1, memory=1, lexical=1, words=1)
    entry = Coordinates(partition=partition, offset=offset)
    candidate = Candidate(answer=query.text, scores=scores, entry=entry, text=query.text)
    receipt = Receipt(
        query="queries/0/0",
        context=query.context,
        rows=1,
        embedder="hash32",
        fingerprint="-",
        watermarks={partition: offset + seen} if offset + seen >= 0 else {},
        threshold=0.3,
        seconds=0.1,
    )
    return Answer(
        id=query.id or "", outcome="answered", answer=query.text, candidates=[candidate], receipt=receipt
    )
