"""Another number of partitions: whatever is written, and wherever the forwarder is killed, each text is there
once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from hurnet_schemas.places import Place
from hurnet_stream.core.offsets import parse_offsets
from hurnet_stream.core.places import Topics
from hurnet_stream.core.stored.batch import EmbedderIdentity
from hurnet_stream.core.stored.generations import Generation, Generations
from hurnet_stream.errors import ConfigurationError, RedisFailing, Undeliverable
from hurnet_stream.operations.resharding import behind, found_at, gone_from_kafka, others_gone
from hurnet_stream.places import NotRead, Places
from hurnet_stream.ports import FORWARDED, Committed, Outgoing, Record
from hurnet_stream.reshard.routing import ORIGIN
from hurnet_stream.responder.forwarded import Forwarded
from hurnet_stream.wiring import generations
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.history import MemoryHistory
from tests.worlds.generations import Killed, Life
from tests.worlds.reshard import EMBEDDER, NEW, OLD, World


class Trouble(Life):
    """Every so many calls one fails, before or after it is made in turn, until it is `over`."""

    def __init__(self, calls: int) -> None:
        super().__init__(10**9, False)
        self.over = False
        self._every = calls
        self._count = 0

    def call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            self._count += 1
            fails = not self.over and self._count % self._every == 0
            if fails and self._count // self._every % 2:
                raise RedisFailing("away")
            result = function(*arguments, **named)
            if fails:
                raise RedisFailing("away")
            return result

        return called


@pytest.mark.parametrize(("before", "after"), [(3, 7), (7, 2), (1, 4), (2, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_both_topics_come_to_the_same_texts(before: int, after: int, seed: int) -> None:
    world = World(before, after, seed)
    forwarder = world.forwarder()
    for _ in range(120):
        world.anything()
        if world.random.random() < 0.3:
            world.turn(OLD)
        if world.random.random() < 0.3:
            forwarder.step()
        if world.random.random() < 0.3:
            world.turn(NEW)
    world.settle(forwarder)
    assert world.said(NEW) == world.said(OLD)
    assert set(world.origins().values()) <= {1}, "each record once"


@pytest.mark.parametrize("late", [False, True], ids=["before a call", "after a call"])
def test_it_may_be_killed_at_any_point(late: bool) -> None:
    for calls in range(0, 60, 5):
        world = World(3, 5, calls)
        for _ in range(60):
            world.anything()
        world.turn(OLD, 12)
        for life in (calls, calls // 2 + 1, calls // 3 + 2):
            try:
                forwarder = world.forwarder(Life(life, late))
                for _ in range(6):
                    world.anything()
                    world.turn(OLD, 2)
                    forwarder.step()
            except Killed:
                pass
        world.settle(world.forwarder())
        assert world.said(NEW) == world.said(OLD)
        assert set(world.origins().values()) <= {1}


def test_servers_may_fail_at_any_point() -> None:
    for calls in range(1, 60, 4):
        world = World(3, 5, calls)
        forwarder = world.forwarder(life := Trouble(calls))
        for _ in range(25):
            world.anything()
            world.anything()
            world.turn(OLD, 2)
            with suppress(RedisFailing):
                forwarder.step()
        life.over = True
        world.settle(forwarder)
        assert world.said(NEW) == world.said(OLD)
        assert set(world.origins().values()) <= {1}


def test_a_record_keeps_key_value_time_and_headers_and_says_where_it_came_from() -> None:
    world = World()
    world.send(Outgoing(OLD, b'{"text": "hi"}', b"k", (("traceparent", b"x"),), 2, 1_700_000_000_000))
    world.settle(world.forwarder())
    (record,) = world.kafka.records(NEW)
    assert (record.key, record.value, record.timestamp_ms) == (b"k", b'{"text": "hi"}', 1_700_000_000_000)
    assert record.headers == (("traceparent", b"x"), (ORIGIN, b"texts/2/0"))


def test_texts_without_a_key_are_spread_evenly_and_those_of_hurnet_keep_their_partition() -> None:
    world = World(3, 7)
    for _ in range(70):
        world.text()
    world.text(b"hurnet-feedback/default/1")
    world.settle(world.forwarder())
    held = [[r for r in world.kafka.records(NEW) if r.partition == p and r.key is None] for p in range(7)]
    assert all(8 <= len(records) <= 12 for records in held)
    assert [r.partition for r in world.kafka.records(NEW) if r.key] == [0]


def test_nothing_is_forwarded_before_the_old_store_has_it_nor_what_that_rejects() -> None:
    world = World()
    world.send(Outgoing(OLD, b"nonsense", partition=0))
    world.text(partition=0)
    forwarder = world.forwarder()
    forwarder.step()
    forwarder.step()
    assert not world.kafka.records(NEW)
    world.settle(forwarder)
    assert list(world.origins()) == [b"texts/0/1"]


def test_a_text_that_the_new_topic_refuses_is_left_out_with_its_reason_and_stops_nothing() -> None:
    world = World(1, 2)
    world.text()
    world.send(Outgoing(OLD, b'{"text": "%s"}' % (b"x" * 900), partition=0))
    world.text()
    world.kafka.max_message_bytes[NEW] = 500
    world.settle(world.forwarder())
    assert sum(world.origins().values()) == 2
    ((place, why),) = world.notes.out.items()
    assert place == (0, 1)
    assert "too large" in why


def test_if_any_of_many_texts_may_be_what_is_refused_only_the_one_that_is_refused_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kafka does not always name it."""
    deliver = MemoryExchange.deliver

    def vague(exchange: MemoryExchange, messages: Sequence[Outgoing], *arguments: Any) -> bool:
        try:
            return deliver(exchange, messages, *arguments)
        except Undeliverable as error:
            raise Undeliverable(str(error), frozenset(range(len(messages)))) from error

    monkeypatch.setattr(MemoryExchange, "deliver", vague)
    world = World(1, 2)
    for number in range(20):
        if number == 7:
            world.send(Outgoing(OLD, b'{"text": "%s"}' % (b"x" * 900), partition=0))
        world.text()
    world.kafka.max_message_bytes[NEW] = 500
    world.settle(world.forwarder())
    assert sum(world.origins().values()) == 20
    assert list(world.notes.out) == [(0, 7)]


