"""The closed form from statistics against least squares on the rows, in the same process and on one thread.

A second table has one solve by torch and one by numpy, which serves where torch is not installed.

Rows are unit vectors on the grid whose spectrum falls off like text's (condition 50), each with one of so
many answers. To solve again is `solve` whole, with all figures of its certificate and CCᵀ brought up to date
for 256 new rows: what the solver does every few seconds. The total is the statistics, made from the rows, and
a first solve. Least squares is given the same rows in float64 and one-hot targets, whose making is not
counted; it is in each round the fastest of torch's `lstsq` by QR (gels), by SVD (gelsd), and numpy's (gelsd).
λ = 0 for both.

The ratios among the figures are those of d = 256 and 1,000 answers. Another answer costs `lstsq` a pass over
Q and a solve next to nothing: few answers favour `lstsq`, many favour the solve, up to one for each row, as
in a memory of texts, where the targets alone would take 80 GB. The table has every case.

Times are the processor's: on one thread what a clock shows on an idle machine. With `--device cuda` there is
one table alone, of a solve there beside one here, by the clock. 10,000,000 rows are 10,000
merged a thousand times, so that the integers have the size of the sums of that many; nothing else of a solve
depends on the rows.
"""

# ruff: noqa: E402  # numpy reads how many threads to use when it is imported

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
import math
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from hurnet_stream.core.arrays import Backend
from hurnet_stream.core.grid import SCALE, snap
from hurnet_stream.core.solve.inverse import by_cholesky
from hurnet_stream.core.solve.problem import Problem, problem_of
from hurnet_stream.core.solve.refine import snapped_ridge
from hurnet_stream.core.solve.solve import MAX_CONDITION, certified, solve, solve_weights
from hurnet_stream.core.solve.weights import Weights
from hurnet_stream.core.statistics.statistics import Statistics
from tests.benchmarks._report import Report, main, milliseconds

ROWS = 100_000
NEWS = 256
DIMENSIONS = (256, 1024)
CASES = ((256, 64), (256, 1_000), (1024, 64))
"""Dimensions and answers."""
CASE = (256, 1_000)
"""The one that the figures are of."""
SOLVES = 15
"""Solves a round."""
OPTIONS = argparse.Namespace(device=None)


def measure(rounds: int) -> Report:
    report = Report()
    if OPTIONS.device:
        _elsewhere(report, rounds, OPTIONS.device)
        return report
    _accuracy(report)
    _size(report, rounds)
    _libraries(report, rounds)
    _least_squares(report, rounds)
    return report


def _accuracy(report: Report) -> None:
    rows = []
    for condition in (1e2, 1e4, 1e6, 1e8, 1e10, 1e12):
        x, labels, exact, residual = _ill_conditioned(condition)
        names = sorted(set(labels))
        statistics = _learned(x, labels)
        found = solve_weights(statistics, names, 0.0, "cpu")
        targets = np.eye(len(names))[[names.index(label) for label in labels]]
        by_rows = np.linalg.lstsq(x / SCALE, targets)[0]
        q, r = np.linalg.qr(x / SCALE)
        by_qr = np.linalg.solve(r, q.T @ targets)
        certificate = solve(statistics, 0.0, "cpu").certificate
        apart = abs(float((Fraction(certificate.residual) * len(x) - residual) / residual))
        error = _apart(found.weights, exact)
        if condition == 1e6:
            report.figures |= {"w_error_cond_1e6": error, "residual_error_cond_1e6": apart}
        rows.append(
            (
                f"{np.linalg.cond(x / SCALE):.1e}",
                f"{error:.1e}",
                found.steps,
                f"{_apart(by_rows, exact):.1e}",
                f"{_apart(by_qr, exact):.1e}",
                f"{apart:.1e}" if certificate.rank == x.shape[1] else "cut off",
            )
        )
    columns = ("cond(X)", ">W, refined", ">steps", ">lstsq on rows", ">QR on rows", ">residual")
    report.table("Relative errors, against rational arithmetic (d = 40, m = 240)", columns, rows)


