"""Solvers that learn anew, or beside one another, while there are deletions: no statistics ever hold what a
clean context would not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.errors import Superseded, TransientError
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.settings.settings import PaperSettings, Settings, SolveSettings
from hurnet_stream.solver import portions
from hurnet_stream.solver import solver as solver_module
from hurnet_stream.solver.solver import Solver
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.lease_store import MemoryLeaseStore
from tests.memory.redis import MemoryRedis
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.deleting import CONTEXTS, DIMENSION, EMBEDDER, LosesSaves, World, turn


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)
    monkeypatch.setattr(portions, "READ_BATCHES", 1)


class Kind(NamedTuple):
    """What a solver learns."""

    features: str = "none"
    half_life: float = 0.0


KINDS = (Kind(), Kind("arccosine:256"), Kind(half_life=1e6), Kind(half_life=2e6))


class Killed(Exception):
    """The process is gone."""


class Interrupted(MemoryEntryStore):
    """Something happens before it erases, and it may be killed before or after."""

    def __init__(self, redis: MemoryRedis, meanwhile: Callable[[], object], dies: str = "") -> None:
        super().__init__(redis)
        self.meanwhile, self.dies = meanwhile, dies

    def erase(self, most: int, owner: str, stamp: str) -> int:
        self.meanwhile()
        if self.dies == "before":
            raise Killed
        left = super().erase(most, owner, stamp)
        if self.dies == "after":
            raise Killed
        return left


def nothing() -> None:
    """Happens."""


def solver(
    world: World,
    kind: Kind = KINDS[0],
    meanwhile: Callable[[], object] = nothing,
    dies: str = "",
    lossy: bool = False,
    checkpoint_interval: float = 0,
) -> Solver:
    """One that has the role to itself."""
    world.redis.data.leases.clear()
    chosen = SolveSettings(
        half_life=kind.half_life,
        interval=3600,
        checkpoint_interval=checkpoint_interval,
        device="cpu",
    )
    paper = PaperSettings(features=kind.features)
    weights = (LosesSaves if lossy else MemoryWeightsStore)(world.redis)
    store = Interrupted(world.redis, meanwhile, dies)
    return Solver(
        store, weights, MemoryLeaseStore(world.redis), Settings(solve=chosen, paper=paper), SolverMetrics()
    )


def clean(world: World, kind: Kind) -> Mapping[str, str]:
    """The digests of a context that never held what was deleted."""
    features, window = KernelMap(kind.features, DIMENSION), Window(round(kind.half_life * 1000))
    found: dict[str, Statistics] = {}
    for _, entry in world.left():
        key = window.key(entry.context, entry.timestamp_ms)
        if entry.answer is not None and key is not None:
            statistics = found.setdefault(key, Statistics(features.size))
            row = features(EMBEDDER.embed([entry.text])).repeat(entry.copies, axis=0)
            statistics.add(row, [entry.answer] * entry.copies)
    return {key: statistics.digest() for key, statistics in found.items()}


def finish(world: World, kind: Kind, last: Solver | None = None) -> None:
    """All there is to do is done, and nothing tells that anything was deleted."""
    last = last or solver(world, kind, checkpoint_interval=3600)
    turn(last, 60)  # much is folded in before the first save
    last.drain()
    for _ in range(500):
        turn(last)
        if world.settled():
            break
    assert world.settled()
    assert {key: s.digest() for key, s in world.statistics().items()} == clean(world, kind)


def with_a_deletion_left_to_erase(kind: Kind = KINDS[0]) -> World:
    """A solver has saved what covers a deletion, but whatever it tries to erase is left."""
    world = World()
    for i in range(12):
        world.send(f"text number {i}", f"answer {i % 3}", key=f"k{i % 4}")
    world.delete_key("k1")
    ingest = world.ingest()
    turn(ingest, 20)
    ingest.close()
    first = solver(world, kind, dies="before")
    for _ in range(20):
        try:
            turn(first)
        except Killed:
            continue
    assert world.redis.data.shards[0].pending
    assert world.redis.data.checkpoint.shards[0].watermark == 12
    return world


@pytest.mark.parametrize("kind", KINDS)
def test_a_solver_that_learns_anew_erases_nothing_before_it_has_saved(kind: Kind) -> None:
    finish(world := with_a_deletion_left_to_erase(), kind)
    assert MemoryEntryStore(world.redis).entry(0, 1) is None


def test_after_a_clock_that_was_ahead_nothing_is_erased_too_early() -> None:
    kind = Kind(half_life=1e6)
    world = with_a_deletion_left_to_erase(kind)
    world.redis.data.checkpoint.pane += 40
    finish(world, kind)


def test_a_lost_checkpoint_is_learned_anew_with_what_is_not_yet_erased() -> None:
    world = with_a_deletion_left_to_erase()
    world.redis.data.checkpoint.statistics.clear()
    world.redis.data.checkpoint.shards.clear()
    finish(world, KINDS[0])


def test_a_solver_that_slept_erases_nothing_of_what_its_successor_has_yet_to_unlearn() -> None:
    world = with_a_deletion_left_to_erase()
    kind, successors = KINDS[1], list[Solver]()

    def taken_over() -> None:
        if not successors:
            successors.append(solver(world, kind))
            turn(successors[0])

    sleeper = solver(world, meanwhile=taken_over)
    with pytest.raises(Superseded):
        turn(sleeper, 20)
    finish(world, kind, successors[0])


class Schedule:
    """Draws what happens next."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.world = World()
        self.kind = KINDS[0]
        self.ingest: Ingest | None = None
        self.solvers: list[Solver] = []
        self.sent = 0

    def send(self) -> None:
        for _ in range(self.data.draw(st.integers(1, 5))):
            self.world.send(
                f"text number {self.sent}",
                f"answer {self.sent % 3}",
                self.data.draw(st.sampled_from([None, "a", "b"])),
                context=self.data.draw(st.sampled_from(CONTEXTS)),
                partition=self.data.draw(st.integers(0, 1)),
                weight=self.data.draw(st.sampled_from([None, 9])),
            )
            self.sent += 1

    def delete(self) -> None:
        partition = self.data.draw(st.integers(0, 1))
        if self.data.draw(st.booleans()):
            self.world.delete_key(self.data.draw(st.sampled_from(["a", "b"])), partition)
        elif end := self.world.kafka.partition("texts", partition).end:
            self.world.delete_at(str(self.data.draw(st.integers(0, end - 1))), partition)

    def step_ingest(self) -> None:
        self.ingest = self.ingest or self.world.ingest(batch=2)
        turn(self.ingest, 3)

    def start_a_solver(self) -> None:
        self.solvers.append(
            solver(
                self.world,
                self.kind,
                meanwhile=self.perhaps_step_another,
                dies=self.data.draw(st.sampled_from(["", "", "before", "after"])),
                lossy=self.data.draw(st.booleans()),
                checkpoint_interval=self.data.draw(st.sampled_from([0, 3600])),
            )
        )

    def perhaps_step_another(self) -> None:
        if self.data.draw(st.booleans()):
            self.step_a_solver(nested=True)

    def step_a_solver(self, nested: bool = False) -> None:
        if nested:
            self.start_a_solver()
        if not self.solvers:
            self.start_a_solver()
        one = self.solvers[-1] if nested else self.data.draw(st.sampled_from(self.solvers))
        if self.data.draw(st.booleans()):
            self.world.redis.data.leases.clear()
        for _ in range(self.data.draw(st.integers(1, 3))):
            try:
                one.step()
            except TransientError:
                continue
            except (Superseded, Killed):
                self.solvers = [other for other in self.solvers if other is not one]
                return

    def change_what_is_learned(self) -> None:
        self.kind = self.data.draw(st.sampled_from(KINDS))
        self.solvers.clear()

    def lose_the_checkpoint(self) -> None:
        self.solvers.clear()
        self.world.redis.data.checkpoint.statistics.clear()
        self.world.redis.data.checkpoint.shards.clear()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_solvers_do_beside_one_another_digests_are_those_of_a_clean_context(
    data: st.DataObject,
) -> None:
    schedule = Schedule(data)
    acts = [
        *[schedule.send, schedule.delete, schedule.step_ingest, schedule.step_a_solver] * 3,
        *[schedule.start_a_solver, schedule.change_what_is_learned, schedule.lose_the_checkpoint],
    ]
    for act in data.draw(st.lists(st.sampled_from(acts), max_size=40)):
        act()
    ingest = schedule.ingest or schedule.world.ingest()
    turn(ingest, 40)
    ingest.close()
    finish(schedule.world, schedule.kind)
