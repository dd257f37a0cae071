"""Who leads, for how long, and what solvers do that take longer than their lease."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.solve.weights import Weights
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import NOTHING, Batch
from hurnet_stream.errors import Superseded, TransientError
from hurnet_stream.ports import Checkpoint, PublishedWeights
from hurnet_stream.runtime.leading import Leading
from hurnet_stream.solver import portions, publishing
from hurnet_stream.solver import solver as solver_module
from hurnet_stream.solver.portions import interleaved, split
from hurnet_stream.solver.solver import Solver
from hurnet_stream.solver.unsolved import Unsolved
from tests.acceptance.system import wait_for
from tests.memory.lease_store import MemoryLeaseStore
from tests.memory.redis import MemoryRedis
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.solver import World, pairs

LEASE = 2.4
"""The threads of a busy machine may be late by half of it."""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "WAIT_S", 0.01)


def leading(redis: MemoryRedis, owner: str, patience: float = 60.0) -> Leading:
    return Leading(MemoryLeaseStore(redis), "solver", owner, LEASE, patience)


def test_while_a_piece_of_work_takes_long_the_lease_is_kept_and_told() -> None:
    server, beats = MemoryRedis(), list[float]()
    first, second = leading(server, "first"), leading(server, "second")
    first.beat = lambda: beats.append(time.monotonic())
    assert first.leads()
    with first.at_work():
        for _ in range(12):
            time.sleep(LEASE / 5)
            assert not second.leads()
    assert len(beats) > 3
    assert first.leads()
    time.sleep(LEASE * 1.5)
    assert second.leads()  # nobody keeps it between pieces
    assert not first.leads()
    assert first.holder == "second"


def test_work_that_hangs_loses_the_lease_when_patience_ends() -> None:
    server, beats = MemoryRedis(), list[float]()
    first, second = leading(server, "first", patience=2 * LEASE), leading(server, "second")
    first.beat = lambda: beats.append(time.monotonic())
    assert first.leads()
    began = time.monotonic()
    with first.at_work():
        while not second.leads():
            assert time.monotonic() - began < 120
            time.sleep(0.01)
    assert time.monotonic() - began > 2 * LEASE
    assert max(beats) - began < 4 * LEASE
    assert not first.leads()


def test_work_that_gets_on_keeps_the_lease_for_longer_than_its_patience() -> None:
    server = MemoryRedis()
    first, second = leading(server, "first", patience=2 * LEASE), leading(server, "second")
    assert first.leads()
    with first.at_work():
        for _ in range(15):
            time.sleep(LEASE / 5)
            first.note_progress()
            assert not second.leads()


class Unreachable(MemoryLeaseStore):
    """For some time."""

    away = False

    def acquire(self, role: str, owner: str, ttl_s: float) -> str:
        if self.away:
            raise TransientError("the store is away")
        return super().acquire(role, owner, ttl_s)


def test_a_lease_that_can_t_be_renewed_for_a_moment_is_tried_again() -> None:
    server = MemoryRedis()
    store = Unreachable(server)
    first = Leading(store, "solver", "first", 2 * LEASE, 60.0)
    assert first.leads()
    with first.at_work():
        store.away = True
        time.sleep(LEASE)
        store.away = False
        time.sleep(1.6 * LEASE)
        assert not leading(server, "second").leads()


def test_no_thread_outlives_the_work() -> None:
    first = leading(MemoryRedis(), "first")
    assert first.leads()
    for _ in range(20):
        with first.at_work():
            pass
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


@contextmanager
def slow_solves(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[Counter[str]]:
    """Solves that take so long; gives how often each context was published."""
    published: Counter[str] = Counter()
    publish = MemoryWeightsStore.publish

    def slow(statistics: Statistics, *how: object, **more: object) -> Weights:
        time.sleep(seconds)
        return solve(statistics, *how, **more)  # type: ignore[arg-type]

    def counted(self: MemoryWeightsStore, weights: PublishedWeights) -> None:
        publish(self, weights)
        published[weights.context] += 1

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "solve_with", slow)
        patch.setattr(MemoryWeightsStore, "publish", counted)
        yield published


def of_many_contexts(count: int) -> World:
    world = World()
    for i in range(count):
        world.append(*pairs(i, i + 1), context=f"c{i:02d}")
    return world


def test_two_solvers_don_t_take_the_role_from_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """All contexts take seven times the lease to be solved, and one of them longer than the lease."""
    world, ended, lease = of_many_contexts(5), Counter[str](), LEASE
    until = time.monotonic() + 120

    def run(name: str) -> None:
        """As under a supervisor that starts it again."""
        while time.monotonic() < until and len(world.redis.data.weights) < 5:
            one = world.solver(lease=lease, interval=0)
            try:
                while time.monotonic() < until and len(world.redis.data.weights) < 5:
                    one.step()
            except Superseded:
                ended[name] += 1

    with slow_solves(monkeypatch, 1.4 * lease) as published:
        threads = [threading.Thread(target=run, args=[name]) for name in "AB"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not ended
    assert len(published) == 5
    assert max(published.values()) <= 2  # the one standing by may take over once the other has ended


def test_a_step_solves_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "STEP_S", 0.05)
    world = of_many_contexts(6)
    solver = world.solver(interval=0)
    with slow_solves(monkeypatch, 0.06) as published:
        for done in range(1, 7):
            solver.step()
            assert len(published) == done


def test_solvers_that_don_t_live_long_get_through_all_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each publishes two of them and is killed."""
    monkeypatch.setattr(portions, "STEP_S", 0.0)
    world = of_many_contexts(6)
    for _ in range(6):
        world.redis.data.leases.clear()
        solver = world.solver(interval=0, checkpoint_interval=0)
        before = sum(world.redis.data.versions.values())
        while sum(world.redis.data.versions.values()) < before + 2:
            solver.step()
        time.sleep(0.002)  # so that it shows which were published first
    assert world.redis.data.versions == {f"c{i:02d}": 2 for i in range(6)}