def _size(report: Report, rounds: int) -> None:
    """Time must not depend on the rows."""
    rows = []
    for d in DIMENSIONS:
        few = _learned(*_text_like(10_000, d, 0))
        many = Statistics(d)
        many.merge(few)
        for _ in range(3):  # tenfold each: what was there, nine times more
            part = many.copy()
            for _ in range(9):
                many.merge(part)
        few.cross_gram(), many.cross_gram()
        calls = [partial(solve, statistics, device="cpu") for statistics in (few, many)]
        times = _interleaved(calls, SOLVES * rounds)
        ratio = float(np.median(times[1] / times[0]))
        if d == DIMENSIONS[0]:
            report.figures["time_10m_over_10k_rows"] = ratio
        rows.append(
            (d, few.count, many.count, *(milliseconds(float(np.median(t))) for t in times), f"{ratio:.2f}")
        )
    columns = ("d", ">rows", ">rows", ">ms", ">ms", ">ratio")
    report.table("One solve, few rows and many", columns, rows)


def _libraries(report: Report, rounds: int) -> None:
    """The solve where torch is installed and where it is not, λ = 0.1 as by default."""
    rows = []
    for d in DIMENSIONS:
        learned = _learned(*_text_like(10_000, d, 0))
        learned.cross_gram()
        problems = [problem_of(learned, Backend(xp, "cpu")) for xp in (torch, np)]
        calls = [partial(_solved, problem, 0.1) for problem in problems]
        by_torch, by_numpy = (float(np.median(t)) for t in _interleaved(calls, SOLVES * rounds))
        report.figures[f"solve_numpy_over_torch_d{d}"] = by_numpy / by_torch
        rows.append((d, milliseconds(by_torch), milliseconds(by_numpy), f"{by_numpy / by_torch:.2f}"))
    report.table("One solve by each library", ("d", ">torch, ms", ">numpy, ms", ">ratio"), rows)


def _elsewhere(report: Report, rounds: int, device: str) -> None:
    """One solve on another device, from statistics on the host to weights on the host."""
    rows = []
    for d in (*DIMENSIONS, 2048):
        learned = _learned(*_text_like(10_000, d, 0))
        learned.cross_gram()
        calls = [partial(solve, learned, device=name) for name in ("cpu", device)]
        times = _interleaved(calls, 3 * rounds, time.perf_counter)
        here, there = (float(np.median(seconds)) for seconds in times)
        apart = _apart(calls[1]().projection, calls[0]().projection)
        report.figures |= {
            f"solve_{device}_ms_d{d}": 1e3 * there,
            f"solve_cpu_over_{device}_d{d}": here / there,
        }
        rows.append((d, milliseconds(here), milliseconds(there), f"{here / there:.2f}", f"{apart:.1e}"))
    columns = ("d", ">here, ms", f">{device}, ms", ">ratio", ">P apart")
    report.table("One solve on another device, by the clock", columns, rows)


def _solved(problem: Problem, ridge: float) -> Weights:
    """As `solve` does, after the choice of a library."""
    fresh, ridge = problem_of(problem.statistics, problem.backend), snapped_ridge(ridge)
    inverse = by_cholesky(fresh, ridge, MAX_CONDITION)
    assert inverse is not None
    return certified(fresh, ridge, inverse)


def _least_squares(report: Report, rounds: int) -> None:
    rows = []
    for d, answers in CASES:
        x, labels = _text_like(ROWS, d, 1, answers)
        names = sorted(set(labels))
        targets = np.eye(len(names))[[names.index(label) for label in labels]]
        races = [_race(x, labels, x / SCALE, targets) for _ in range(rounds)]
        total, resolve, by_rows = np.array([times for times, _ in races]).T
        figures = {
            "lstsq_over_resolve_100k": float(np.median(by_rows / resolve)),
            "lstsq_over_total_100k": float(np.median(by_rows / total)),
        }
        if (d, answers) == CASE:
            report.figures |= figures
        spent = (milliseconds(float(np.median(t))) for t in (by_rows, total, resolve))
        fastest = ", ".join(sorted({name for _, name in races}))
        rows.append((d, answers, fastest, *spent, *(f"{ratio:,.1f}" for ratio in figures.values())))
    columns = (
        "d",
        ">answers",
        "fastest lstsq",
        ">lstsq, ms",
        ">statistics + solve, ms",
        ">solve again, ms",
        ">lstsq / again",
        ">lstsq / total",
    )
    report.table(f"{ROWS:,} rows", columns, rows)


