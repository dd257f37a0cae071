"""Exact sums against float32's, on one thread for both: G += XᵀX by each path, and whole batches folded in.

sgemm is torch's or numpy's float32 XᵀX as a general product, whichever is faster, on rows that are float32
already. numpy's ssyrk, which does half of the operations, stands beside it. The exact side starts from the
int16 rows and ends in int64, certificate and packing included. Seconds are the calling thread's CPU time.
"""

# ruff: noqa: E402  # numpy reads how many threads to use when it is imported

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[_variable] = "1"

import statistics
import time
from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks._report import Report, main
from workers.core.gram import paths
from workers.core.grid import snap
from workers.core.statistics import Statistics

DIMENSIONS = (256, 512, 1024)
BATCHES = (256, 4096, 65536)
ROWS_A_ROUND = 8192
"""Smaller batches are repeated up to so many rows."""
SHARED_ANSWERS = 300
CPU = torch.device("cpu")

Seconds = dict[str, float]


def measure(rounds: int) -> Report:
    torch.set_num_threads(1)
    report = Report()
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
    return report


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


def seconds(way: Callable[[], object], repeats: int) -> float:
    started = time.thread_time()
    for _ in range(repeats):
        way()
    return (time.thread_time() - started) / repeats


if __name__ == "__main__":
    main(measure, rounds=5)
