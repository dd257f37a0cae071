"""Forgetting: whatever happened in whatever order, what counts is what a plain reading of the ages says."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from structlog.testing import capture_logs

from hurnet_schemas import Answer, Query, TextEvent
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.index import teaching, tidying
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.rule.halves import undivided
from hurnet_stream.core.search import block, blocks
from hurnet_stream.core.search import search as scan
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.solve.weights import predict
from hurnet_stream.core.solve.window import PANES, Window, context_of, identity
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.errors import ConfigurationError, TransientError
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.operations.verification import Verification
from hurnet_stream.ports import Outgoing, PublishedWeights
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import ResponderSettings, Settings, SolveSettings, load
from hurnet_stream.solver import solver as solver_module
from hurnet_stream.solver.learning import pairs
from hurnet_stream.solver.solver import Solver
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.history import MemoryHistory
from tests.memory.kafka import MemoryKafka
from tests.memory.lease_store import MemoryLeaseStore
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.deleting import DIMENSION, EMBEDDER, World, turn

MINUTE_MS = 60_000
START = 1_000
"""The pane in which tests begin."""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)


@dataclass
class Clock:
    """In seconds; half-lives are a minute."""

    now: float = START * 60.0

    def __call__(self) -> float:
        return self.now

    @property
    def pane(self) -> int:
        return int(self.now // 60)


@dataclass
class AgedWorld(World):
    """A broker, a store, and workers that forget."""

    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.kafka = MemoryKafka(self.clock)
        super().__post_init__()
        for topic in ("queries", "answers"):
            self.kafka.create(topic, partitions=1)

    def teach(self, text: str, answer: str, weight: int = 1, minutes_ago: float = 0.0) -> None:
        event = TextEvent(text=text, answer=answer, weight=weight, context="one")
        stamp = int((self.clock.now - 60 * minutes_ago) * 1000)
        self.kafka.append([Outgoing("texts", event.encode(), None, (), 0, stamp)])

    def solver(
        self, interval: float = 0, checkpoint_interval: float = 0, lossy: bool = False, keep: float = 3600
    ) -> Solver:
        return self.aged_solver(60, interval, checkpoint_interval)

    def aged_solver(self, half_life: float, interval: float = 0, checkpoint_interval: float = 0) -> Solver:
        self.redis.data.leases.clear()
        chosen = SolveSettings(
            interval=interval, checkpoint_interval=checkpoint_interval, device="cpu", half_life=half_life
        )
        stores = MemoryWeightsStore(self.redis), MemoryLeaseStore(self.redis)
        store = MemoryEntryStore(self.redis)
        return Solver(store, *stores, Settings(solve=chosen), SolverMetrics(), self.clock)

    def expected(self, context: str = "one") -> Statistics:
        """A pair of weight w and age a, of what is left, is w·2^(PANES - 1 - a) rows of a fresh state."""
        statistics = Statistics(DIMENSION)
        for _, entry in self.left():
            age = max(0, self.clock.pane - entry.timestamp_ms // MINUTE_MS)
            if entry.context == context and entry.answer is not None and age < PANES:
                copies = np.array([entry.copies * 2 ** (PANES - 1 - age)], np.int64)
                statistics.add(EMBEDDER.embed([entry.text]), [entry.answer], copies)
        return statistics

    def learned(self, context: str = "one") -> Statistics:
        checkpoint = self.redis.data.checkpoint
        window = Window(MINUTE_MS, max(checkpoint.pane, self.clock.pane))
        found = window.combined(checkpoint.statistics, context)
        return Statistics(DIMENSION) if found is None else found

    def proof(self) -> bool:
        store = MemoryEntryStore(self.redis)
        store.open(EMBEDDER.identity)
        contexts = frozenset(self.redis.data.contexts)
        proving = Verification(MemoryHistory(self.kafka), store, EMBEDDER, KernelMap("none", 32), contexts)
        return proving.whole(self.redis.data.checkpoint, MINUTE_MS).equal


rows_and_times = st.lists(
    st.tuples(st.integers(0, 2**16), st.integers(1, 9), st.integers(-3, 14), st.sampled_from("abc")),
    max_size=20,
)


@given(rows_and_times, st.randoms(use_true_random=False))
def test_at_any_pane_the_state_is_that_of_fresh_statistics_of_weighted_rows(
    drawn: list[tuple[int, int, int, str]], chance: random.Random
) -> None:
    """Any order and batches, panes turning meanwhile, deletions, late rows and rows from the future."""
    window, statistics = Window(MINUTE_MS, 0), dict[str, Statistics]()
    taught = [
        (Entry(i, pane * MINUTE_MS + seed % MINUTE_MS, "c", "", answer, copies=weight), vector(seed))
        for i, (seed, weight, pane, answer) in enumerate(drawn)
    ]
    gone = [pair for pair in taught if chance.random() < 0.3]
    todo = chance.sample(taught, len(taught))
    while todo:
        size = chance.randint(1, len(todo))
        fold(statistics, window, todo[:size], 1)
        todo = todo[size:]
        window = replace(window, now=window.now + chance.randint(0, 3))
        for key in window.expired(statistics):
            del statistics[key]
    for pair in gone:
        fold(statistics, window, [pair], -1)
    expected = Statistics(2)
    for entry, row in taught:
        age = max(0, window.now - entry.timestamp_ms // MINUTE_MS)
        if age < PANES and (entry, row) not in gone:
            copies = np.array([entry.copies << (PANES - 1 - age)], np.int64)
            expected.add(row[None], [entry.answer or ""], copies)
    found = window.combined(statistics, "c") or Statistics(2)
    assert found.digest() == expected.digest()
    assert window.combined(statistics, "other") is None


def vector(seed: int) -> NDArray[np.int16]:
    return np.array([seed % 97 + 1, -(seed % 89)], np.int16)


def fold(
    statistics: dict[str, Statistics],
    window: Window,
    taught: list[tuple[Entry, NDArray[np.int16]]],
    sign: int,
) -> None:
    batch = Batch(0, 99, [entry for entry, _ in taught], np.stack([row for _, row in taught]))
    for key, (rows, answers, weights) in pairs([batch], window).items():
        mine = statistics.setdefault(key, Statistics(2))
        (mine.add if sign > 0 else mine.subtract)(rows, answers, weights)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_interleaving_of_workers_clocks_and_deletions_counts_what_is_left_by_its_age(
    data: st.DataObject,
) -> None:
    world = AgedWorld()
    solver = world.solver()
    for i in range(data.draw(st.integers(1, 15))):
        match data.draw(st.sampled_from(["teach", "teach", "work", "work", "wait", "delete", "crash"])):
            case "work":
                ingest = world.ingest()
                turn(ingest, 3)
                ingest.close()
                turn(solver, data.draw(st.integers(0, 2)))
            case "teach":
                ago = data.draw(st.sampled_from([0.0, 0.5, 1.0, 6.5, 8.0, 30.0, -1.5]))
                world.teach(f"text {i}", data.draw(st.sampled_from("ab")), data.draw(st.integers(1, 4)), ago)
            case "delete":
                world.delete_at(str(data.draw(st.integers(0, max(0, i - 1)))))
            case "wait":
                world.clock.now += data.draw(st.sampled_from([5.0, 60.0, 130.0, 500.0]))
            case "crash":
                solver = world.solver()
    world.take_in()
    assert world.learned().digest() == world.expected().digest()
    assert world.proof()
    weights = world.redis.data.weights
    assert ("one" in weights) == (world.expected().count > 0)
    if "one" in weights:
        assert weights["one"].weights.certificate.pane == world.clock.pane


def reference(
    rows: NDArray[np.int16], shares: NDArray[np.float64], targets: NDArray[np.float64], x: NDArray[np.int16]
) -> NDArray[np.float64]:
    """Weighted ridge in float64 (λ = 0.1): the scores of one query for each column of the targets."""
    a = rows / SCALE
    gram = a.T @ (shares[:, None] * a) + 0.1 * np.eye(a.shape[1])
    scores: NDArray[np.float64] = (x / SCALE) @ np.linalg.solve(gram, a.T @ (shares[:, None] * targets))
    return scores


@pytest.mark.parametrize("many", [3, 1_000])
def test_what_is_published_predicts_as_a_float_reference_does(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With sums kept and without, before and after panes turn, and when rows come late."""
    monkeypatch.setattr(teaching, "MANY", many)
    chance, world = np.random.default_rng(3), AgedWorld()
    texts = [f"text number {i}" for i in range(60)]
    minutes, weights = chance.integers(-1, 12, 60), chance.integers(1, 4, 60)
    for i, text in enumerate(texts):
        world.teach(text, f"answer {i % 4}", int(weights[i]), float(minutes[i]))
    rows, query = EMBEDDER.embed(texts), EMBEDDER.embed(["text number 7 or 9"])
    memory = LoadedContexts(undivided(DIMENSION), half_life_ms=MINUTE_MS)
    stamps = [int((world.clock.now - 60 * m) * 1000) for m in minutes]
    entries = [
        Entry(i, stamps[i], "one", text, f"answer {i % 4}", copies=int(weights[i]))
        for i, text in enumerate(texts)
    ]
    memory.append(Batch(0, 39, entries[:40], rows[:40]))
    for turned in range(3):
        window = Window(MINUTE_MS, START + turned)
        statistics: dict[str, Statistics] = {}
        for key, (mine, answers, copies) in pairs([Batch(0, 59, entries, rows)], window).items():
            statistics.setdefault(key, Statistics(DIMENSION)).add(mine, answers, copies)
        whole = window.combined(statistics, "one")
        assert whole is not None
        solved = window.in_force(solve(whole, 0.1 * window.unit, "cpu"))
        memory.use("one", PublishedWeights("one", turned + 1, solved, {0: 59}, 0))
        if turned == 1:
            memory.append(Batch(0, 59, entries[40:], rows[40:]))
        known = 40 if turned == 0 else 60
        shares = window.shares(np.array(stamps)) * weights.astype(np.float64)
        figures = solved.certificate
        assert (figures.count, figures.ridge, figures.gcv) == (shares.sum(), 0.1, None)
        (found,) = memory.index("one").search(query, 99)
        (prediction,) = predict(solved.projection, query)
        weights_of = memory.index("one").predicted(prediction, found.rows)
        targets = np.eye(4)[np.arange(60) % 4] * (np.arange(60) < known)[:, None]
        expected = reference(rows, shares, targets, query)
        got = {
            memory.index("one").entry(r).answer: s
            for r, s in zip(found.rows.tolist(), weights_of, strict=True)
        }
        for a in range(4):
            assert got[f"answer {a}"] == pytest.approx(expected[0, a], abs=1e-10)


