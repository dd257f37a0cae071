"""The exact search against libraries' flat and approximate ones, on real text, in one thread each.

Rows and queries are lines of prose from the machine's package descriptions and installed packages, embedded
by hashing. Ratios are medians of CPU time over interleaved rounds. `--rows 10000,500000` and `--dimensions
256,1024` choose other sizes; beyond the text that there is, rows are tiled. Peers that are not installed
(`pip install -e .[bench]`) are left out, and graphs above 20,000 rows: they take minutes to build. `--device
cuda` takes the search there into the comparison.
"""

from __future__ import annotations

import argparse
import math
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tests.benchmarks._loading import loading
from tests.benchmarks._report import Report, main, quantile
from tests.benchmarks._searches import Search, peers
from workers.adapters.embedders import load
from workers.core.context import Entry, Vectors
from workers.core.device_scan import Device, search_device
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
GRAPHS: Final = ("faiss HNSW", "hnswlib")
PORTABLE: Final = "without kernels"
PORTABLE_ROWS: Final = 1_000_000  # beyond them memory would not hold it beside the libraries' float32
CHUNK: Final = 8192
MAX_PRODUCTS: Final = (
    1 << 29
)  # of rows and queries: the libraries' scores are float32, and numpy's stand twice


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


def filled(vectors: Vectors, device: Device | None = None) -> tuple[ContextIndex, list[float]]:
    """The index with these rows, and the seconds of each append."""
    index, seconds = ContextIndex(vectors.shape[1], device=device), []
    for first in range(0, len(vectors), TAUGHT_AT_ONCE):
        part = vectors[first : first + TAUGHT_AT_ONCE]
        taught = entries(first, len(part))
        started = time.perf_counter()
        index.append(0, taught, part)
        seconds.append(time.perf_counter() - started)
    return index, seconds


def append_until(index: ContextIndex, vectors: Vectors, done: Event) -> None:
    offset = 1 << 40
    while not done.is_set():
        index.append(1, entries(offset, len(vectors)), vectors)
        offset += len(vectors)


def ours(index: ContextIndex) -> Search:
    return lambda queries: np.array([found.rows[0] for found in index.search(queries, 1)])


def reference(vectors: Vectors, queries: Vectors) -> NDArray[np.int64]:
    """The nearest row of each query by exact fractions (float64 picks what is close), ties to the first."""
    close: list[list[int]] = [[] for _ in queries]
    best = np.full(len(queries), -np.inf)
    for first in range(0, len(vectors), CHUNK):
        part = vectors[first : first + CHUNK]
        cosines = part.astype(np.float64) @ queries.T.astype(np.float64)
        cosines /= np.sqrt(squared_norms(part))[:, None]
        best = np.maximum(best, cosines.max(axis=0))
        for row, q in np.argwhere(cosines >= best - np.abs(best) * 1e-9).tolist():
            close[q].append(first + row)
    return np.array([_first_best(vectors, q, rows) for q, rows in zip(queries, close, strict=True)])


def _first_best(vectors: Vectors, query: Vectors, rows: Sequence[int]) -> int:
    dots = vectors[rows].astype(np.int64) @ query.astype(np.int64)
    norms = squared_norms(vectors[rows])
    exact = {
        row: Fraction(dot * abs(dot), norm)
        for row, dot, norm in zip(rows, dots.tolist(), norms.tolist(), strict=True)
    }
    return max(rows, key=lambda row: (exact[row], -row))


