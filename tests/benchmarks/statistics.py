"""Exact sums against float32's, on one thread for both: G += XᵀX by each path, and whole batches folded in.

sgemm is torch's or numpy's float32 XᵀX as a general product, whichever is faster, on rows that are float32
already. numpy's ssyrk, which does half of the operations, stands beside it. The exact side starts from the
int16 rows and ends in int64, certificate and packing included. Then the same with weights, and what panes of
age add to a solve. Seconds are the calling thread's CPU time. With `--device cuda` there is one table alone,
of a GPU's paths, by the clock, from rows on the host to sums on the host.
"""

# ruff: noqa: E402  # numpy reads how many threads to use when it is imported

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from hurnet_stream.core.arrays import backend_of
from hurnet_stream.core.grid import snap
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.solve.window import PANES, Window
from hurnet_stream.core.statistics.gram import blocks, paths
from hurnet_stream.core.statistics.statistics import Statistics
from tests.benchmarks._report import Report, main

DIMENSIONS = (256, 512, 1024)
BATCHES = (256, 4096, 65536)
ROWS_A_ROUND = 8192
"""Smaller batches are repeated up to so many rows."""
SHARED_ANSWERS = 300
CPU = backend_of("cpu")
OPTIONS = argparse.Namespace(device=None)

Seconds = dict[str, float]


def measure(rounds: int) -> Report:
    torch.set_num_threads(1)
    report = Report()
    if OPTIONS.device:
        elsewhere(report, rounds, OPTIONS.device)
        return report
    ratios = {(d, n): ratios_of(d, n, rounds) for d, n in product(DIMENSIONS, BATCHES)}
    names = list(paths(CPU))
    columns = [">dimension", ">rows", *(f">{name} / sgemm" for name in [*names, "ssyrk"])]
    rows = [[d, n, *(f"{r[name]:.2f}" for name in [*names, "ssyrk"])] for (d, n), r in ratios.items()]
    report.table("Rate of G += XᵀX, as a multiple of float32's general product", columns, rows)
    report.figures |= figures(ratios, names)
    folded = {case: rows_a_second(*case, rounds) for case in product((512, 1024), (256, 4096), (True, False))}
    report.table(
        "Pairs folded in by Statistics.add, a second",
        [">dimension", ">rows a batch", "answers", ">rows/s"],
        [[d, n, "each its own" if own else SHARED_ANSWERS, f"{f:,.0f}"] for (d, n, own), f in folded.items()],
    )
    report.figures |= {
        f"add_rows_per_second_d{d}_batch{n}_{'own' if own else 'shared'}": f
        for (d, n, own), f in folded.items()
    }
    weighed(report, rounds)
    aged(report, rounds)
    return report


def weighed(report: Report, rounds: int) -> None:
    """Statistics.add with copies, as a multiple of its time without; all in turn in each round."""
    chance, rows = np.random.default_rng(0), random_rows(4096, 1024)
    answers = [str(i % SHARED_ANSWERS) for i in range(len(rows))]
    weights = {
        "none": None,
        "ones": np.ones(len(rows), np.int64),
        "every tenth 5": np.where(np.arange(len(rows)) % 10, 1, 5),
        "1 to 10": chance.integers(1, 11, len(rows)),
        "1 to 1000": chance.integers(1, 1001, len(rows)),
    }
    folded = Statistics(1024)
    taken: list[Seconds] = []
    for _ in range(rounds + 1):
        taken.append(
            {n: seconds(lambda w=w: folded.add(rows, answers, w), 2) for n, w in weights.items()}  # type: ignore[misc]
        )
    ratios = {n: statistics.median(took[n] / took["none"] for took in taken[1:]) for n in weights}
    report.table(
        "4,096 pairs with weights, over without",
        ["weights", ">time"],
        [[n, f"{r:.2f}"] for n, r in ratios.items()],
    )
    report.figures |= {f"add_weighted_{n.replace(' ', '_')}_over_plain": r for n, r in ratios.items()}