def responder(world: AgedWorld, half_life: float) -> Responder:
    chosen = Settings(
        responder=ResponderSettings(poll=0, threshold=0.0), solve=SolveSettings(half_life=half_life)
    )
    stores = MemoryEntryStore(world.redis), MemoryWeightsStore(world.redis)
    exchange = MemoryExchange(world.kafka, "queries", "responders", "one")
    return Responder(exchange, *stores, EMBEDDER, chosen, ResponderMetrics())


def ask(world: AgedWorld, half_life: float, text: str) -> Answer:
    world.kafka.append([Outgoing("queries", Query(text=text, context="one", top_k=5).encode())])
    worker = responder(world, half_life)
    for _ in range(6):
        worker.step()
    worker.close()
    return Answer.decode(world.kafka.records("answers")[-1].value)


HOURS = ("when is the office open", "at what time does the office open", "office opening hours please")


@pytest.mark.parametrize(("half_life", "right"), [(0.0, "eight to five"), (60.0, "nine to six")])
def test_an_answer_that_changed_is_believed_by_those_who_forget(half_life: float, right: str) -> None:
    """Taught twenty times long ago, and otherwise twice just now: by weights, by the local solve, by all."""
    world = AgedWorld()
    for i in range(20):
        world.teach(f"{HOURS[i % 3]} {i % 5}", "eight to five", minutes_ago=5)
    for i in (0, 2):
        world.teach(HOURS[i], "nine to six")
    world.teach("is there a car park", "behind the house", minutes_ago=2)
    ingest = world.ingest()
    turn(ingest, 40)
    turn(world.aged_solver(half_life), 4)
    answer = ask(world, half_life, "office opening hours")
    by_weights = max(answer.candidates, key=lambda c: c.scores.weights or 0.0)
    by_local = max(answer.candidates, key=lambda c: c.scores.meaning)
    assert by_weights.answer == right
    assert by_local.answer == right
    assert answer.answer == right
    assert answer.receipt is not None
    assert answer.receipt.weights is not None
    aged = half_life > 0
    assert answer.receipt.half_life == (half_life if aged else None)
    assert answer.receipt.weights.pane == (world.clock.pane if aged else None)
    assert answer.receipt.weights.count == (round(20 / 32 + 2 + 1 / 4) if aged else 23)


