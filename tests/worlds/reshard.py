"""A topic that is forwarded to another one, and an ingest and a store for each of them, in memory."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.stored.batch import Entry
from hurnet_stream.errors import TransientError
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.metrics.reshard import ReshardMetrics
from hurnet_stream.operations.resharding import key_of
from hurnet_stream.ports import Outgoing, Record
from hurnet_stream.records import CONTEXT, DROP, FORGET
from hurnet_stream.reshard.forwarder import Between, Forwarder
from hurnet_stream.reshard.routing import ORIGIN, Route
from hurnet_stream.settings.settings import IngestSettings, KafkaSettings, ReshardSettings, Settings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.history import MemoryHistory
from tests.memory.kafka import MemoryKafka
from tests.memory.redis import MemoryRedis
from tests.memory.sink import MemorySink
from tests.memory.source import MemorySource
from tests.worlds.generations import Life, Mortal, held

EMBEDDER = HashedText(16)
OLD, NEW = "texts", "texts-new"
KEYS = [None, None, b"a", b"b", b"c", b"hurnet-feedback/default/1"]


@dataclass
class MemoryForwardNotes:
    """`ForwardNotes` in memory."""

    redis: MemoryRedis
    followed: dict[int, int] = field(default_factory=dict)
    out: dict[tuple[int, int], str] = field(default_factory=dict)

    def follow(self, partition: int, done: int) -> None:
        self.followed[partition] = done

    def deleted(self, partition: int, first: int, last: int) -> frozenset[int]:
        shard = self.redis.data.shards.get(partition)
        return frozenset(o for o in shard.pending if first <= o <= last) if shard else frozenset()

    def leave_out(self, partition: int, reasons: Mapping[int, str]) -> None:
        self.out |= {(partition, offset): why for offset, why in reasons.items()}

    def left_out(self) -> int:
        return len(self.out)


class World:
    """A broker with two topics, two stores, an ingest for each, and a forwarder between the topics."""

    def __init__(self, before: int = 3, after: int = 7, seed: int = 0) -> None:
        self.kafka = MemoryKafka()
        for topic, partitions in ((OLD, before), (NEW, after), ("dead-letters", 1)):
            self.kafka.create(topic, partitions)
        self.before, self.after = before, after
        self.redis = {OLD: MemoryRedis(), NEW: MemoryRedis()}
        self.notes = MemoryForwardNotes(self.redis[OLD])
        self.metrics = ReshardMetrics()
        self.random = random.Random(seed)
        self.sent = 0
        self.instance = 0
        self.workers = {topic: self.ingest(topic) for topic in (OLD, NEW)}

    def ingest(self, topic: str) -> Ingest:
        chosen = Settings(
            ingest=IngestSettings.model_validate({"poll": 0, "batch": 8}), kafka=KafkaSettings(texts=topic)
        )
        source = MemorySource(self.kafka, topic, f"ingest-{topic}")
        store = MemoryEntryStore(self.redis[topic])
        return Ingest(source, store, MemorySink(self.kafka), EMBEDDER, chosen, IngestMetrics())

    def forwarder(self, life: Life | None = None, from_store: bool = False) -> Forwarder:
        """One that takes over from those before, which are gone."""

        def mortal(inner: Any) -> Any:
            return Mortal(inner, life) if life else inner

        chosen = ReshardSettings.model_validate({"poll": 0, "batch": 6, "instance": "one"})
        settings = Settings(reshard=chosen)
        group = self.kafka.group(OLD, "reshard")
        group.joined.clear()  # the killed one was evicted
        exchange = MemoryExchange(self.kafka, OLD, "reshard", "one")
        stores = [MemoryEntryStore(self.redis[topic]) for topic in (OLD, NEW)]
        for store in stores:
            store.open(EMBEDDER.identity)
        history = MemoryHistory(self.kafka, NEW)
        route = Route(OLD, NEW, self.after, key_of)
        between = Between(mortal(stores[0]), mortal(stores[1]), mortal(self.notes), mortal(history), route)
        return Forwarder(mortal(exchange), between, settings, self.metrics, from_store)

    def send(self, *messages: Outgoing) -> None:
        self.kafka.append(messages)

    def text(self, key: bytes | None = None, partition: int | None = None, context: str = "default") -> None:
        self.sent += 1
        event = TextEvent(text=f"text {self.sent}", answer=f"answer {self.sent % 4}", context=context)
        if partition is None and key is None:
            partition = self.random.randrange(self.before)
        if key is not None and key.startswith(b"hurnet-"):
            partition = 0
        self.send(Outgoing(OLD, event.encode(), key, partition=partition))

    def anything(self) -> None:
        """A text or a deletion of any kind, or nonsense."""
        choice, everywhere = self.random.random(), range(self.before)
        if choice < 0.6:
            self.text(self.random.choice(KEYS), context=self.random.choice(["default", "faq"]))
        elif choice < 0.7:
            p = self.random.randrange(self.before)
            if end := self.kafka.partition(OLD, p).end:
                target = b"%d" % self.random.randrange(end)
                self.send(Outgoing(OLD, None, b"x", ((FORGET, target),), p))
        elif choice < 0.8:
            key = self.random.choice([b"a", b"b", b"c"])
            self.send(*(Outgoing(OLD, None, key, ((CONTEXT, b"default"),), p) for p in everywhere))
        elif choice < 0.85:
            self.send(*(Outgoing(OLD, None, b"d", ((DROP, b"faq"),), p) for p in everywhere))
        elif choice < 0.9:
            self.send(Outgoing(OLD, None, b"hurnet-feedback/default/1", ((CONTEXT, b"default"),), 0))
        else:
            self.send(Outgoing(OLD, b"nonsense", partition=0))

    def turn(self, topic: str, times: int = 1) -> None:
        for _ in range(times):
            try:
                self.workers[topic].step()
            except TransientError:
                continue

    def settle(self, forwarder: Forwarder, most: int = 200) -> None:
        """Until everything that was sent is in both stores."""
        for _ in range(most):
            self.turn(OLD, 2)
            forwarder.step()
            self.turn(NEW, 2)
            if forwarder.caught_up and self._taken_in(OLD) and self._taken_in(NEW):
                return
        raise AssertionError("it does not settle")

    def _taken_in(self, topic: str) -> bool:
        states = MemoryEntryStore(self.redis[topic]).states()
        lasts = {r.partition: r.offset for r in self.kafka.records(topic)}
        return all(p in states and states[p].watermark >= last for p, last in lasts.items())

    def said(self, topic: str) -> Counter[tuple[Any, ...]]:
        """What a store holds, wherever it stands."""
        store = MemoryEntryStore(self.redis[topic])
        return Counter(_said(entry) for entry, _ in held(store).values())

    def origins(self) -> Counter[bytes]:
        """Of the texts in the new topic."""
        return Counter(_origin(record) for record in self.kafka.records(NEW) if record.value is not None)


def _said(entry: Entry) -> tuple[Any, ...]:
    return entry.context, entry.text, entry.answer, entry.copies, entry.timestamp_ms


def _origin(record: Record) -> bytes:
    return record.header(ORIGIN) or b""