def test_a_topic_that_takes_nothing_ends_it_with_a_message() -> None:
    world = World()
    world.text(partition=0)
    world.turn(OLD, 4)
    world.kafka.forbidden.add(NEW)
    with pytest.raises(ConfigurationError, match="can't be forwarded"):
        world.settle(world.forwarder())


def test_texts_that_kafka_dropped_are_counted_refused_or_taken_from_the_store() -> None:
    world = World(2, 3)
    for _ in range(10):
        world.text(partition=0)
    world.send(Outgoing(OLD, None, b"x", (("forget", b"3"),), 0))
    world.turn(OLD, 12)
    world.kafka.delete_before(OLD, 0, 6)
    store = MemoryEntryStore(world.redis[OLD])
    store.open(EMBEDDER.identity)
    held = MemoryHistory(world.kafka, OLD).offset_ranges()
    assert gone_from_kafka(store, world.notes, held, {}) == 5
    assert gone_from_kafka(store, world.notes, held, {0: 2}) == 3, "two were forwarded before"
    assert gone_from_kafka(store, world.notes, held, {0: 9}) == 0
    assert others_gone(store, world.notes, held) == 0
    with pytest.raises(ConfigurationError, match="--from-store"):
        world.settle(world.forwarder())
    world.settle(world.forwarder(from_store=True))
    assert world.said(NEW) == world.said(OLD)
    assert sorted(world.origins()) == [b"texts/0/%d" % o for o in (0, 1, 2, 4, 5, 6, 7, 8, 9)]


def test_what_is_forwarded_is_noted_with_what_that_takes_of_the_new_topic() -> None:
    world = World(2, 3)
    for _ in range(6):
        world.text(partition=1)
    world.turn(OLD, 12)
    forwarder = world.forwarder()
    for _ in range(4):
        forwarder.step()
    old, new = (MemoryEntryStore(world.redis[topic]) for topic in (OLD, NEW))
    noted = new.progress(FORWARDED)[1]
    assert noted.offset == 6
    lasts = {p: max(r.offset for r in world.kafka.records(NEW) if r.partition == p) for p in range(3)}
    assert parse_offsets(noted.note) == lasts
    assert behind(old, new), "the new ingest has not taken it in"
    world.turn(NEW, 12)
    assert not behind(old, new)
    # Another process does not know what was noted, and finds it in the topic.
    new.remember_progress(FORWARDED, {1: Committed(0)})
    world.settle(world.forwarder())
    assert parse_offsets(new.progress(FORWARDED)[1].note) == lasts


