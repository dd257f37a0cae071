"""A second generation is filled from the first, whatever is in that, and wherever the follower is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.adapters.redis import (
    RedisCopyNotes,
    RedisEntryStore,
    RedisGenerations,
    RedisLeaseStore,
    RedisWeightsStore,
    connect,
    connect_serving,
    connect_to,
)
from hurnet_stream.adapters.redis.keys import Keys
from hurnet_stream.core.stored.batch import Deletion, LogIdentity, key_digest
from hurnet_stream.errors import StoreError
from hurnet_stream.metrics.migrate import MigrateMetrics
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.migrate.follower import Follower
from hurnet_stream.ports import Appended
from hurnet_stream.settings.settings import Settings, SolveSettings
from hurnet_stream.solver import solver as solving
from hurnet_stream.solver.solver import Solver
from tests.contract.stores import RedisStores
from tests.worlds.generations import UNKNOWN, Killed, Life, Mortal, Teacher, held

OLD, NEW = HashedText(64), HashedText(128)


class World:
    """Two generations on a real Valkey."""

    def __init__(self, stores: RedisStores, stack: ExitStack) -> None:
        self.settings = stores.settings
        self.client = stores.client
        self.keys = Keys(f"{stores.settings.prefix}@1", stores.keys.cluster)
        self._stack = stack
        self.first = self.open(0)
        self.first.open(OLD.identity)
        self.first.bind(LogIdentity("cluster", "topic"))
        self.teacher = Teacher(self.first, OLD)
        self.second = self.open(1)

    def open(self, number: int) -> RedisEntryStore:
        store = RedisEntryStore(connect_to(self.settings, number))
        self._stack.callback(store.close)
        return store

    def follower(self, life: Life | None = None) -> Follower:
        def mortal(inner: Any) -> Any:
            return Mortal(inner, life) if life else inner

        source, target = connect_to(self.settings, 0), connect_to(self.settings, 1)
        self._stack.callback(source.close)
        self._stack.callback(target.close)
        notes = RedisCopyNotes(source, target)
        stores = mortal(RedisEntryStore(source)), mortal(RedisEntryStore(target)), mortal(notes)
        return Follower(*stores, NEW, RedisLeaseStore(target), MigrateMetrics())

    def solver(self, number: int = 0) -> Solver:
        connection = connect_to(self.settings, number)
        self._stack.callback(connection.close)
        solve = SolveSettings.model_validate({"interval": 0, "checkpoint_interval": 0, "keep_deletions": 0})
        stores = (
            RedisEntryStore(connection),
            RedisWeightsStore(connection),
            RedisLeaseStore(connection),
        )
        return Solver(*stores, Settings(solve=solve), SolverMetrics())

    def copied(self) -> Follower:
        """All of the first generation is in the second."""
        follower = self.follower()
        until_caught_up(follower)
        follower.drain()
        return follower

    def check(self) -> None:
        """The second generation holds what the first one holds, except for what its embedder rejects."""
        first, second = held(self.first), held(self.second)
        unknown = {at for at, (entry, _) in first.items() if entry.text == UNKNOWN}
        assert second.keys() == first.keys() - unknown
        assert all(second[at][0] == first[at][0] for at in second)
        texts = [entry.text for entry, _ in second.values()]
        assert [vector for _, vector in second.values()] == [row.tobytes() for row in NEW.embed(texts)]
        left_out = {key.decode() for key in self.client.hkeys(self.keys.left_out)}
        assert left_out == {f"{shard}/{offset}" for shard, offset in unknown}
        marks = {p: state.watermark for p, state in self.first.states().items()}
        assert {p: state.watermark for p, state in self.second.states().items()} == marks
        assert self.second.log() == self.first.log()


def until_caught_up(follower: Follower) -> None:
    follower.step()
    while not follower.caught_up:
        follower.step()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solvers that compact in each turn, and wait for nothing."""
    monkeypatch.setattr(solving, "COMPACT_S", 0.0)
    monkeypatch.setattr(solving, "WAIT_S", 0.01)


@pytest.fixture
def world(redis_stores: RedisStores) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(redis_stores, stack)
        for key in redis_stores.client.scan_iter(f"{redis_stores.settings.prefix}@*", count=1_000):
            redis_stores.client.delete(key)


def test_everything_that_a_store_holds_is_copied(world: World) -> None:
    for partition in (0, 3, 65_536):
        world.teacher.everything(partition)

    world.copied()

    world.check()


def test_what_comes_later_follows(world: World) -> None:
    world.teacher.everything()
    world.copied()
    world.teacher.everything(1)
    world.teacher.everything(0)

    world.copied()

    world.check()