def aged(report: Report, rounds: int) -> None:
    """20,000 pairs at d = 1,024 in all panes of the window: putting these together, beside the solve."""
    window, rows = Window(1, PANES - 1), random_rows(20_000, 1024)
    cells = []
    for count in (300, 5_000, 20_000):
        panes: dict[str, Statistics] = {}
        for pane, block in enumerate(blocks(len(rows), len(rows) // PANES)):
            panes[window.key("c", pane) or ""] = mine = Statistics(1024)
            mine.add(rows[block], [str(i % count) for i in range(len(rows))[block]])
        apart, solved = [], []
        for _ in range(rounds + 1):
            apart.append(seconds(lambda: window.combined(panes, "c"), 1))  # noqa: B023
            whole = window.combined(panes, "c")
            assert whole is not None
            solved.append(seconds(lambda: solve(whole, 0.1 * window.unit, "cpu"), 1))  # noqa: B023
        report.figures[f"panes_together_ms_{count}_answers"] = 1e3 * statistics.median(apart[1:])
        cells.append([count, *(f"{1e3 * statistics.median(taken[1:]):.0f}" for taken in (apart, solved))])
    report.table("20,000 pairs in 8 panes", [">answers", ">together, ms", ">solve, ms"], cells)


def elsewhere(report: Report, rounds: int, device: str) -> None:
    """The largest batch on another device, beside the fastest path of this one."""
    backend = backend_of(device)
    host, there = paths(CPU), paths(backend)
    cells = []
    for d in DIMENSIONS:
        rows, gram = random_rows(BATCHES[-1], d), np.zeros((d, d), np.int64)
        calls = {name: partial(add, rows, gram) for name, add in there.items()}
        taken = {
            name: min(seconds(call, 1, time.perf_counter) for _ in range(rounds + 1))
            for name, call in calls.items()
        }
        here = min(taken[name] for name in host)
        for name in there.keys() - host.keys():
            report.figures[f"{name.replace(' ', '_')}_over_host_d{d}"] = here / taken[name]
            cells.append(
                [d, name, f"{1e3 * here:.0f}", f"{1e3 * taken[name]:.1f}", f"{here / taken[name]:.1f}"]
            )
    columns = [">dimension", "path", ">fastest here, ms", ">path, ms", ">ratio"]
    report.table(f"G += XᵀX of {BATCHES[-1]:,} rows on another device, by the clock", columns, cells)


def figures(ratios: dict[tuple[int, int], Seconds], names: list[str]) -> dict[str, float]:
    """Of the largest batch, the median over the dimensions of the best path."""

    def best(allowed: list[str], over: str = "sgemm") -> float:
        largest = [ratios[d, BATCHES[-1]] for d in DIMENSIONS]
        return statistics.median(max(r[name] for name in allowed) / r[over] for r in largest)

    return {
        "exact_over_sgemm": best(names),
        "exact_over_sgemm_without_vnni": best([name for name in names if name != "vnni"]),
        "exact_over_sgemm_without_kernels": best(["float64"]),
        "exact_over_ssyrk": best(names, "ssyrk"),
    }


def ratios_of(dimension: int, count: int, rounds: int) -> Seconds:
    """The median over rounds of sgemm's seconds through each way's, all ways taken in turn in each round."""
    rows = random_rows(count, dimension)
    ways = ways_to_sum(rows)
    repeats = max(1, ROWS_A_ROUND // count)
    taken: list[Seconds] = []
    for _ in range(rounds + 1):  # the first warms up
        taken.append({name: seconds(way, repeats) for name, way in ways.items()})
    by_round = [
        {name: min(took["torch"], took["numpy"]) / took[name] for name in took} | {"sgemm": 1.0}
        for took in taken[1:]
    ]
    return {name: statistics.median(ratio[name] for ratio in by_round) for name in by_round[0]}


def ways_to_sum(rows: NDArray[np.int16]) -> dict[str, Callable[[], object]]:
    single = rows.astype(np.float32)
    other = single.copy()  # numpy sees a matrix times its own transpose, and then takes ssyrk
    tensor = torch.from_numpy(single)
    gram = np.zeros((rows.shape[1],) * 2, np.int64)
    ways: dict[str, Callable[[], object]] = {
        "torch": lambda: tensor.T @ tensor,
        "numpy": lambda: single.T @ other,
        "ssyrk": lambda: single.T @ single,
    }
    for name, add in paths(CPU).items():
        ways[name] = lambda add=add: add(rows, gram)  # type: ignore[misc]
    return ways


def rows_a_second(dimension: int, count: int, own: bool, rounds: int) -> float:
    """The median over batches."""
    batches = max(rounds, 2 * ROWS_A_ROUND // count) + 1
    rows = random_rows(count, dimension)
    folded = Statistics(dimension)
    taken = []
    for batch in range(batches):
        answers = [str(batch * count + i if own else i % SHARED_ANSWERS) for i in range(count)]
        taken.append(seconds(lambda answers=answers: folded.add(rows, answers), 1))  # type: ignore[misc]
    return count / statistics.median(taken[1:])


def random_rows(count: int, dimension: int) -> NDArray[np.int16]:
    return snap(np.random.default_rng(0).standard_normal((count, dimension), np.float32))


def seconds(way: Callable[[], object], repeats: int, clock: Callable[[], float] = time.thread_time) -> float:
    started = clock()
    for _ in range(repeats):
        way()
    return (clock() - started) / repeats


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--device", help="compare the sums on it, such as cuda, with those here, and nothing else"
    )
    main(measure, rounds=5, parser=parser, into=OPTIONS)
