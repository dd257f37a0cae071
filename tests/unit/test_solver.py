"""The solver over in-memory adapters: what it folds, checkpoints, publishes, and when it stands back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.solve.weights import Weights
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import NOTHING, Batch
from hurnet_stream.errors import ConfigurationError, Superseded
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.settings.settings import Settings
from hurnet_stream.solver import portions, publishing
from hurnet_stream.solver import solver as solver_module
from hurnet_stream.solver.solver import Solver
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.lease_store import MemoryLeaseStore
from tests.memory.redis import MemoryRedis
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.solver import EMBEDDER, World, pairs


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)


def test_it_folds_pairs_and_publishes_weights_with_a_certificate() -> None:
    world = World()
    world.append(*pairs(0, 20), ("no answer, no pair", None))
    world.solver().step()
    published = world.redis.data.weights["default"]
    expected = solve(world.clean(), 0.1, "cpu")
    np.testing.assert_array_equal(published.weights.projection, expected.projection)
    assert published.version == 1
    assert published.watermarks == {0: 20}
    assert published.weights.certificate.count == 20
    assert published.weights.certificate.seconds > 0


def test_it_says_by_which_path_it_sums() -> None:
    world = World()
    world.append(*pairs(0, 1))
    with capture_logs() as logs:
        world.solver().step()
    said = [line["sums_by"] for line in logs if line["event"] == "took over"]
    assert said == [Statistics(EMBEDDER.identity.dimension).path]


def test_the_checkpoint_comes_to_the_end_of_a_shard_that_ends_with_records_without_texts() -> None:
    """A dead letter, for instance: nothing is learned from it, and yet the solver is not behind."""
    world = World()
    world.append(*pairs(0, 3))
    solver = world.solver()
    solver.step()
    world.store.append(Batch(0, 5, [], EMBEDDER.embed([])), 2)
    solver.step()
    assert world.redis.data.checkpoint.shards[0].watermark == world.store.state(0).watermark == 5


def test_contexts_are_solved_apart() -> None:
    world = World()
    world.append(*pairs(0, 5), context="one")
    world.append(*pairs(5, 12), context="two")
    world.solver().step()
    counts = {c: w.weights.certificate.count for c, w in world.redis.data.weights.items()}
    assert counts == {"one": 5, "two": 7}


def test_nothing_is_published_without_pairs_or_without_news() -> None:
    world = World()
    world.append(("plain", None))
    solver = world.solver()
    solver.step()
    assert not world.redis.data.weights
    world.append(*pairs(0, 3))
    for _ in range(3):
        solver.step()
    assert world.redis.data.weights["default"].version == 1


def test_it_solves_as_soon_as_there_are_enough_rows() -> None:
    world = World()
    solver = world.solver(interval=3600, rows=10)
    world.append(*pairs(0, 9))
    solver.step()
    assert not world.redis.data.weights
    world.append(*pairs(9, 10))
    solver.step()
    assert world.redis.data.weights["default"].version == 1


def test_what_the_gate_refuses_leaves_the_old_weights_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.append(*pairs(0, 5))
    solver = world.solver()
    solver.step()
    good = world.redis.data.weights["default"]

    def broken(*_: object, **__: object) -> Weights:
        return replace(good.weights, projection=np.full_like(good.weights.projection, np.nan))

    monkeypatch.setattr(publishing, "solve_with", broken)
    world.append(*pairs(5, 9))
    solver.step()
    assert world.redis.data.weights["default"] is good

    def failing(*_: object, **__: object) -> Weights:
        raise np.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(publishing, "solve_with", failing)
    world.append(*pairs(9, 12))
    solver.step()
    assert world.redis.data.weights["default"] is good
    monkeypatch.undo()
    world.append(*pairs(12, 13))
    solver.step()
    assert world.redis.data.weights["default"].version == 2


@pytest.mark.parametrize("ridge", [0.1, 0.0, "gcv"])
def test_the_first_pair_of_a_context_stops_no_solver(ridge: object) -> None:
    world = World()
    world.append(("the very first", "a"), context="new")
    world.append(("the same", "a"), ("the same", "b"), context="equal")
    world.append(*pairs(0, 9), context="usual")
    solver = world.solver(ridge=ridge)
    for _ in range(3):
        solver.step()
    assert world.redis.data.weights.keys() == {"new", "equal", "usual"}


@pytest.mark.parametrize(
    "error",
    [ValueError("no spread"), OverflowError("too many"), MemoryError(), RuntimeError("CUDA error")],
)
def test_what_fails_in_the_solve_of_one_context_is_that_context_s_refusal(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    world = World()
    world.append(*pairs(0, 5), context="bad")
    world.append(*pairs(0, 9), context="good")

    def failing(statistics: Statistics, *how: object, **more: object) -> Weights:
        if statistics.count == 5:
            raise error
        return solve(statistics, *how, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(publishing, "solve_with", failing)
    solver = world.solver()
    with capture_logs() as logs:
        for _ in range(3):
            solver.step()
    assert world.redis.data.weights.keys() == {"good"}
    assert [line["context"] for line in logs if line["log_level"] == "error"] == ["bad"]


def test_figures_that_can_t_be_stored_are_the_context_s_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.append(*pairs(0, 5))

    def failing(self: MemoryWeightsStore, weights: object) -> None:
        raise ValueError("Out of range float values are not JSON compliant")

    monkeypatch.setattr(MemoryWeightsStore, "publish", failing)
    world.solver().step()
    monkeypatch.undo()
    world.append(*pairs(5, 6))
    world.redis.data.leases.clear()
    world.solver().step()
    assert world.redis.data.versions == {"default": 1}


def test_a_device_that_is_not_here_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigurationError, match="HURNET_SOLVE_DEVICE: there is no device 'cuda' here"):
        World().solver(device="cuda")


def test_a_restart_folds_nothing_twice() -> None:
    world = World()
    world.append(*pairs(0, 7))
    first = world.solver()
    first.step()
    first.drain()
    world.append(*pairs(7, 11))
    successor = world.solver()
    for _ in range(3):
        successor.step()
    assert world.redis.data.checkpoint.statistics["default"].digest() == world.clean().digest()
    assert world.redis.data.weights["default"].weights.certificate.count == 11


def test_a_second_solver_stands_by_and_takes_over() -> None:
    world = World()
    world.append(*pairs(0, 4))
    first, second = world.solver(lease=0.2), world.solver(lease=0.2)
    first.step()
    second.step()
    assert first.unready() == second.unready() == []  # else a roll-out of solvers would never end
    assert (first.standing(), second.standing()[:11]) == ("leading", "standing by")
    first.drain()  # a clean end lets go of the lease
    world.append(*pairs(4, 6))
    second.step()
    second.step()
    assert second.unready() == []
    assert world.redis.data.weights["default"].weights.certificate.count == 6


def test_a_solver_that_was_taken_over_from_must_stop() -> None:
    world = World()
    world.append(*pairs(0, 4))
    paused, usurper = world.solver(lease=3600), world.solver()
    paused.step()
    world.redis.data.leases.clear()  # it slept through its lease, and does not know
    usurper.step()
    world.append(*pairs(4, 8))
    with pytest.raises(Superseded):
        paused.step()
    assert world.redis.data.checkpoint.statistics["default"].count == 4


def test_changed_features_are_learned_again_from_the_first_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "READ_BATCHES", 1)
    world = World()
    for first in (0, 5, 10):
        world.append(*pairs(first, first + 5))
    before = world.solver()
    for _ in range(4):
        before.step()
    before.drain()
    version = world.redis.data.weights["default"].version
    after = world.solver(features="gaussian:256")
    seen = []
    for _ in range(5):
        after.step()
        seen.append(world.redis.data.weights["default"].weights.certificate.features)
    identity = KernelMap("gaussian:256", EMBEDDER.identity.dimension).identity
    # Nothing is published before all that the old weights know is known again.
    assert seen[:2] == ["none", "none"]
    assert seen[-1] == identity
    published = world.redis.data.weights["default"]
    assert published.version == version + 1
    assert published.weights.certificate.count == 15
    assert published.weights.projection.shape == (256, 256)
    after.drain()
    checkpoint = world.redis.data.checkpoint
    assert checkpoint.features == identity
    assert checkpoint.statistics["default"].digest() == world.clean(spec="gaussian:256").digest()
    again = world.solver(features="gaussian:256")
    again.step()
    assert world.redis.data.checkpoint.statistics["default"].count == 15


def test_it_waits_for_a_context_to_be_begun() -> None:
    server = MemoryRedis()
    stores = (MemoryEntryStore(server), MemoryWeightsStore(server), MemoryLeaseStore(server))
    solver = Solver(*stores, Settings(), SolverMetrics())
    solver.step()
    assert solver.unready() == ["waiting for a store"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_interleaving_of_appends_and_crashes_gives_the_statistics_of_a_clean_run(
    data: st.DataObject,
) -> None:
    world = World()
    solver: Solver | None = None
    sent = 0
    for _ in range(data.draw(st.integers(1, 20))):
        act = data.draw(st.sampled_from(["append", "append", "step", "step", "crash"]))
        if act == "append":
            count = data.draw(st.integers(1, 5))
            partition = data.draw(st.integers(0, 2))
            with_plain = [*pairs(sent, sent + count), (f"plain {sent}", None)]
            world.append(*with_plain, context=data.draw(st.sampled_from("ab")), partition=partition)
            sent += count
        elif act == "crash":
            world.redis.data.leases.clear()
            solver = None
        else:
            solver = solver or world.solver(
                checkpoint_interval=data.draw(st.sampled_from([0, 3600])), interval=3600
            )
            solver.step()
    world.redis.data.leases.clear()
    last = world.solver()
    for _ in range(3):
        last.step()
    for context in {entry.context for entry in world.sent}:
        assert world.redis.data.checkpoint.statistics[context].digest() == world.clean(context).digest()
    for partition, shard in world.redis.data.checkpoint.shards.items():
        assert shard.watermark == max(world.store.state(partition).watermark, NOTHING)