def interleaved(
    searches: Mapping[str, Search], queries: Vectors, batch: int, rounds: int
) -> dict[str, tuple[float, float]]:
    """Median CPU and wall seconds of a call of each with `batch` queries, all asked in turn."""
    cpu: dict[str, list[float]] = {name: [] for name in searches}
    wall: dict[str, list[float]] = {name: [] for name in searches}
    for i in range(rounds + 1):
        asked = queries[i * batch % len(queries) :][:batch]
        for name, search in searches.items():
            before, started = time.process_time(), time.perf_counter()
            search(asked)
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
            portable = filled(self._vectors)[0] if rows <= PORTABLE_ROWS else None
        self.searches = {"ours": ours(self.index)} | peers(self._vectors, approximate)
        if portable:
            self.searches[PORTABLE] = ours(portable)
        if device := search_device(SIZES.device, sys.exit):  # not measured by what the host does in its stead
            self.searches[SIZES.device] = ours(filled(self._vectors, device)[0])
        self.truth = reference(self._vectors, self._queries)
        self.seconds = {
            batch: interleaved(self.searches, self._queries, batch, rounds if batch < LARGE_BATCH else 2)
            for batch in BATCHES
            if rows * batch <= MAX_PRODUCTS
        }

    def ratio(self, batch: int, mine: str, others: Sequence[str]) -> float:
        """CPU time of the best of `others` over that of `mine`; infinite where they were not compared."""
        seconds = self.seconds.get(batch, {})
        taken = [seconds[name][0] for name in others if name in seconds]
        return min(taken) / seconds[mine][0] if taken and mine in seconds else math.inf

    def wrong(self, name: str) -> int:
        """Queries that a search answers with another row than the exact one, in every batch size."""
        if name not in self.searches:
            return 0
        search = self.searches[name]
        found = [
            np.concatenate([search(self._queries[i : i + n]) for i in range(0, len(self.truth), n)])
            for n in (self.seconds if name == "ours" else [max(self.seconds)])
        ]
        return sum(int((answers != self.truth).sum()) for answers in found)

    def looked(self, k: int) -> tuple[float, float]:
        """Rows that the upper four bits leave of a single query, and rows compared in the end; NaN without
        kernels."""
        table = self.index._blocks.snapshot.table
        none = np.zeros((1, 3), dtype=np.int64)
        if not kernels.available():
            return math.nan, math.nan
        found = [kernels.search(table, q[None], k, none) for q in self._queries]
        return statistics.mean(f.valued for f in found), statistics.mean(f.looked for f in found)

    def two_threads(self, batch: int) -> float:
        """Wall time of a search in one thread over that in two."""
        table, none = self.index._blocks.snapshot.table, np.zeros((batch, 3), dtype=np.int64)
        wall: dict[int, list[float]] = {1: [], 2: []}
        for i in range(21):
            asked = self._queries[i * batch % len(self._queries) :][:batch]
            for threads, seconds in wall.items():
                started = time.perf_counter()
                kernels.search(table, asked, 1, none, threads=threads)
                seconds.append(time.perf_counter() - started)
        return statistics.median(wall[1]) / statistics.median(wall[2])

    def while_appending(self) -> float:
        """99th percentile of the wall seconds of single searches while another thread appends as fast as it
        can."""
        done, seconds = Event(), []
        with ThreadPoolExecutor(1) as pool:
            taught = pool.submit(append_until, self.index, self._vectors[:TAUGHT_AT_ONCE], done)
            for query in self._queries:
                started = time.perf_counter()
                self.index.search(query[None], 1)
                seconds.append(time.perf_counter() - started)
            done.set()
            taught.result()
        return quantile(seconds, 0.99)

    def on_device(self, name: str) -> dict[str, float]:
        """Wall microseconds a query of a search on the device, if one was asked for."""
        of = SIZES.device
        walls = {batch: seconds[of][1] for batch, seconds in self.seconds.items() if of in seconds}
        return {f"{of}_wall_us_b{batch}_{name}": wall / batch * 1e6 for batch, wall in walls.items()}

    def table(self, report: Report) -> None:
        lines = []
        for name in self.searches:
            times = [
                f"{self.seconds[b][name][0] / b * 1e6:,.0f}" if b in self.seconds else "" for b in BATCHES
            ]
            asked = len(self.truth) * (len(self.seconds) if name == "ours" else 1)
            wrong = f"{self.wrong(name) / asked:.1%}"
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
    figures["wrong_answers"] = sum(
        case.wrong("ours") + case.wrong(PORTABLE) + case.wrong(SIZES.device) for case in cases
    )
    figures["read_gb_s"] = bandwidth() / 1e9
    for case in large:
        name = f"n{case.rows}_d{case.dimension}"
        read = case.rows * (case.dimension / 2 + 4)  # the upper four bits, a scale and a slack
        figures[f"scanned_gb_s_{name}"] = read / case.seconds[1]["ours"][0] / 1e9
        for k in (1, 256):
            figures[f"valued_k{k}_{name}"], figures[f"looked_k{k}_{name}"] = case.looked(k)
        figures[f"append_rows_s_{name}"] = case.rows / sum(case.append_s)
        figures[f"append_longest_ms_{name}"] = max(case.append_s) * 1e3
        figures |= case.on_device(name)
    figures |= _recall(cases)
    if kernels.available():
        for n in (1, LARGE_BATCH):
            figures[f"two_threads_over_one_b{n}"] = min(case.two_threads(n) for case in large)
        gains = (figures[f"two_threads_over_one_b{n}"] for n in (1, LARGE_BATCH))
        figures["two_threads_over_one"] = min(gains)
    for case in large:  # last, as it appends
        name = f"n{case.rows}_d{case.dimension}"
        figures[f"search_while_appending_p99_ms_{name}"] = case.while_appending() * 1e3


def _recall(cases: Sequence[Case]) -> dict[str, float]:
    """The share of queries for which a graph finds the exact row."""
    return {
        f"recall_{graph.replace(' ', '_').lower()}_n{case.rows}_d{case.dimension}": (
            1 - case.wrong(graph) / len(case.truth)
        )
        for case in cases
        for graph in GRAPHS
        if graph in case.searches
    }


def _small(report: Report) -> None:
    rows, queries = corpus(10_000, 256, 512)
    index, _ = filled(rows)
    seconds = []
    for i in range(len(queries)):
        started = time.perf_counter()
        index.search(queries[i : i + 1], 1)
        seconds.append(time.perf_counter() - started)
    report.figures["call_us_n10k_d512"] = statistics.median(seconds) * 1e6


SIZES = argparse.Namespace(rows=[1_000, 10_000, LARGE], dimensions=[256, 1024], device="cpu")


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--rows", type=_numbers, default=SIZES.rows)
    parser.add_argument("--dimensions", type=_numbers, default=SIZES.dimensions)
    parser.add_argument("--device", default=SIZES.device)
    _, rest = parser.parse_known_args(namespace=SIZES)
    sys.argv[1:] = rest
    main(measure, rounds=9)