def test_offsets_of_the_old_topic_are_seen_once_all_that_they_take_is_in_memory() -> None:
    world = World()
    store = MemoryEntryStore(world.redis[NEW])
    store.remember_progress(FORWARDED, {2: Committed(18, "0:40 3:52")})
    forwarded = Forwarded(store)
    forwarded.of("texts", "texts")
    assert forwarded.seen({0: 41, 3: 50}) == {}
    assert forwarded.seen({0: 41, 3: 52}) == {2: 17}
    forwarded.of("texts", "texts-7")
    assert forwarded.seen({0: 41, 3: 52}) == {"texts/2": 17}


def test_a_record_is_found_by_its_old_name() -> None:
    world = World()
    for _ in range(9):
        world.text(partition=1)
    world.settle(world.forwarder())
    found = found_at(MemoryHistory(world.kafka, NEW), Place(OLD, 1, 4), NEW)
    assert found
    records = {(r.partition, r.offset): r for r in world.kafka.records(NEW)}
    assert records[found.partition, found.offset].header(ORIGIN) == b"texts/1/4"
    assert found_at(MemoryHistory(world.kafka, NEW), Place(OLD, 1, 99), NEW) is None


ONE = EmbedderIdentity("hash8", "f", 8)


def test_generations_of_two_topics() -> None:
    first = Generations.first(ONE)
    both = first.resharded("texts-7", "texts")
    assert [(each.number, each.topic, each.origin) for each in both.members] == [
        (0, "texts", ""),
        (1, "texts-7", "texts"),
    ]
    assert both.resharded("texts-7", "texts") is both
    assert Generations.decode(both.encode()) == both
    assert b'"format":2' in both.encode()
    assert b'"format":1' in first.encode()
    assert b"topic" not in first.encode(), "as older programs know it"
    cut = both.cut_over(1)
    assert (cut.serving, cut.filling) == (1, 1)
    assert cut.cut_over(0) == both
    assert cut.without(0).members == (Generation(1, ONE, "", "texts-7", "texts"),)
    assert [both.label(each) for each in both.members] == ["texts", "texts-7"]
    for topic, texts in (("texts-9", "texts"), ("texts", "texts"), ("texts-9", "others")):
        with pytest.raises(ValueError, match=r"generations|topic"):
            both.resharded(topic, texts)


def test_each_worker_opens_the_generation_of_its_topic() -> None:
    both = Generations.first(EMBEDDER.identity).resharded("texts-7", "texts")
    name = EMBEDDER.identity.name
    assert [generations.to_fill(both, EMBEDDER, topic) for topic in ("texts", "texts-7")] == [0, 1]
    assert [generations.to_solve(both, name, topic) for topic in ("texts", "texts-7")] == [0, 1]
    assert [generations.ingest_group("g", both.of(n)) for n in (0, 1)] == ["g", "g-1"]
    with pytest.raises(ConfigurationError, match="HURNET_KAFKA_TEXTS must be texts-7"):
        generations.to_fill(both.cut_over(1).without(0), EMBEDDER, "texts")


def test_names_of_a_store_that_the_settings_do_not_mean_say_their_topic() -> None:
    places = Places.of(Topics({"tickets": 1}), "texts-7", "texts")
    assert places.name((2, 89)) == "texts-7/2/89"
    assert places.seen({2: 89}) == {"texts-7/2": 89}
    assert places.entry(Place("texts-7", 2, 89)) == (2, 89)
    with pytest.raises(NotRead):
        places.entry(Place(None, 2, 89))
    assert Places.of(Topics({}), "texts-7", "texts-7").name((2, 89)) == "2/89"


def test_origin_headers_of_others_name_nothing() -> None:
    route = World().forwarder()._route
    for value in (b"", b"nonsense", b"\xff", b"other/1/2", b"texts/1"):
        record = Record(NEW, 0, 5, 0, None, b"{}", ((ORIGIN, value),))
        assert route.place(record) is None
