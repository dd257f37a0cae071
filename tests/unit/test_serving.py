"""A responder that holds two generations answers by the one that it is told, from one turn to the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import pytest

from hurnet_schemas import Query
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.core.stored.generations import Generation, Generations
from hurnet_stream.errors import StoreError, StoreReplaced
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import Appended, Presence
from hurnet_stream.ports.generations import Step
from hurnet_stream.responder import serving as serving_module
from hurnet_stream.responder.generation import LoadedGeneration
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import ResponderSettings, Settings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.redis import MemoryRedis
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.responder import EMBEDDER, PAIRS, World, turn

NEW = HashedText(64)


@dataclass
class Known:
    """`GenerationsStore` in memory."""

    value: Generations = field(default_factory=lambda: Generations.first(EMBEDDER.identity))

    def read(self) -> Generations | None:
        return self.value

    def change(self, step: Step) -> Generations:
        self.value = step(self.value)
        return self.value


@dataclass
class Said:
    """`ResponderPresence` in memory."""

    said: dict[str, Presence] = field(default_factory=dict)

    def say(self, instance: str, holds: Collection[int], serving: int) -> None:
        self.said[instance] = Presence(frozenset(holds), serving)

    def leave(self, instance: str) -> None:
        self.said.pop(instance, None)

    def present(self) -> Mapping[str, Presence]:
        return self.said


class Both(World):
    """A world with a second store, whose texts another embedder saw."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.known, self.said, self.second = Known(), Said(), MemoryRedis()
        self.failing: Exception | None = None
        store = MemoryEntryStore(self.second)
        store.open(NEW.identity)
        entries = [Entry(i, 0, "default", text, answer) for i, (text, answer) in enumerate(PAIRS)]
        batch = Batch(0, len(PAIRS) - 1, entries, NEW.embed([text for text, _ in PAIRS]))
        assert isinstance(store.append(batch, -1), Appended)
        self.teach(*PAIRS)

    def both(self) -> Responder:
        self.metrics = ResponderMetrics()
        self.exchange = MemoryExchange(self.kafka, "queries", "responders", "one")
        chosen = ResponderSettings.model_validate({"poll": 0, "threshold": 0.3, "instance": "one"})
        self.settings = Settings(responder=chosen)
        stores = MemoryEntryStore(self.redis), MemoryWeightsStore(self.redis)
        made = Responder(self.exchange, *stores, EMBEDDER, self.settings, self.metrics)
        return made.choosing_by(self.known, self.load, self.said, 0)

    def load(self, generation: Generation, metrics: HoldingMetrics) -> LoadedGeneration:
        if self.failing:
            raise self.failing
        store = MemoryEntryStore(self.second)
        weights = MemoryWeightsStore(self.second)
        made = LoadedGeneration(store, weights, NEW, self.exchange, self.settings, metrics)
        return made.numbered(generation.number)

    def answered_by(self) -> list[str]:
        """The embedder of each receipt, in order."""
        return [answer.receipt.embedder for answer in self.answers() if answer.receipt]


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Both:
    monkeypatch.setattr(serving_module, "SAY_S", 0.0)
    monkeypatch.setattr(serving_module, "RETRY_S", 0.0)
    return Both()


def until(responder: Responder, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if holds():
            return
        responder.step()
        time.sleep(0.001)  # the thread that loads must have its turn
    raise AssertionError("it never came about")


def begin(both: Both) -> Generations:
    return both.known.change(lambda known: known.begun(NEW.identity))


def cut_over(both: Both, number: int = 1) -> None:
    both.known.change(lambda known: known.cut_over(number))


def loaded(both: Both, number: int = 1) -> bool:
    return "one" in both.said.said and number in both.said.said["one"].holds


def test_a_cut_over_and_back_take_effect_from_one_question_to_the_next(both: Both) -> None:
    responder = both.both()
    turn(responder)
    begin(both)
    until(responder, lambda: loaded(both))
    expected: list[str] = []
    for number in (0, 1, 0, 1, 1, 0):
        cut_over(both, number)
        both.ask(Query(text=PAIRS[0][0]))
        until(responder, lambda: len(both.answers()) > len(expected))
        expected.append(NEW.identity.name if number else EMBEDDER.identity.name)

    assert both.answered_by() == expected
    assert [answer.answer for answer in both.answers()] == [PAIRS[0][1]] * 6
    assert both.said.said["one"].serving == 0


def test_what_is_not_loaded_yet_does_not_answer(both: Both) -> None:
    both.failing = StoreError("no such store")
    responder = both.both()
    turn(responder)
    begin(both)
    cut_over(both)
    both.ask(Query(text=PAIRS[0][0]))
    turn(responder)

    assert both.answered_by() == [EMBEDDER.identity.name]
    assert any("not loaded yet" in reason for reason in responder.unready())
    assert b"hurnet_generation_awaited 1.0" in both.metrics.exposition()

    both.failing = None
    until(responder, lambda: responder._serving.current.number == 1)
    both.ask(Query(text=PAIRS[0][0]))
    turn(responder)
    assert both.answered_by()[1:] == [NEW.identity.name]
    assert not any("not loaded yet" in reason for reason in responder.unready())
    assert b"hurnet_generation_awaited 0.0" in both.metrics.exposition()


def test_the_metrics_show_what_answers(both: Both) -> None:
    both.solve()
    responder = both.both()
    begin(both)
    until(responder, lambda: loaded(both))
    shown = both.metrics.exposition().decode()
    assert f'embedder="{EMBEDDER.identity.name}"' in shown
    assert 'hurnet_weights_version{context="default"} 1.0' in shown

    cut_over(both)
    turn(responder)

    shown = both.metrics.exposition().decode()
    assert f'embedder="{NEW.identity.name}"' in shown
    assert "hurnet_weights_version{" not in shown, "there are no weights for the second one"

    cut_over(both, 0)
    turn(responder)
    assert 'hurnet_weights_version{context="default"} 1.0' in both.metrics.exposition().decode()


def test_a_generation_that_is_dropped_is_let_go_of(both: Both) -> None:
    responder = both.both()
    begin(both)
    until(responder, lambda: loaded(both))
    both.known.change(lambda known: known.without(1))
    both.ask(Query(text=PAIRS[0][0]))
    turn(responder)

    assert responder._serving.standby is None
    assert both.answered_by() == [EMBEDDER.identity.name]


def test_a_generation_that_fails_while_it_stands_by_stops_nothing(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    responder = both.both()
    begin(both)
    until(responder, lambda: loaded(both))
    standby = responder._serving.standby
    assert standby

    def replaced(*_: object) -> None:
        raise StoreReplaced("begun anew")

    monkeypatch.setattr(standby.store, "tail", replaced)
    both.ask(Query(text=PAIRS[0][0]))
    turn(responder, 2)

    assert both.answered_by() == [EMBEDDER.identity.name]
    until(responder, lambda: responder._serving.standby not in (None, standby))


def test_a_responder_that_ends_is_waited_for_no_longer(both: Both) -> None:
    responder = both.both()
    turn(responder)
    assert both.said.said
    responder.drain()
    assert not both.said.said
    responder.close()
