"""Each slot of a cluster fails over alone, to an older state or not: what is deleted is unlearned and erased
all the same, and the statistics are those of a clean run. Rolled back by hand, in each of the stores."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.places import first_position, shard_of
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion, Entry
from hurnet_stream.errors import RolledBack, Superseded
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.settings.settings import Settings, SolveSettings
from hurnet_stream.solver import solver as solver_module
from hurnet_stream.solver.solver import Solver
from tests.contract.stores import MemoryStores, Stores

ON_A_CLUSTER_TOO = True
EMBEDDER = HashedText(16)
SHARD = 3
TAUGHT = [Entry(i, 0, "faq", f"question {i}", f"answer {i % 2}") for i in range(5)]
LATER = [Entry(6, 0, "faq", "question 6", "answer 0")]
DELETION = Deletion(5, 0, None, (1, 3))
MOMENTS = "begun", "learned", "deleted", "saved", "erased", "gone on"
SOME = ("learned", "erased"), ("gone on", "deleted"), ("saved", "begun"), ("begun", "gone on")
"""To which moments the solver's slot and the shard fall back, for stores that take their time."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)


def batch(entries: list[Entry]) -> Batch:
    return Batch(SHARD, entries[-1].offset, entries, EMBEDDER.embed([entry.text for entry in entries]))


def solver(stores: Stores) -> Solver:
    chosen = SolveSettings(interval=0, checkpoint_interval=0, device="cpu", lease=0.001)
    return Solver(
        stores.entry_store(), stores.weights(), stores.leases(), Settings(solve=chosen), SolverMetrics()
    )


def ingest(stores: Stores, upto: int = 6) -> None:
    """Bring what the log holds beyond the shard's watermark, as ingest does at its start."""
    store = stores.entry_store()
    store.open(EMBEDDER.identity, writing=True)
    watermark = store.state(SHARD).watermark
    if watermark < 4 <= upto:
        missing = [entry for entry in TAUGHT if entry.offset > watermark]
        watermark = store.append(batch(missing), watermark).state.watermark
    if watermark < DELETION.offset <= upto:
        watermark = store.delete(SHARD, DELETION, watermark).state.watermark
    if watermark < 6 <= upto:
        store.append(batch(LATER), watermark)


def work(a_solver: Solver, steps: int = 6) -> None:
    for _ in range(steps):
        a_solver.step()


def history(stores: Stores) -> dict[str, tuple[Any, Any]]:
    """The state of the solver's slot and of the shard's at each of the moments."""
    found: dict[str, tuple[Any, Any]] = {}

    def note(moment: str) -> None:
        found[moment] = (stores.snapshot_of(None), stores.snapshot_of(SHARD))

    ingest(stores, upto=4)
    note("begun")
    first = solver(stores)
    work(first)
    note("learned")
    ingest(stores, upto=5)
    note("deleted")
    store = first._store
    erase, store.erase = store.erase, lambda *_: 1  # type: ignore[method-assign]
    work(first)
    note("saved")
    store.erase = erase  # type: ignore[method-assign]
    work(first)
    note("erased")
    ingest(stores)
    work(first)
    note("gone on")
    return found


def expected() -> Statistics:
    kept = [entry for entry in (*TAUGHT, *LATER) if entry.offset not in DELETION.targets]
    statistics = Statistics(16)
    statistics.add(EMBEDDER.embed([e.text for e in kept]), [e.answer or "" for e in kept])
    return statistics


def test_wherever_each_slot_falls_back_to_the_end_is_the_same(stores: Stores) -> None:
    was = history(stores)
    for of_solver, of_shard in product(MOMENTS, MOMENTS) if isinstance(stores, MemoryStores) else SOME:
        stores.restore_of(None, was[of_solver][0])
        stores.restore_of(SHARD, was[of_shard][1])
        ingest(stores)
        work(solver(stores))
        where = f"the solver's slot at {of_solver!r}, the shard at {of_shard!r}"
        checkpoint = stores.weights().load_checkpoint(16)
        assert checkpoint.statistics["faq"].digest() == expected().digest(), where
        store = stores.entry_store()
        assert store.pending_erasures() == {SHARD: 0}, where
        held = [e.offset for found in store.stored_at(SHARD, range(7)) for e in found.entries]
        assert held == [0, 2, 4, 6], where


def test_a_solver_whose_fence_fell_back_saves_nothing_and_takes_over_anew(stores: Stores) -> None:
    ingest(stores, upto=4)
    work(solver(stores))
    before = stores.snapshot_of(SHARD)
    second = solver(stores)
    work(second)
    ingest(stores, upto=4)
    stores.restore_of(SHARD, before)  # the first one's fence stands again
    ingest(stores)
    with pytest.raises(RolledBack):
        work(second)
    work(second)
    assert stores.weights().load_checkpoint(16).statistics["faq"].digest() == expected().digest()


def test_who_was_fenced_off_erases_and_compacts_nothing(stores: Stores) -> None:
    ingest(stores, upto=4)
    late = solver(stores)
    work(late)
    owner, stamp = late._owner, late._tenure.checkpoint.stamp if late._tenure else ""
    ingest(stores)
    weights, store = stores.weights(), stores.entry_store()
    weights.claim("another")
    assert store.fence("another") == {SHARD: NOTHING}
    with pytest.raises(Superseded):
        store.erase(9, owner, stamp)
    weights.claim(owner)  # as if the solver's slot fell back to before the other's claim
    work_on = weights.load_checkpoint(16)
    work_on.shards[SHARD] = store.state(SHARD)
    weights.save_checkpoint(work_on)
    with pytest.raises(RolledBack):
        store.erase(9, owner, work_on.stamp)
    with pytest.raises(RolledBack):
        store.check_fences(owner)
    assert store.pending_erasures() == {SHARD: 2}


def test_a_shard_of_another_topic_that_fell_back_is_learned_anew(stores: Stores) -> None:
    """Its entries leave by age without a record, so it may go on otherwise than the checkpoint has seen."""
    shard = shard_of(1, 0)
    at = [first_position(shard, offset) for offset in range(4)]
    entries = [Entry(position, 0, "faq", f"ticket {position}", f"answer {position % 2}") for position in at]
    vectors = EMBEDDER.embed([entry.text for entry in entries])
    store = stores.entry_store()
    store.open(EMBEDDER.identity, writing=True)
    store.append(Batch(shard, at[2], entries[:3], vectors[:3]), NOTHING)
    before = stores.snapshot_of(shard)
    store.delete(shard, Deletion(at[2] + 1, 0, None, (at[0],)), at[2])
    work(solver(stores))
    stores.restore_of(shard, before)
    work(solver(stores))
    store.append(Batch(shard, at[3], entries[3:], vectors[3:]), at[2])
    store.delete(shard, Deletion(at[3] + 1, 0, None, (at[0], at[1])), at[3])
    work(solver(stores))
    clean = Statistics(16)
    clean.add(vectors[2:], [entry.answer or "" for entry in entries[2:]])
    assert stores.weights().load_checkpoint(16).statistics["faq"].digest() == clean.digest()
