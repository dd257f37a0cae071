"""HurNet's own arm: the product's embedders, statistics and solve, from nothing to the weights.

    texts ── embedder ──▶ rows (n, d) ── Statistics.add ──▶ G, B_a ── solve ──▶ P
    question ── embedder ──▶ x ──▶ the answer a with the largest ⟨Px, B_a⟩

No setting is tried: the ridge is the product's. Operations are counted as textbooks count those of the
algorithms (Golub and Van Loan, "Matrix Computations"): two for each multiplication and addition, of integers
as of floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from hurnet_stream.adapters.embedders import load
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.solve.weights import Weights, predict
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Vectors
from tests.benchmarks._curve import Clock, Curve, Point, Stopwatch, clock_of
from tests.benchmarks._intents import Task


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Frozen vectors of a task's texts by the embedder `name`; `seconds` is what the taught ones took."""

    name: str
    taught: Vectors
    asked: Vectors
    seconds: float


def embedded(name: str, task: Task) -> Features:
    """By the processor, on which all embedders run. What was loaded before is not counted."""
    embedder = load(name)
    embedder.embed(task.texts[:1])
    watch = Stopwatch(clock_of("cpu"))
    with watch:
        taught = embedder.embed(task.texts)
    return Features(name, taught, embedder.embed_questions(task.asked), watch.seconds)


def closed_form(features: Features, task: Task, device: str, clock: Clock, times: int) -> Curve:
    """One point, since there are no weights before they are solved: the median of `times` runs, after one
    that warms up."""
    seconds = []
    statistics, weights = learned(features.taught, task.answers, device)
    for _ in range(times):
        watch = Stopwatch(clock)
        with watch:
            statistics, weights = learned(features.taught, task.answers, device)
        seconds.append(watch.seconds)
    rows, d = features.taught.shape
    accuracy = share_right(statistics, weights, features.asked, task.expected)
    return Curve([Point(median(seconds), operations(rows, d, len(task.names)), accuracy)])


def learned(rows: Vectors, answers: Sequence[str], device: str) -> tuple[Statistics, Weights]:
    statistics = Statistics(rows.shape[1], device)
    statistics.add(rows, answers)
    return statistics, solve(statistics, device=device)


def share_right(statistics: Statistics, weights: Weights, asked: Vectors, expected: Sequence[str]) -> float:
    """The share of questions whose best answer by the weights alone (the argmax over xW) is the expected
    one."""
    sums = statistics.answer_sums
    names = sorted(sums)
    totals = np.array([sums[name].total for name in names], np.float64)  # (answers, d)
    best = (predict(weights.projection, asked) @ totals.T).argmax(axis=1)
    return float(np.mean([names[i] == answer for i, answer in zip(best.tolist(), expected, strict=True)]))


def operations(rows: int, d: int, answers: int) -> float:
    """Of the statistics of n rows in d dimensions with a answers, and of one solve.

    G's upper triangle nd(d + 1), the B_a nd, CCᵀ ad²; then eigenvalues 4/3 d³, Cholesky 1/3 d³, the inverse
    2/3 d³, and for the certificate the products (G + λI)P and SP, 2d³ each.
    """
    return rows * d * (d + 2.0) + answers * d**2 + (4 / 3 + 1 / 3 + 2 / 3 + 2 + 2) * d**3