def _race(
    x: NDArray[np.int16], labels: list[str], dense: NDArray[np.float64], targets: NDArray[np.float64]
) -> tuple[tuple[float, float, float], str]:
    """Seconds: learn all rows and solve; solve again after news; least squares on the rows, and whose."""
    statistics, learning = _timed(partial(_learned, x, labels))
    first = _timed(partial(solve, statistics, 0.0, "cpu"))[1]
    again = []
    for i in range(SOLVES):
        news = slice(i * NEWS, (i + 1) * NEWS)
        statistics.add(x[news], labels[news])
        again.append(_timed(partial(solve, statistics, 0.0, "cpu"))[1])
    rows, right = torch.from_numpy(dense), torch.from_numpy(targets)
    peers = {
        "torch gels": partial(torch.linalg.lstsq, rows, right, driver="gels"),
        "torch gelsd": partial(torch.linalg.lstsq, rows, right, driver="gelsd"),
        "numpy": partial(np.linalg.lstsq, dense, targets),
    }
    least_squares, fastest = min((_timed(peer)[1], name) for name, peer in peers.items())
    return (learning + first, float(np.median(again)), least_squares), fastest


Result = TypeVar("Result")


def _timed(
    call: Callable[[], Result], clock: Callable[[], float] = time.process_time
) -> tuple[Result, float]:
    started = clock()
    result = call()
    return result, clock() - started


def _interleaved(
    calls: Sequence[Callable[[], object]], times: int, clock: Callable[[], float] = time.process_time
) -> NDArray[np.float64]:
    """Seconds, (calls, times), the first time of each not counted."""
    seconds = [[_timed(call, clock)[1] for call in calls] for _ in range(times + 1)]
    return np.array(seconds[1:]).T


def _text_like(m: int, d: int, seed: int, answers: int = 64) -> tuple[NDArray[np.int16], list[str]]:
    chance = np.random.default_rng(seed)
    rows = chance.standard_normal((m, d)) * np.logspace(0, -math.log10(50) / 2, d)
    return snap(rows), [f"a{i}" for i in chance.integers(0, answers, m)]


def _learned(rows: NDArray[np.int16], labels: list[str]) -> Statistics:
    statistics = Statistics(rows.shape[1], "cpu")
    statistics.add(rows, labels)
    return statistics


def _apart(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def _ill_conditioned(condition: float) -> tuple[NDArray[np.int16], list[str], NDArray[np.float64], Fraction]:
    """Rows on the grid of about this condition, their answers, W, and ‖XW - Y‖²_F.

    Small integers times triangular integer matrices, whose inverses double from entry to entry.
    """
    d, m, chance = 40, 240, np.random.default_rng(7)
    mixing, first = np.eye(d, dtype=np.int64), 0
    for power in (1.0, 0.5):
        size = min(round(math.log2(condition) * power), d - first)
        mixing[first : first + size, first : first + size] -= np.triu(np.ones((size, size), np.int64), 1)
        first += size
    rows = (chance.integers(-100, 101, (m, d)) @ mixing).astype(np.int16)
    labels = [f"a{i}" for i in chance.integers(0, 4, m)]
    one_hot = np.array([[label == name for name in sorted(set(labels))] for label in labels], dtype=object)
    x = rows.astype(object)
    cross = x.T @ one_hot * SCALE
    exact = _eliminated(np.hstack([x.T @ x, cross]))
    explained = sum(w * int(c) for w, c in zip(exact.ravel(), cross.ravel(), strict=True)) / SCALE**2
    return rows, labels, exact.astype(np.float64), m - explained


def _eliminated(system: NDArray[Any]) -> NDArray[Any]:
    """A⁻¹B in rationals, of [A B] in integers, without fractions until the end (Bareiss 1968)."""
    d, last = len(system), 1
    for k in range(d):
        others = [i for i in range(d) if i != k]
        system[others] = (system[k, k] * system[others] - np.outer(system[others, k], system[k])) // last
        last = system[k, k]
    return np.array([[Fraction(value, last) for value in row] for row in system[:, d:]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--device", help="compare a solve on it, such as cuda, with one here, and nothing else"
    )
    main(measure, rounds=3, parser=parser, into=OPTIONS)
