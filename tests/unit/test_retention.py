"""What leaves a context by itself: too old, or too many. It is deleted as if somebody had asked: exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hurnet_schemas import TextEvent
from hurnet_stream.core import places
from hurnet_stream.core.stored.batch import NOTHING, Batch, Entry, Expiry
from hurnet_stream.ingest import retention
from hurnet_stream.ingest.retention import Firsts, Retention, oldest_of
from hurnet_stream.ingest.shards import Shards
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.ports import Outgoing
from hurnet_stream.settings.settings import ContextSettings, Settings
from hurnet_stream.solver import solver as solver_module
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.sink import MemorySink
from tests.memory.source import MemorySource
from tests.worlds.deleting import DIMENSION, EMBEDDER, Follower, World, assert_never_seen, turn
from tests.worlds.verifying import whole

NOW_MS = 1_000_000


@pytest.fixture(autouse=True)
def _always_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVERY_S", 0.0)
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)


def teach(world: World, texts: Sequence[tuple[int, int]], context: str = "one") -> None:
    """(partition, age in seconds) of each text."""
    for number, (partition, age_s) in enumerate(texts):
        event = TextEvent(text=f"text number {number}", answer=f"answer {number % 3}", context=context)
        at = NOW_MS - 1000 * age_s
        world.kafka.append([Outgoing("texts", event.encode(), b"k", (), partition, at)])


def let_leave(world: World, keeps: Mapping[str, ContextSettings], now_ms: float = NOW_MS) -> None:
    """An ingest and a solver do all that there is to do."""
    ingest = world.ingest(contexts=keeps)
    ingest._retention.now_ms = lambda: now_ms
    turn(ingest, 30)
    ingest.close()
    world.take_in()


def held(world: World, context: str = "one") -> list[tuple[int, int]]:
    """(partition, age in seconds) of what the store has."""
    batches = MemoryEntryStore(world.redis).tail({}, 10_000).batches
    entries = [(b.partition, e) for b in batches for e in b.entries if e.context == context]
    return [(partition, (NOW_MS - entry.timestamp_ms) // 1000) for partition, entry in entries]


AGES = [(0, 90), (0, 80), (0, 10), (1, 70), (1, 95), (1, 5)]


def test_what_is_too_old_leaves_and_it_is_as_if_it_had_never_been_there() -> None:
    world = World()
    teach(world, AGES)
    teach(world, AGES, context="two")
    follower = Follower(world.redis)
    let_leave(world, {"one": ContextSettings(age=60)})
    assert held(world) == [(0, 10), (1, 5)]
    assert held(world, "two") == AGES
    while follower.is_behind():
        follower.step()
    follower.step()
    assert_never_seen(world, follower.memory)
    assert whole(world).equal


def test_more_leaves_as_time_passes_and_nothing_is_asked_for_twice() -> None:
    world = World()
    teach(world, [(0, age) for age in range(100, 0, -10)])
    ingest = world.ingest(batch=100, contexts={"one": ContextSettings(age=55)})
    for passed_s in (0, 0, 1, 20, 20, 45, 45):
        ingest._retention.now_ms = partial(float, NOW_MS + 1000 * passed_s)
        turn(ingest, 5)
    asked = [r for r in world.kafka.records("texts") if r.value is None]
    assert [r.header("through") for r in asked] == [b"4", b"6", b"8"]
    world.take_in()
    assert held(world) == [(0, 10)]


def test_one_that_came_late_leaves_with_those_before_it() -> None:
    world = World()
    teach(world, [(0, 10), (0, 90), (0, 5)])
    let_leave(world, {"one": ContextSettings(age=60)})
    assert held(world) == [(0, 10), (0, 5)]


def test_of_too_many_the_oldest_of_all_shards_leave() -> None:
    world = World()
    teach(world, AGES)
    let_leave(world, {"one": ContextSettings(rows=4)})
    assert held(world) == [(0, 80), (0, 10), (1, 70), (1, 5)]
    let_leave(world, {"one": ContextSettings(rows=4)})
    assert len(held(world)) == 4
    assert_never_seen(world)
    assert whole(world).equal


def test_of_too_many_of_one_time_the_first_ones_leave() -> None:
    world = World()
    teach(world, [(0, 7)] * 6 + [(1, 7)] * 6)
    let_leave(world, {"one": ContextSettings(rows=5)})
    assert held(world) == [(1, 7)] * 5
    assert whole(world).equal


def test_never_more_than_too_many_leave_while_other_deletions_are_not_erased_yet() -> None:
    world = World()
    teach(world, [(0, age) for age in range(20, 0, -1)])
    for offset in range(5):
        world.delete_at(str(offset))
    ingest = world.ingest(contexts={"one": ContextSettings(rows=10)})
    turn(ingest, 40)
    world.take_in()
    assert len(held(world)) == 10


def test_an_unfinished_look_goes_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LOOKED_AT", 3)
    world = World()
    teach(world, [(partition, age) for age in range(100, 60, -1) for partition in (0, 1)])
    for _ in range(20):
        let_leave(world, {"one": ContextSettings(rows=10)})
    assert held(world) == [(0, age) for age in range(65, 60, -1)] + [(1, age) for age in range(65, 60, -1)]


@settings(max_examples=60)
@example([(0, 0), (0, 0), (0, 1)], 0, 2)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), max_size=30),
    st.integers(0, 12),
    st.integers(0, 12),
)
def test_as_a_plain_reading_says(texts: list[tuple[int, int]], age: int, rows: int) -> None:
    """In any order of times nothing leaves that is young enough and among the newest, and all is exact."""
    world = World()
    teach(world, texts)
    before = held_after_take_in(world)
    let_leave(world, {"one": ContextSettings(age=age, rows=rows)})
    left = held(world)
    gone = list(before)
    for each in left:
        gone.remove(each)
    assert all((age and of_age > age) or rows for _, of_age in gone)
    if not age:
        assert len(left) == (min(rows, len(before)) if rows else len(before))
        assert not gone or min(a for _, a in gone) >= max((a for _, a in left), default=0)
    assert whole(world).equal
    assert_never_seen(world)


def held_after_take_in(world: World) -> list[tuple[int, int]]:
    world.take_in()
    return held(world)


def entry(offset: int, timestamp_ms: int) -> Entry:
    return Entry(offset, timestamp_ms, "one", "t")


def test_the_oldest_of_several_shards() -> None:
    firsts = {0: [entry(0, 5), entry(3, 7), entry(4, 9)], 1: [entry(2, 6), entry(8, 8)]}
    assert oldest_of(Firsts(firsts, set()), 2) == {0: Expiry(7, 0), 1: Expiry(7, 2)}
    same = {0: [entry(0, 5), entry(1, 5)], 1: [entry(0, 6)]}
    assert oldest_of(Firsts(same, set()), 1) == {0: Expiry(6, 0)}
    # What comes behind 7 in shard 0 may be as old as 7.
    cut = {0: [entry(0, 5), entry(3, 7)], 1: [entry(2, 6), entry(8, 8)]}
    assert oldest_of(Firsts(cut, {0}), 3) == {0: Expiry(7, 0), 1: Expiry(7, 2)}
    assert oldest_of(Firsts({}, set()), 3) == {}
    ancient = {0: [entry(0, -3), entry(1, -9), entry(2, 5)]}
    assert oldest_of(Firsts(ancient, set()), 1) == {0: Expiry(1, 0)}


SHARD = places.shard_of(1, 0)


class Foreign:
    """A shard of a topic that is not ours to write to, as an ingest sees it."""

    def __init__(self, keep: ContextSettings) -> None:
        self.world = World()
        self.store = MemoryEntryStore(self.world.redis)
        self.store.open(EMBEDDER.identity)
        source = MemorySource(self.world.kafka, "texts", "ingest")
        self.shards = Shards(source, self.store, DIMENSION)
        chosen = Settings(contexts={"one": keep})
        sink = MemorySink(self.world.kafka)
        self.retention = Retention(self.store, sink, self.shards, chosen, IngestMetrics())
        self.retention.now_ms = lambda: NOW_MS
        self.watermark = NOTHING

    def teach(self, offset: int, age_s: int) -> None:
        at = places.first_position(SHARD, offset)
        entries = [Entry(at, NOW_MS - 1000 * age_s, "one", f"text {offset}", "a")]
        vectors = EMBEDDER.embed([e.text for e in entries])
        watermark = places.last_position(SHARD, offset)
        self.store.append(Batch(SHARD, watermark, entries, vectors), self.watermark)
        self.reached(watermark)

    def reached(self, watermark: int) -> None:
        self.watermark = watermark
        self.shards.reached(SHARD, watermark)

    def offsets(self) -> list[int]:
        return [places.offset_of(SHARD, e.offset) for e in self.store.oldest(SHARD, "one", NOTHING, 10_000)]


def test_in_another_topic_it_leaves_without_a_record() -> None:
    foreign = Foreign(ContextSettings(age=60))
    for offset, age_s in enumerate((90, 80, 10)):
        foreign.teach(offset, age_s)
    foreign.retention.step()
    assert foreign.offsets() == [2]
    assert foreign.shards.watermark(SHARD) == places.last_position(SHARD, 2) + 1
    assert not list(foreign.world.kafka.records("texts"))
    foreign.watermark = foreign.shards.watermark(SHARD)
    foreign.teach(3, 5)
    assert foreign.offsets() == [2, 3]


def test_the_free_positions_of_another_topic_last_for_years(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry leaves each minute, and no record comes any more."""
    monkeypatch.setattr(retention, "EVERY_S", 5.0)
    clock = [1e9]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    foreign, minutes = Foreign(ContextSettings(age=60)), 6 * 60
    for minute in range(minutes):
        foreign.teach(minute, -60 * minute)
    first = foreign.shards.watermark(SHARD)
    for minute in range(minutes):
        foreign.retention.now_ms = partial(float, NOW_MS + 60_000 * minute)
        clock[0] += 60
        foreign.retention.step()
    assert foreign.shards.watermark(SHARD) - first < 240
    clock[0] += 24 * 3600
    foreign.retention.now_ms = lambda: NOW_MS + 60_000 * (minutes + 10)
    foreign.retention.step()
    assert foreign.offsets() == []


def test_a_shard_that_another_worker_has_moved_is_placed_anew() -> None:
    foreign = Foreign(ContextSettings(age=60))
    foreign.teach(0, 90)
    foreign.shards.reached(SHARD, foreign.watermark - 1)
    foreign.retention.step()
    assert foreign.offsets() == [0]