def test_what_is_only_known_from_long_ago_is_still_answered() -> None:
    world = AgedWorld()
    for i, text in enumerate(HOURS):
        world.teach(text, "eight to five", minutes_ago=50 + i / 60)
    ingest = world.ingest()
    turn(ingest, 40)
    turn(world.solver(), 4)
    fresh, aged = (ask(world, half_life, "office opening hours") for half_life in (0.0, 60.0))
    assert "one" not in world.redis.data.weights
    assert aged.answer == "eight to five"
    assert aged.candidates[0].scores.meaning == pytest.approx(fresh.candidates[0].scores.meaning, abs=0.01)


def test_when_a_pane_turns_the_weights_are_solved_anew_and_at_last_withdrawn() -> None:
    world = AgedWorld()
    world.teach("text 1", "a")
    world.teach("text 2", "b", weight=3)
    turn(ingest := world.ingest(), 9)
    ingest.close()
    solver = world.solver()
    counts = []
    for _ in range(PANES):
        turn(solver, 2)
        counts.append(world.redis.data.weights["one"].weights.certificate.count)
        world.clock.now += 60
    assert counts == [4 / 2**age for age in range(PANES)]
    version = world.redis.data.versions["one"]
    turn(solver, 2)
    assert world.redis.data.weights == {}
    assert world.redis.data.versions == {"one": version + 1}
    turn(solver, 9)
    assert world.redis.data.versions == {"one": version + 1}