def test_a_step_folds_in_for_a_bounded_time_and_forgets_no_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "STEP_S", 0.0)
    monkeypatch.setattr(portions, "PORTION_ROWS", 1)
    world = World()
    for first in range(0, 40, 4):
        world.append(*pairs(first, first + 2), partition=0)
        world.append(*pairs(first + 2, first + 4), partition=1)
    solver = world.solver(interval=3600)
    for step in range(1, 21):
        solver.step()
        assert solver._tenure is not None
        assert solver._tenure.checkpoint.statistics["default"].count == 2 * step
        rows = [shard.rows for shard in solver._tenure.checkpoint.shards.values()]
        assert max(rows) - min([*rows, 0] if len(rows) == 1 else rows) <= 2
    assert solver._tenure is not None
    assert solver._tenure.checkpoint.statistics["default"].digest() == world.clean().digest()


def test_what_was_read_and_not_folded_in_is_read_again_after_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(portions, "STEP_S", 0.0)
    monkeypatch.setattr(portions, "PORTION_ROWS", 1)
    world = World()
    for first in range(0, 20, 2):
        world.append(*pairs(first, first + 2))
    solver = world.solver(interval=3600)
    for step in range(40):
        if step % 5 == 3:
            solver._tenure = None  # as after a reply that was lost
        solver.step()
    assert world.redis.data.checkpoint.statistics["default"].digest() == world.clean().digest()


class Slow(MemoryWeightsStore):
    """Loading and saving take twice the lease, in parts."""

    def load_checkpoint(self, dimension: int, features: str = "none") -> Checkpoint:
        self._take()
        return super().load_checkpoint(dimension, features)

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        self._take()
        super().save_checkpoint(checkpoint)

    def _take(self) -> None:
        for _ in range(10):
            time.sleep(LEASE / 5)
            self.on_progress()


def test_loading_and_saving_longer_than_the_lease_lose_no_role() -> None:
    world = World()
    world.append(*pairs(0, 9))
    first = with_store(world.solver(lease=LEASE, patience=LEASE), Slow(world.redis))
    second = world.solver(lease=LEASE)

    def three_steps() -> None:
        for _ in range(3):
            first.step()

    turns = threading.Thread(target=three_steps)
    turns.start()
    wait_for(lambda: world.redis.data.leases, what="the first leads")
    while turns.is_alive():
        second.step()
        assert "standing by" in second.standing()
    turns.join()
    assert world.redis.data.versions == {"default": 1}


def with_store(solver: Solver, weights: MemoryWeightsStore) -> Solver:
    weights.on_progress = solver._leading.note_progress
    solver._weights = solver._publisher._weights = weights
    return solver


def test_the_queue_is_fair_and_counts_pairs() -> None:
    queue = Unsolved(interval_s=3600, pairs_enough=10)
    queue.begin(["b", "a", "new"], {"a": 7, "b": 3})
    assert queue.due() is None
    queue.note("a", 6)
    assert queue.due() is None
    queue.note("late", 1)
    assert queue.due() == "new"  # its weights are the oldest: it has none
    queue.solved("new")
    assert queue.due() is None
    queue.note("late", 3)
    order = []
    queue = Unsolved(interval_s=0, pairs_enough=10)
    queue.begin(["b", "a"], {"a": 7, "b": 3})
    for _ in range(4):
        context = queue.due()
        assert context is not None
        order.append(context)
        queue.solved(context)
        queue.note("b", 1)
        queue.note("a", 1)
    assert order == ["b", "a", "b", "a"]


def test_batches_are_taken_in_turn_and_in_parts() -> None:
    world = World()
    for partition, count in ((0, 3), (1, 1), (2, 2)):
        for _ in range(count):
            world.append(*pairs(0, 2), partition=partition)
    batches: list[Batch] = list(world.store.tail({}, 9).batches)
    turns = [batch.partition for batch in interleaved(batches)]
    assert turns[:5] == [0, 1, 2, 0, 2]
    per_shard: dict[int, int] = dict.fromkeys(range(3), NOTHING)
    for batch in interleaved(batches):
        assert batch.watermark > per_shard[batch.partition]
        per_shard[batch.partition] = batch.watermark
    assert [len(part) for part in split(batches, 4)] == [2, len(batches) - 2]
    assert [len(part) for part in split(batches, 0)] == [1, len(batches) - 1]
    assert [len(part) for part in split(batches, 10**9)] == [len(batches), 0]