def test_a_deletion_of_thousands_of_entries_is_repeated_page_by_page(world: World) -> None:
    for _ in range(5):
        world.teacher.teach(700, context="big")
    world.teacher.teach(3)
    world.teacher.delete(context="big")
    world.teacher.teach(3)

    world.copied()

    world.check()
    assert "big" not in {entry.context for entry, _ in held(world.second).values()}


@pytest.mark.parametrize("late", [False, True])
def test_a_follower_that_is_killed_at_any_call_loses_and_doubles_nothing(world: World, late: bool) -> None:
    world.teacher.everything(0)
    world.teacher.everything(1)
    calls = 0
    while True:
        # Each one lives for a call longer, and goes on where the one before ended.
        follower = None
        try:
            follower = world.follower(Life(calls, late))
            until_caught_up(follower)
            break
        except Killed:
            calls += 1
        finally:
            if follower:
                follower.drain()
        if calls in (9, 14):  # the store goes on meanwhile
            world.teacher.everything(calls % 2)

    assert calls > 15
    world.check()


@pytest.mark.parametrize("before", [True, False])
def test_deletions_find_what_was_copied_by_its_key(world: World, before: bool) -> None:
    """Whether the entry was there before the copy began, or came later."""
    if not before:
        world.teacher.teach(1)
        world.copied()
    world.teacher.everything()
    world.copied()

    for store in (world.first, world.second):  # as ingest would, once it fills the second one
        for number in range(7):
            at = store.state(0).watermark
            deletion = Deletion(at + 1, 0, key=key_digest(b"%d" % number))
            assert isinstance(store.delete(0, deletion, at), Appended)

    known = {at for at, (entry, _) in held(world.first).items() if entry.text != UNKNOWN}
    assert held(world.second).keys() == known
    assert {entry.offset % 3 for entry, _ in held(world.second).values()} == {0}


@pytest.mark.usefixtures("quick")
def test_deletions_stay_in_the_first_store_until_they_are_copied(world: World) -> None:
    world.first.ask_to_compact({})
    world.teacher.everything()
    world.copied()
    ended = world.first.state(0).watermark
    world.teacher.everything()
    solver = world.solver()
    for _ in range(12):
        solver.step()

    assert world.first.state(0).floor == ended
    world.copied()
    world.check()

    for _ in range(12):
        solver.step()
    solver.drain()
    assert world.first.state(0).floor > ended


@pytest.mark.usefixtures("quick")
def test_a_compacted_store_is_copied(world: World) -> None:
    world.teacher.everything()
    solver = world.solver()
    solver.step()
    world.first.ask_to_compact({0: world.first.state(0).watermark})
    for _ in range(12):
        solver.step()
    solver.drain()
    assert world.first.state(0).floor > 0

    world.copied()

    world.check()


def test_whoever_else_fills_the_second_store_takes_nothing_from_the_follower(world: World) -> None:
    """Ingest begins with the second generation while the follower still runs."""
    world.teacher.everything()
    follower = world.follower()
    until_caught_up(follower)
    Teacher(world.second, NEW, seed=1).teach(10)
    ahead = held(world.second)
    world.teacher.teach(1)

    for _ in range(3):
        follower.step()

    assert held(world.second) == ahead


def test_a_second_follower_stands_by(world: World) -> None:
    world.teacher.everything()
    one, two = world.follower(), world.follower()

    one.step()
    two.step()

    assert one.leads
    assert not two.leads
    assert "standing by" in two.standing()


def test_the_generations_change_in_one_step_and_only_as_they_may(world: World) -> None:
    generations = RedisGenerations(connect(world.settings))
    assert generations.read() is None

    begun = generations.change(lambda known: known.begun(NEW.identity, "new"))
    again = RedisGenerations(connect(world.settings)).change(lambda known: known.begun(NEW.identity))

    assert again == begun == generations.read()
    assert (begun.serving, begun.filling) == (0, 0)
    with closing(connect_serving(world.settings)) as serving:
        assert serving.prefix == world.settings.prefix
    refused: list[Callable[[], object]] = [
        lambda: generations.change(lambda known: known.filled(1)),
        lambda: generations.change(lambda known: known.without(0)),
        lambda: generations.change(lambda known: known.begun(HashedText(32).identity)),
        lambda: generations.change(lambda known: known.cut_over(2)),
    ]
    for step in refused:
        with pytest.raises(ValueError, match=r"generation|answer|drop"):
            step()
    assert generations.change(lambda known: known.cut_over(1)).serving == 1
    assert generations.change(lambda known: known.filled(1).without(0)).of(0) is None


def test_without_a_store_there_is_nothing_to_fill_another_from(redis_stores: RedisStores) -> None:
    generations = RedisGenerations(connect(redis_stores.settings))

    with pytest.raises(StoreError, match="nothing to fill"):
        generations.change(lambda known: known.begun(NEW.identity))
