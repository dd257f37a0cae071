"""Something is wrong with one topic: the others go on, and ingest says what it is."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from hurnet_schemas import TextEvent
from hurnet_stream.core.places import Topics
from hurnet_stream.errors import RegistryFailing, StoreGap
from hurnet_stream.ingest import stopped
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.ports import Outgoing, Readers, Record, Taught
from hurnet_stream.records import TextReader
from hurnet_stream.settings.settings import IngestSettings, Settings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.sink import MemorySink
from tests.memory.topics_source import MemoryTopicsSource
from tests.worlds.ingest import World, turn


@dataclass
class Away:
    """A reader whose registry is away while `away` says so."""

    away: bool = False
    inner: TextReader = field(default_factory=TextReader)

    def read(self, record: Record) -> Taught:
        if self.away:
            raise RegistryFailing("the registry does not answer")
        said = self.inner.read(record)
        assert isinstance(said, Taught)
        return said


class Topic(World):
    """A world with a second topic, `tickets`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kafka.create("tickets", partitions=2)
        self.reader = Away()

    def reading(self) -> Ingest:
        chosen = Settings(ingest=IngestSettings(poll=0, batch=4))
        store = MemoryEntryStore(self.redis)
        store.open(self.embedder.identity, writing=True)
        topics = Topics.of(store.number_topics({"tickets": ""})).with_texts("texts")
        source = MemoryTopicsSource(self.kafka, topics, "ingest")
        worker = Ingest(source, store, MemorySink(self.kafka), self.embedder, chosen, self.metrics)
        return worker.reading_by(Readers(TextReader(), {"tickets": self.reader}))

    def ticket(self, *texts: str) -> None:
        values = [TextEvent(text=text).encode() for text in texts]
        self.kafka.append([Outgoing("tickets", value, partition=0) for value in values])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Topic:
    monkeypatch.setattr(stopped, "AGAIN_S", 0.0)
    return Topic()


def test_both_topics_are_read(world: Topic) -> None:
    worker = world.reading()
    world.send(TextEvent(text="a text"))
    world.ticket("a ticket", "another one")
    turn(worker)
    assert sorted(world.texts()) == ["a text", "a ticket", "another one"]
    again = world.reading()
    worker.close()
    turn(again)
    assert len(world.texts()) == 3


def test_a_topic_made_anew_is_left_alone_and_the_texts_go_on(world: Topic) -> None:
    worker = world.reading()
    world.ticket("of the old one")
    turn(worker)
    world.kafka.create("tickets", partitions=2)
    world.ticket("of the new one", "and more", "and more")
    world.send(TextEvent(text="a text"))
    turn(worker)
    assert sorted(world.texts()) == ["a text", "of the old one"]
    assert [why for why in worker.unready() if "tickets was recreated" in why]


def test_a_registry_that_is_away_holds_up_its_topic_alone_and_loses_nothing(world: Topic) -> None:
    worker = world.reading()
    world.reader.away = True
    world.ticket(*(f"ticket {i}" for i in range(9)))
    world.send(*(TextEvent(text=f"text {i}") for i in range(9)))
    turn(worker)
    assert sorted(world.texts()) == [f"text {i}" for i in range(9)]
    assert worker.unready() == ["the registry does not answer"]
    world.reader.away = False
    turn(worker)
    assert sorted(world.texts()) == sorted(f"{what} {i}" for what in ("text", "ticket") for i in range(9))
    assert worker.unready() == []


def test_a_topic_that_lost_records_is_left_alone(world: Topic) -> None:
    worker = world.reading()
    world.ticket("first")
    turn(worker)
    worker.close()
    world.ticket("second", "third")
    world.kafka.delete_before("tickets", 0, 2)
    world.send(TextEvent(text="a text"))
    worker = world.reading()
    turn(worker)
    assert sorted(world.texts()) == ["a text", "first"]
    assert any("gone by retention" in why for why in worker.unready())


def test_the_topic_of_texts_ends_the_worker_as_ever(world: Topic) -> None:
    worker = world.reading()
    world.send(TextEvent(text="a text"))
    turn(worker)
    world.kafka.create("texts", partitions=2)
    with pytest.raises(StoreGap, match="topic of texts was recreated"):
        turn(worker)


def test_while_left_alone_it_is_not_tried_and_then_it_is() -> None:
    now = [0.0]
    topics = stopped.StoppedTopics(clock=lambda: now[0])
    topics.stop(1, "why")
    assert topics.left_alone([3, 65_536, 131_072]) == {65_536}
    now[0] = stopped.AGAIN_S
    assert topics.left_alone([65_536]) == frozenset()
    assert topics.unready() == ["why"]
    topics.go_on([65_536])
    assert topics.unready() == []
