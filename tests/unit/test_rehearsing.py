"""Between questions a responder learns from the context's own pairs; another one takes what it published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from hurnet_schemas import Query
from hurnet_stream.core.rule import rehearsal as rehearsal_module
from hurnet_stream.core.rule.mix import PRIOR
from hurnet_stream.errors import RedisFailing, Unreadable
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import PublishedMix
from hurnet_stream.responder import rehearsing
from hurnet_stream.responder.responder import Responder
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.responder import World, turn

PAIRS = [
    (f"{verb} the {what} in the {room}", f"{verb} {what}")
    for verb in ("switch on", "turn off", "dim")
    for what in ("lights", "fan", "heating")
    for room in ("kitchen", "attic", "garage", "hall")
]


@pytest.fixture(autouse=True)
def without_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds that take all the time they can get."""
    for name in ("REST", "REST_AT_FIRST", "MIX_INTERVAL_S", "BUSY_S"):
        monkeypatch.setattr(rehearsing, name, 0)


def taught(pairs: list[tuple[str, str]] = PAIRS) -> World:
    world = World()
    world.teach(*pairs)
    return world


def until(responder: Responder, holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        turn(responder)
    raise AssertionError("it never came to that")


def store(world: World) -> MemoryWeightsStore:
    return MemoryWeightsStore(world.redis)


def test_a_context_learns_its_mix_and_the_receipt_names_it() -> None:
    world = taught()
    responder = world.responder()
    until(responder, lambda: bool(store(world).mix_versions()))
    (context,) = store(world).mix_versions()
    published = store(world).mix(context)
    assert published is not None
    assert published.rows == len(PAIRS)
    assert published.mix.rehearsed == {"once": 0, "few": len(PAIRS), "many": 0}
    assert published.mix.right.keys() == {"few"}
    world.ask(Query(text="switch on the lights in the cellar"))
    turn(responder, 3)
    answer = world.answers()[-1]
    assert answer.receipt is not None
    mix = answer.receipt.mix
    assert mix is not None
    assert mix.version == 1


def test_it_learns_again_once_a_fiftieth_has_changed_and_not_before() -> None:
    world = taught()
    responder = world.responder()
    until(responder, lambda: bool(store(world).mix_versions()))
    (context,) = store(world).mix_versions()
    turn(responder, 2 * len(PAIRS))
    assert store(world).mix_versions() == {context: 1}
    world.teach(("open the garage door", "open door"))
    until(responder, lambda: store(world).mix_versions()[context] == 2)


def test_another_responder_takes_what_was_published_and_learns_nothing_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = taught()
    until(world.responder(), lambda: bool(store(world).mix_versions()))
    (context,) = store(world).mix_versions()
    other = world.responder("two")

    def unwanted(*_: object) -> None:
        raise AssertionError("a round was begun")

    monkeypatch.setattr(rehearsing, "Rehearsal", unwanted)
    turn(other, 20)
    assert other._memory.mix(context).version == 1


def test_who_comes_second_takes_the_first_one_s_mix() -> None:
    world = taught()
    responder = world.responder()
    turn(responder, 5)  # a round is under way
    mix = replace(PRIOR, version=1, few=replace(PRIOR.few, meaning=0.5))
    context = next(iter(responder._memory.rows()))
    store(world).publish_mix(PublishedMix(context, mix, len(PAIRS), {}, 0))
    turn(responder, 5 * len(PAIRS))
    assert store(world).mix_versions() == {context: 1}
    assert responder._memory.mix(context).few.meaning == 0.5


def test_a_pair_that_can_not_be_rehearsed_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, failed = rehearsal_module.rehearse, list[tuple[int, int]]()

    def poisoned(pair: tuple[int, int], *rest: object, **named: object) -> object:
        if pair == (0, 7) and not failed:
            failed.append(pair)
            raise ZeroDivisionError
        return real(pair, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(rehearsal_module, "rehearse", poisoned)
    world = taught()
    until(world.responder(), lambda: bool(store(world).mix_versions()))
    (context,) = store(world).mix_versions()
    published = store(world).mix(context)
    assert failed
    assert published is not None
    assert published.mix.rehearsed["few"] == len(PAIRS) - 1


def test_the_mix_of_a_context_that_is_gone_is_forgotten() -> None:
    world = taught()
    responder = world.responder()
    until(responder, lambda: bool(store(world).mix_versions()))
    store(world).publish_mix(PublishedMix("gone", replace(PRIOR, version=1), 40, {}, 0))
    turn(responder, 10)
    assert store(world).mix("gone") is None
    assert store(world).mix_versions() == {"default": 1, "gone": 2}


def test_the_mix_of_a_context_whose_entries_are_still_to_come_stays() -> None:
    world = taught()
    responder = world.responder()
    until(responder, lambda: bool(store(world).mix_versions()))
    ahead = {0: world.store.state(0).watermark + len(PAIRS)}
    store(world).publish_mix(PublishedMix("new", replace(PRIOR, version=1), len(PAIRS), ahead, 0))
    turn(responder, 10)
    assert store(world).mix("new") is not None
    world.teach(*PAIRS, context="new")
    turn(responder, 10)
    assert responder._memory.mix("new").version == 1
    assert store(world).mix_versions() == {"default": 1, "new": 1}


def test_a_mix_that_should_not_have_been_withdrawn_is_learned_again() -> None:
    world = taught()
    responder = world.responder()
    until(responder, lambda: bool(store(world).mix_versions()))
    store(world).withdraw_mix("default", 2)
    turn(responder, 1)
    assert responder._memory.mix("default") is PRIOR
    until(responder, lambda: store(world).mix("default") is not None)
    assert store(world).mix_versions() == {"default": 3}


def test_a_context_of_the_same_name_begins_anew() -> None:
    world = taught()
    responder, other = world.responder(), world.responder("two")
    until(responder, lambda: bool(store(world).mix_versions()))
    until(other, lambda: other._memory.mix("default").version == 1)
    world.delete(range(len(PAIRS)))
    until(responder, lambda: store(world).mix("default") is None)
    assert responder._memory.mix("default") is PRIOR
    world.teach(*PAIRS)
    until(responder, lambda: store(world).mix("default") is not None)
    turn(other)  # it has not looked at the store in all this time
    assert responder._memory.mix("default").version == other._memory.mix("default").version == 3


def test_a_store_that_lost_its_last_versions_is_asked_for_all() -> None:
    world = taught()
    responder = world.responder()
    until(responder, lambda: responder._memory.mix("default").version == 1)
    other = replace(PRIOR, version=1, few=replace(PRIOR.few, meaning=0.5))
    world.redis.data.mixes["default"] = PublishedMix("default", other, len(PAIRS), {}, 0)
    world.redis.incarnation = "another"
    turn(responder)
    assert responder._memory.mix("default").few.meaning == 0.5


def test_a_context_without_a_mix_comes_before_one_that_changes_all_the_time() -> None:
    world = taught()
    responder = world.responder()
    until(responder, lambda: responder._memory.mix("default").version == 1)
    for _ in range(2):  # 72 changes of 36 rows are more than can ever be new in another context
        first = world.store.state(0).watermark + 1
        world.teach(*PAIRS)
        world.delete(range(first, first + len(PAIRS)))
    world.teach(*PAIRS, context="new", partition=1)
    until(responder, lambda: len(store(world).mix_versions()) == 2)
    assert store(world).mix_versions() == {"default": 1, "new": 1}


def test_few_entries_are_not_rehearsed() -> None:
    world = taught(PAIRS[:20])
    responder = world.responder()
    turn(responder, 60)
    assert not store(world).mix_versions()


def test_a_mix_that_can_not_be_published_now_is_published_later(monkeypatch: pytest.MonkeyPatch) -> None:
    world = taught()
    responder = world.responder()
    real, refused = MemoryWeightsStore.publish_mix, list[PublishedMix]()

    def away_twice(self: MemoryWeightsStore, mix: PublishedMix) -> None:
        if len(refused) < 2:
            refused.append(mix)
            raise RedisFailing("away")
        real(self, mix)

    monkeypatch.setattr(MemoryWeightsStore, "publish_mix", away_twice)
    until(responder, lambda: bool(store(world).mix_versions()))
    published = store(world).mix("default")
    assert published is not None
    assert published.mix == refused[0].mix == refused[1].mix
    world.ask(Query(text="switch on the lights in the cellar"))
    turn(responder, 3)
    assert len(world.answers()) == 1


def test_a_store_that_is_away_when_versions_are_looked_for_stops_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = taught()
    responder = world.responder()
    until(responder, lambda: responder._memory.mix("default").version == 1)
    real, failed = MemoryWeightsStore.mix_versions, list[bool]()

    def away_once(self: MemoryWeightsStore) -> Mapping[str, int]:
        if not failed:
            failed.append(True)
            raise RedisFailing("away")
        return real(self)

    monkeypatch.setattr(MemoryWeightsStore, "mix_versions", away_once)
    world.ask(Query(text="switch on the lights in the cellar"))
    turn(responder, 4)
    assert failed
    assert len(world.answers()) == 1
    assert responder._memory.mix("default").version == 1


def test_a_damaged_mix_is_refused_and_the_last_good_one_counts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world = taught()
    responder = world.responder()
    until(responder, lambda: responder._memory.mix("default").version == 1)
    asked = list[str]()

    def damaged(_: MemoryWeightsStore, context: str) -> PublishedMix:
        asked.append(context)
        raise Unreadable("damaged")

    world.redis.data.mix_versions["default"] = 2
    with monkeypatch.context() as patched:
        patched.setattr(MemoryWeightsStore, "mix", damaged)
        turn(responder, 5)
    assert asked == ["default"]
    assert responder._memory.mix("default").version == 1
    world.teach(("open the garage door", "open door"))
    until(responder, lambda: responder._memory.mix("default").version == 3)


def test_metrics_show_the_kinds_of_the_mix_in_force_alone() -> None:
    metrics = ResponderMetrics()
    metrics.mix_in_force("faq", 1, 5.0, {"few": 0.5, "many": 0.9})
    metrics.mix_in_force("faq", 2, 6.0, {"many": 0.8})
    shown = {
        sample.labels["kind"]: sample.value
        for family in metrics.rehearsed_right.collect()
        for sample in family.samples
    }
    assert shown == {"many": 0.8}
    published = "hurnet_mix_published_timestamp_seconds"
    assert metrics.registry.get_sample_value(published, {"context": "faq"}) == 6.0
    metrics.no_mix_in_force("faq")
    assert metrics.registry.get_sample_value(published, {"context": "faq"}) is None