def test_weights_that_nothing_changed_are_not_solved_anew() -> None:
    world = AgedWorld()
    world.teach("text 1", "a")
    turn(ingest := world.ingest(), 9)
    ingest.close()
    solver = world.solver()
    turn(solver, 3)
    world.clock.now += 59.9 - world.clock.now % 60
    turn(solver, 3)
    assert world.redis.data.versions == {"one": 1}


def test_another_half_life_learns_again_from_the_whole_context() -> None:
    world = AgedWorld()
    for i in range(5):
        world.teach(f"text {i}", "a", minutes_ago=i)
    turn(ingest := world.ingest(), 9)
    ingest.close()
    for half_life, panes in ((60.0, 5), (0.0, 1), (120.0, 3)):
        turn(world.aged_solver(half_life), 3)
        checkpoint = world.redis.data.checkpoint
        assert checkpoint.features == identity("none", round(half_life * 1000))
        assert len(checkpoint.statistics) == panes
        assert sum(s.count for s in checkpoint.statistics.values()) == 5
        assert {context_of(key) for key in checkpoint.statistics} == {"one"}


def test_a_clock_that_was_ahead_costs_learning_again_and_nothing_more() -> None:
    world = AgedWorld()
    world.teach("text 1", "a")
    turn(ingest := world.ingest(), 9)
    ingest.close()
    solver = world.solver()
    turn(solver, 2)
    before = world.learned().digest()
    world.clock.now += 3_600
    world.teach("text 2", "b")
    turn(ingest := world.ingest(), 9)
    turn(solver, 2)
    assert len(world.redis.data.checkpoint.statistics) == 1
    world.delete_at("1")
    world.clock.now -= 3_600
    turn(ingest, 9)
    with pytest.raises(TransientError, match="gone back"):
        solver.step()
    with capture_logs() as logs:
        turn(solver, 4)
    assert any("clock was ahead" in line["event"] for line in logs)
    assert world.learned().digest() == before
    world.clock.now -= 1  # into the pane before: nothing to do
    solver.step()
    assert world.redis.data.checkpoint.pane == START
    assert world.learned().digest() == before


