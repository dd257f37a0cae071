"""The exact search against libraries' flat and approximate ones, on real text, in one thread each.

Rows and queries are lines of prose from the machine's package descriptions and installed packages, embedded
by hashing. Ratios are medians of CPU time over interleaved rounds. `--rows 10000,500000` and `--dimensions
256,1024` choose other sizes; beyond the text that there is, rows are tiled. Peers that are not installed
(`pip install -e .[bench]`) are left out, and graphs above 20,000 rows: they take minutes to build.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tests.benchmarks._loading import loading
from tests.benchmarks._report import Report, main
from tests.benchmarks._searches import Search, peers
from workers.adapters.embedders import load
from workers.core.context import Entry, Vectors
from workers.core.grid import squared_norms
from workers.core.index import ContextIndex
from workers.core.native import disabled
from workers.core.native import scan as kernels

BATCHES: Final = (1, 16, 64, 256)
LARGE: Final = 100_000
GRAPH_ROWS: Final = 20_000
LARGE_BATCH: Final = 64  # from here on two rounds will do: they are long
TAUGHT_AT_ONCE: Final = 256
FAISS: Final = ("faiss k=1", "faiss k=64")
EXACT: Final = (*FAISS, "numpy", "torch", "usearch exact")
PORTABLE: Final = "without kernels"


def prose() -> Iterator[str]:
    """Lines that read like text, from what is installed."""
    if shutil.which("apt-cache"):
        yield from subprocess.run(
            ["apt-cache", "dumpavail"], capture_output=True, text=True, errors="replace", check=True
        ).stdout.splitlines()
    for file in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        yield from file.read_text("utf-8", errors="replace").splitlines()


def sentences() -> list[str]:
    """Distinct lines of it that have five words or more."""
    wordy = re.compile(r"\s*[A-Za-z][\w'-]*,?( [\w(),.'-]+){4,}")
    return list(dict.fromkeys(line.strip() for line in prose() if wordy.fullmatch(line)))


def corpus(rows: int, queries: int, dimension: int) -> tuple[Vectors, Vectors]:
    """Grid rows, and others that are not among them as queries; rows are repeated where text runs out."""
    chosen = np.random.default_rng(0).permutation(sentences())[: rows + queries].tolist()
    vectors = load(f"hash{dimension}").embed(chosen)
    vectors = vectors[vectors.any(axis=1)]
    return np.resize(vectors[queries:], (rows, dimension)), vectors[:queries]


def entries(first: int, n: int) -> list[Entry]:
    return [Entry(i, 0, "c", f"text {i}", f"answer {i}") for i in range(first, first + n)]


def filled(vectors: Vectors) -> tuple[ContextIndex, list[float]]:
    """The index with these rows, and the seconds of each append."""
    index, seconds = ContextIndex(vectors.shape[1]), []
    for first in range(0, len(vectors), TAUGHT_AT_ONCE):
        part = vectors[first : first + TAUGHT_AT_ONCE]
        taught = entries(first, len(part))
        started = time.perf_counter()
        index.append(0, taught, part)
        seconds.append(time.perf_counter() - started)
    return index, seconds


def ours(index: ContextIndex) -> Search:
    return lambda queries: np.array([found.rows[0] for found in index.search(queries, 1)])


def reference(vectors: Vectors, queries: Vectors) -> NDArray[np.int64]:
    """The nearest row of each query by exact fractions (float64 picks what is close), ties to the first."""
    norms = squared_norms(vectors)
    best = np.empty(len(queries), dtype=np.int64)
    dots = np.concatenate(
        [
            vectors[i : i + 8192].astype(np.float64) @ queries.T.astype(np.float64)
            for i in range(0, len(vectors), 8192)
        ]
    )
    for q in range(len(queries)):
        values = dots[:, q] / np.sqrt(norms)
        close = np.flatnonzero(values >= values.max() - abs(values.max()) * 1e-9).tolist()
        exact = {i: Fraction(int(dots[i, q]) * abs(int(dots[i, q])), int(norms[i])) for i in close}
        best[q] = max(close, key=lambda i: (exact[i], -i))
    return best


def interleaved(
    searches: Mapping[str, Search], queries: Vectors, rounds: int
) -> dict[str, tuple[float, float]]:
    """Median CPU and wall seconds of a call of each, all asked in turn."""
    cpu: dict[str, list[float]] = {name: [] for name in searches}
    wall: dict[str, list[float]] = {name: [] for name in searches}
    for _ in range(rounds + 1):
        for name, search in searches.items():
            before, started = time.process_time(), time.perf_counter()
            search(queries)
            cpu[name].append(time.process_time() - before)
            wall[name].append(time.perf_counter() - started)
    return {name: (statistics.median(cpu[name][1:]), statistics.median(wall[name][1:])) for name in searches}


def bandwidth() -> float:
    """Bytes a second that one thread reads, at best: the sum of an array beyond all caches."""
    array = np.ones(1 << 25)
    seconds = []
    for _ in range(5):
        before = time.thread_time()
        array.sum()
        seconds.append(time.thread_time() - before)
    return array.nbytes / min(seconds)


class Case:
    """Everything measured at one number of rows and one dimension."""

    def __init__(self, rows: int, dimension: int, rounds: int, approximate: bool) -> None:
        self.rows, self.dimension, self._rounds = rows, dimension, rounds
        self._vectors, self._queries = corpus(rows, max(BATCHES), dimension)
        self.index, self.append_s = filled(self._vectors)
        with disabled():
            portable, _ = filled(self._vectors)
        self._searches = {"ours": ours(self.index), PORTABLE: ours(portable)} | peers(
            self._vectors, approximate
        )
        self.truth = reference(self._vectors, self._queries)
        self.seconds = {
            batch: interleaved(self._searches, self._queries[:batch], rounds if batch < LARGE_BATCH else 2)
            for batch in BATCHES
        }

    def ratio(self, batch: int, mine: str, others: Sequence[str]) -> float:
        """CPU time of the best of `others` over that of `mine`; NaN without any of them."""
        taken = [self.seconds[batch][name][0] for name in others if name in self._searches]
        return min(taken, default=float("nan")) / self.seconds[batch][mine][0]

    def wrong(self, name: str) -> int:
        """Queries that a search answers with another row than the exact one, in every batch size."""
        search = self._searches[name]
        found = [
            np.concatenate([search(self._queries[i : i + n]) for i in range(0, len(self.truth), n)])
            for n in (BATCHES if name == "ours" else BATCHES[-1:])
        ]
        return sum(int((answers != self.truth).sum()) for answers in found)

    def looked(self, k: int) -> float:
        """Rows compared in integers for each single query; NaN without kernels."""
        table = self.index._blocks.snapshot.table
        none = np.zeros((1, 3), dtype=np.int64)
        if not kernels.available():
            return float("nan")
        return statistics.mean(kernels.search(table, q[None], k, none).looked for q in self._queries)

    def table(self, report: Report) -> None:
        lines = []
        for name in self._searches:
            times = [f"{self.seconds[b][name][0] / b * 1e6:,.0f}" for b in BATCHES]
            wrong = f"{self.wrong(name) / (len(self.truth) * (len(BATCHES) if name == 'ours' else 1)):.1%}"
            lines.append([name, *times, wrong])
        title = f"{self.rows:,} rows, d = {self.dimension}: CPU microseconds a query"
        report.table(title, ["search", *(f">B={b}" for b in BATCHES), ">not the exact row"], lines)


def measure(rounds: int) -> Report:
    report = Report()
    with threadpool_limits(1):
        cases = [Case(n, d, rounds, n <= GRAPH_ROWS) for d in SIZES.dimensions for n in SIZES.rows]
        for case in cases:
            case.table(report)
        _summarise(report, cases)
        _small(report)
        loading(report, sentences())
    figures = [(name, f"{value:.4g}") for name, value in report.figures.items()]
    report.table("Figures", ["figure", ">"], figures)
    return report


def _summarise(report: Report, cases: Sequence[Case]) -> None:
    large = [case for case in cases if case.rows >= LARGE] or cases
    figures = report.figures
    figures["b1_over_faiss_flat"] = min(case.ratio(1, "ours", FAISS) for case in large)
    for batch in (64, 256):
        figures[f"b{batch}_over_best_f32"] = min(case.ratio(batch, "ours", EXACT) for case in large)
    figures["pip_only_b1"] = min(case.ratio(1, PORTABLE, FAISS) for case in large)
    figures["pip_only_b64"] = min(case.ratio(64, PORTABLE, EXACT) for case in large)
    figures["wrong_answers"] = sum(case.wrong("ours") + case.wrong(PORTABLE) for case in cases)
    figures["read_gb_s"] = bandwidth() / 1e9
    for case in large:
        name = f"n{case.rows}_d{case.dimension}"
        figures[f"scanned_gb_s_{name}"] = case.rows * case.dimension / case.seconds[1]["ours"][0] / 1e9
        figures[f"looked_k1_{name}"], figures[f"looked_k256_{name}"] = case.looked(1), case.looked(256)
        figures[f"append_rows_s_{name}"] = case.rows / sum(case.append_s)
        figures[f"append_longest_ms_{name}"] = max(case.append_s) * 1e3


def _small(report: Report) -> None:
    rows, queries = corpus(10_000, 256, 512)
    index, _ = filled(rows)
    seconds = []
    for i in range(len(queries)):
        started = time.perf_counter()
        index.search(queries[i : i + 1], 1)
        seconds.append(time.perf_counter() - started)
    report.figures["call_us_n10k_d512"] = statistics.median(seconds) * 1e6


SIZES = argparse.Namespace(rows=[1_000, 10_000, LARGE], dimensions=[256, 1024])


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--rows", type=_numbers, default=SIZES.rows)
    parser.add_argument("--dimensions", type=_numbers, default=SIZES.dimensions)
    _, rest = parser.parse_known_args(namespace=SIZES)
    sys.argv[1:] = rest
    main(measure, rounds=5)
