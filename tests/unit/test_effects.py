"""Whoever corrects is told when it has taken effect, and one reader serves everybody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hurnet_stream.client import effects
from hurnet_stream.client.effects import Effects
from hurnet_stream.errors import HurnetError, KafkaFailing
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import wait_for
from tests.memory.kafka import MemoryKafka
from tests.memory.listener import MemoryListener
from tests.memory.sink import MemorySink


class World:
    def __init__(self) -> None:
        self.kafka = MemoryKafka()
        self.kafka.create("texts", partitions=2)
        self.listeners: list[MemoryListener] = []
        self.effects = Effects(self._listen)

    def _listen(self) -> MemoryListener:
        self.listeners.append(MemoryListener(self.kafka, "texts", [0]))
        return self.listeners[-1]

    def teach(self, source: str, partition: int = 0) -> int:
        headers = (("feedback", source.encode()),)
        messages = [Outgoing("texts", value, b"k", headers, partition) for value in (None, b"{}")]
        return MemorySink(self.kafka).send(messages)[-1][1]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.effects.close()


def test_many_wait_and_each_is_told_its_own(world: World) -> None:
    world.teach("feedback/0/0")
    world.effects.begin()
    futures = {n: world.effects.of(f"feedback/0/{n}") for n in range(1, 51)}
    again = world.effects.of("feedback/0/7")
    offsets = {n: world.teach(f"feedback/0/{n}") for n in reversed(range(1, 51))}
    for n, future in futures.items():
        assert future.result(20) == {0: offsets[n]}
    assert again.result(20) == {0: offsets[7]}
    assert world.effects.seen("feedback/0/7") == {0: offsets[7]}
    assert world.effects.seen("feedback/0/0") is None  # it was there before
    assert len(world.listeners) == 1


def test_an_effect_that_was_seen_before_anybody_asked_is_told(world: World) -> None:
    world.effects.begin()
    offset = world.teach("feedback/0/1")
    wait_for(lambda: world.effects.seen("feedback/0/1"))
    assert world.effects.of("feedback/0/1").result(0) == {0: offset}


def test_who_gives_up_leaves_nothing_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "REMEMBERED", 3)
    world.effects.begin()
    futures = [world.effects.of("feedback/0/1") for _ in range(3)]
    for future in futures:
        assert future.cancel()
    assert not world.effects._waiting
    for n in range(10):
        world.teach(f"feedback/0/{n}")
    wait_for(lambda: world.effects.seen("feedback/0/9"))
    assert len(world.effects._seen) == 3


def test_a_reader_that_nobody_wants_ends_and_begins_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "POLL_S", 0.01)
    monkeypatch.setattr(effects, "IDLE_S", 0.0)
    world.effects.begin()
    wait_for(lambda: world.listeners[0].closed)
    monkeypatch.setattr(effects, "IDLE_S", 60.0)
    world.effects.begin()
    future = world.effects.of("feedback/0/1")
    world.teach("feedback/0/1")
    assert future.result(20)
    assert len(world.listeners) == 2


def test_if_kafka_is_away_nobody_waits_in_vain(world: World) -> None:
    world.effects.begin()
    future = world.effects.of("feedback/0/1")
    world.kafka.away = True
    with pytest.raises(HurnetError, match="can't be seen"):
        future.result(20)
    wait_for(lambda: world.listeners[0].closed)
    with pytest.raises(KafkaFailing):
        world.effects.begin()
    world.kafka.away = False
    world.effects.begin()
    future = world.effects.of("feedback/0/1")
    world.teach("feedback/0/1")
    assert future.result(20)