def test_windows_that_go_back_count_what_they_had_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teaching, "MANY", 2)
    index = ContextIndex(DIMENSION, Window(MINUTE_MS, 0))
    rows = EMBEDDER.embed(["text 1", "text 2", "text 3"])
    entries = [Entry(i, i * MINUTE_MS, "one", "", "a") for i in range(3)]
    index.append(0, entries, rows)
    prediction = np.random.default_rng(0).normal(size=(1, DIMENSION))
    products = rows @ prediction[0] / SCALE
    for now in (2, 9, 2, 1):
        index.age_to(Window(MINUTE_MS, now))
        (found,) = index.search(rows[:1], 1)
        shares = [0.0 if now - i >= PANES else 2.0 ** -max(0, now - i) for i in range(3)]
        assert index.predicted(prediction[0], found.rows) == pytest.approx([products @ shares])


def test_sums_are_kept_of_no_more_panes_than_count() -> None:
    index = ContextIndex(DIMENSION, Window(MINUTE_MS, 0))
    entries = [Entry(i, i % 30 * MINUTE_MS, "one", "", "a") for i in range(90)]
    index.append(0, entries, EMBEDDER.embed([f"text {i}" for i in range(90)]))
    index.age_to(Window(MINUTE_MS, 25))
    assert sorted(index._teaching.sums._panes[0]) == list(range(25 - PANES + 1, 30))


def test_rows_are_removed_and_moved_together_with_their_age(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (block, blocks, scan, tidying):
        monkeypatch.setattr(module, "BLOCK_ROWS", 16)
    monkeypatch.setattr(teaching, "MANY", 2)
    index, window = ContextIndex(DIMENSION, Window(MINUTE_MS, 0)), Window(MINUTE_MS, 12)
    rows = EMBEDDER.embed([f"text {i}" for i in range(40)])
    index.append(0, [Entry(i, i % 14 * MINUTE_MS, "one", "", f"answer {i % 3}") for i in range(40)], rows)
    index.age_to(window)
    prediction = np.random.default_rng(0).normal(size=(1, DIMENSION))
    products = rows @ prediction[0] / SCALE * [window.share(i % 14) for i in range(40)]
    for removed in range(20):  # the first is of a forgotten pane, the sixteenth moves those that are left
        assert index.remove(0, removed)
        (found,) = index.search(rows[30:31], 9)
        scores = index.predicted(prediction[0], found.rows)
        for row, score in zip(found.rows.tolist(), scores.tolist(), strict=True):
            answer = index.entry(row).offset % 3
            alive = [i for i in range(removed + 1, 40) if i % 3 == answer]
            assert score == pytest.approx(products[alive].sum())


@pytest.mark.parametrize(("solved", "asked"), [(60.0, 0.0), (0.0, 60.0), (60.0, 61.0)])
def test_weights_that_forget_otherwise_are_refused_and_questions_still_answered(
    solved: float, asked: float
) -> None:
    world = AgedWorld()
    world.teach("text 1", "a")
    turn(world.ingest(), 9)
    turn(world.aged_solver(solved), 3)
    with capture_logs() as logs:
        answer = ask(world, asked, "text 1")
    assert answer.answer == "a"
    assert answer.candidates[0].scores.weights is None
    assert any("half-life" in str(line.get("reason")) for line in logs)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"HALF_LIFE": "59"}, "at least 60"),
        ({"HALF_LIFE": "-1"}, "greater than or equal to 0"),
        ({"HALF_LIFE": "60", "HURNET_PAPER_FEATURES": "gaussian:256"}, "kernel features don't go together"),
        ({"HALF_LIFE": "60", "RIDGE": "gcv"}, "needs a fixed ridge"),
    ],
)
def test_what_can_not_be_is_said_at_the_start(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name if name.startswith("HURNET_") else f"HURNET_SOLVE_{name}", value)
    with pytest.raises(ConfigurationError, match=said):
        load()
