"""Forgetting through real stores: what a solver checkpoints in panes, the next one goes on from."""

from __future__ import annotations

import numpy as np
import pytest

from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.rule.halves import undivided
from hurnet_stream.core.solve.weights import predict
from hurnet_stream.core.solve.window import PANES, Window, identity
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion, Entry
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.settings.settings import Settings, SolveSettings
from hurnet_stream.solver import solver as solver_module
from hurnet_stream.solver.solver import Solver
from tests.contract.stores import Stores

EMBEDDER = HashedText(32)
HOUR = 3_600


def entries() -> list[Entry]:
    """One an hour, the last in hour 12; every third weighs 5."""
    return [
        Entry(i, i * HOUR * 1000, "faq", f"question {i}", f"answer {i % 2}", copies=5 if i % 3 == 0 else 1)
        for i in range(13)
    ]


def solver(stores: Stores, hour: float) -> Solver:
    chosen = SolveSettings(interval=0, checkpoint_interval=0, device="cpu", half_life=HOUR, lease=0.001)
    outside = stores.entry_store(), stores.weights(), stores.leases()
    return Solver(*outside, Settings(solve=chosen), SolverMetrics(), clock=lambda: hour * HOUR)


def expected(kept: list[Entry], hour: int) -> Statistics:
    statistics = Statistics(32)
    for entry in kept:
        age = hour - entry.offset
        if age < PANES:
            copies = np.array([entry.copies * 2 ** (PANES - 1 - age)], np.int64)
            statistics.add(EMBEDDER.embed([entry.text]), [entry.answer or ""], copies)
    return statistics


def test_a_restarted_solver_goes_on_forgetting(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)
    store, taught = stores.entry_store(), entries()
    store.open(EMBEDDER.identity)
    vectors = EMBEDDER.embed([entry.text for entry in taught])
    store.append(Batch(0, 11, taught[:12], vectors[:12]), NOTHING)
    first = solver(stores, 11.5)
    first.step()
    first.drain()
    store.append(Batch(0, 12, taught[12:], vectors[12:]), 11)
    store.delete(0, Deletion(13, 0, None, (3, 7)), 12)  # one is forgotten already, one is not
    second = solver(stores, 12.5)
    for _ in range(3):
        second.step()
    second.drain()

    checkpoint = stores.weights().load_checkpoint(32, identity("none", HOUR * 1000))
    window = Window(HOUR * 1000, 12)
    assert checkpoint.pane == 12
    assert sorted(checkpoint.statistics) == sorted(f"faq@{hour}" for hour in (5, 6, 8, 9, 10, 11, 12))
    kept = [entry for entry in taught if entry.offset not in (3, 7)]
    found = window.combined(checkpoint.statistics, "faq")
    assert found is not None
    assert found.digest() == expected(kept, 12).digest()

    published = stores.weights().weights("faq")
    assert published is not None
    assert published.weights.certificate.count == expected(kept, 12).count / 2 ** (PANES - 1)
    memory = LoadedContexts(undivided(32), half_life_ms=HOUR * 1000)
    memory.use("faq", published)
    for batch in store.tail({}, 100).batches:
        memory.append(batch)
    query = EMBEDDER.embed(["question 11"])
    (matches,) = memory.index("faq").search(query, 20)
    (prediction,) = predict(published.weights.projection, query)
    weights = memory.index("faq").predicted(prediction, matches.rows)
    x = np.array([vectors[entry.offset] for entry in kept]) / SCALE
    shares = np.array([entry.copies * window.share(entry.offset) for entry in kept])
    targets = np.array([[entry.offset % 2 == a for a in range(2)] for entry in kept], np.float64)
    gram = x.T @ (shares[:, None] * x) + 0.1 * np.eye(32)
    scores = (query[0] / SCALE) @ np.linalg.solve(gram, x.T @ (shares[:, None] * targets))
    for row, score in zip(matches.rows.tolist(), weights.tolist(), strict=True):
        assert score == pytest.approx(scores[memory.index("faq").entry(row).offset % 2], abs=1e-11)
