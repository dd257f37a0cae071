"""The exact search against libraries' flat and approximate ones, on real text, in one thread each.

Rows and queries are lines of Debian's package descriptions, fetched once with apt, embedded by hashing to 256
and to 1,024 dimensions, as many as the default embedder has. Ratios are of CPU time, medians over interleaved
rounds, and every answer is compared with the exact one. Peers that are not installed (`pip install -e
.[bench]`) are left out, and so is a search where a call would take more than 40 seconds. The exact row is the
first of equal ones: a library that names a copy, where rows are tiled, names another row.

Other sizes, with the memory that they take; beyond the text that there is (630,000 lines), rows are tiled:

    --rows 500000 --dimensions 256                5 GB
    --rows 500000 --dimensions 1024               9 GB
    --rows 4000000 --dimensions 256              13 GB
    --rows 100000 --embedder use+hash512          the default embedder itself, 700 texts a second
    --graph-rows 100000                           graphs too, which take minutes to build
    --device cuda                                 the search on a GPU too
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from statistics import median
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from tests.benchmarks import _case
from tests.benchmarks._case import LARGE, OURS, PORTABLE, Case
from tests.benchmarks._exact import Tally, nearest
from tests.benchmarks._inside import THREADED, bandwidth
from tests.benchmarks._loading import DIMENSION, loading
from tests.benchmarks._race import BATCHES
from tests.benchmarks._report import Report, main, say
from tests.benchmarks._searches import EXACT, FAISS
from tests.benchmarks._text import corpora, sentences
from tests.benchmarks._upkeep import filled

SMALL: Final = (10_000, "hash512")
OPTIONS: Final = argparse.Namespace(
    rows=[1_000, 10_000, LARGE],
    dimensions=[256, 1024],
    embedder=None,
    graph_rows=20_000,
    loading=True,
    device="cpu",
)


def measure(rounds: int) -> Report:
    report, tally = Report(), Tally()
    with threadpool_limits(1):
        cases = _cases(rounds)
        for case in cases:
            case.tables(report)
            tally.include(case.tally)
        _summarise(report, cases)
        report.figures["call_us_n10k_d512"] = _small(tally) * 1e6
        if OPTIONS.loading:
            say("a million rows from a Valkey")
            loading(report, sentences())
            report.figures["bytes_per_entry"] = report.figures["bytes_per_dimension"] * DIMENSION
    report.figures |= {"wrong_answers": tally.wrong, "queries_checked": tally.asked}
    known = [(name, value) for name, value in report.figures.items() if math.isfinite(value)]
    lines = [(name, f"{value:,.0f}" if value >= 1000 else f"{value:.4g}") for name, value in known]
    report.table("Figures", ["figure", ">"], lines)
    return report


def _cases(rounds: int) -> list[Case]:
    embedders = [OPTIONS.embedder] if OPTIONS.embedder else [f"hash{d}" for d in OPTIONS.dimensions]
    return [
        _case.measure(corpus, embedder, rounds, corpus.rows <= OPTIONS.graph_rows, OPTIONS.device)
        for embedder in embedders
        for corpus in corpora(embedder, OPTIONS.rows, max(BATCHES))
    ]


def _summarise(report: Report, cases: Sequence[Case]) -> None:
    large = [case for case in cases if case.rows >= LARGE] or cases
    figures = report.figures
    figures["b1_over_faiss_flat"] = min(case.ratio(1, OURS, FAISS) for case in large)
    for batch in (64, 256):
        figures[f"b{batch}_over_best_f32"] = min(case.ratio(batch, OURS, EXACT) for case in large)
    figures["pip_only_b1"] = min(case.ratio(1, PORTABLE, FAISS) for case in large)
    figures["pip_only_b64"] = min(case.ratio(64, PORTABLE, EXACT) for case in large)
    if gains := [case.gains for case in large if case.gains]:
        by_batch = {batch: min(gain[batch] for gain in gains) for batch in THREADED}
        figures |= {f"two_threads_over_one_b{batch}": gain for batch, gain in by_batch.items()}
        figures["two_threads_over_one"] = min(by_batch.values())
    figures["read_gb_s"] = bandwidth() / 1e9
    for case in cases:
        figures |= case.figures


def _small(tally: Tally) -> float:
    """Median wall seconds of a call with one query."""
    rows, embedder = SMALL
    (corpus,) = corpora(embedder, [rows], max(BATCHES))
    index, seconds = filled(corpus)[0], []
    truth = nearest(corpus.distinct, corpus.queries)
    for i in range(len(truth)):
        query = corpus.queries[i : i + 1]
        began = time.perf_counter()
        found = index.search(query, 1)
        seconds.append(time.perf_counter() - began)
        tally.add(np.array([found[0].rows[0]]), truth[i : i + 1])
    return median(seconds)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=_numbers, metavar="N,...")
    parser.add_argument("--dimensions", type=_numbers, metavar="D,...", help="that texts are hashed to")
    parser.add_argument("--embedder", help="instead of hashing")
    parser.add_argument("--graph-rows", type=int, metavar="N", help="up to which graphs are compared too")
    parser.add_argument("--no-loading", dest="loading", action="store_false", help="without a Valkey")
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], help="that is searched on too")
    main(measure, rounds=9, parser=parser, into=OPTIONS)
