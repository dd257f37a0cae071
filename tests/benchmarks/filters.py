"""Questions with filters: what one costs by how many rows pass, beside brute force over them and a graph.

Rows and questions are lines of Debian's package descriptions, hashed to 256 dimensions. A filter passes a
share of the rows, scattered over all of them or all in one place, as the entries of a day are; or it is a
range of a number that no two rows share. Times are CPU time of one question for its ten nearest rows, in one
thread, medians over questions; ours include telling which rows pass. `ours` is a filter that is asked for the
first time, `again` one that has been asked so often that it has excerpts (decision 0331). Recall is the share
of the ten that is found.

    brute force    numpy multiplies the passing rows, whose numbers it is given
    HNSW           faiss, M = 32, with the passing rows as an IDSelectorBitmap, looking at 64 and 256 rows
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hurnet_stream.core.index.conditions import Between, Condition, OneOf
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.search.passing import Passing
from hurnet_stream.core.stored.batch import Entry, Vectors
from tests.benchmarks._report import Report, main, say
from tests.benchmarks._text import Corpus, corpora

NEAREST: Final = 10
QUESTIONS: Final = 40
SHARES: Final = (1.0, 0.5, 0.25, 0.1, 0.03, 0.01, 0.001, 0.0001)
ASKED: Final = 24
"""How often a filter is asked before it is timed: excerpts of all blocks are there then."""
APPENDED_AT_ONCE: Final = 1 << 12
LOOKED_AT: Final = (64, 256)

OPTIONS: Final = argparse.Namespace(rows=200_000, embedder="hash256", graph=True)

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Search = Callable[[Vectors, Passing], Integers]
"""The nearest rows (NEAREST,) of a question among those that pass."""


def measure(rounds: int) -> Report:
    report = Report()
    with threadpool_limits(1):
        (corpus,) = corpora(OPTIONS.embedder, [OPTIONS.rows], QUESTIONS)
        index, metadata_bytes = filled(corpus)
        report.figures["metadata_bytes_per_item"] = metadata_bytes
        unit = unit_rows(corpus.distinct[np.arange(corpus.rows) % len(corpus.distinct)])
        searches = peers(index, unit)
        shown = []
        for kind in ("scattered", "clustered", "range"):
            for share in SHARES:
                say(f"{kind}, {100 * share:g} % pass")
                shown.append(_row(report, index, unit, corpus.queries, searches, kind, share, rounds))
        columns = ["filter", ">rows", ">filter µs", *(f">{name} µs" for name in searches)]
        recalls = [f">{name}: recall" for name in searches]
        report.table(f"{corpus}, {NEAREST} nearest, one question", [*columns, *recalls], shown)
    return report


def condition(kind: str, share: float) -> Condition:
    """The filter that passes this share of the rows."""
    if kind == "range":
        return Between("rank", below=share * OPTIONS.rows)
    return OneOf(f"{kind}-{share:g}", ("yes",))


def filled(corpus: Corpus) -> tuple[ContextIndex, float]:
    """An index of the rows with their metadata, and the bytes that an item of metadata takes."""
    ranks = np.random.default_rng(0).permutation(corpus.rows)
    index, bare, first, items = ContextIndex(corpus.dimension), ContextIndex(corpus.dimension), 0, 0
    for vectors in corpus.parts(APPENDED_AT_ONCE):
        rows = range(first, first + len(vectors))
        metadata = [_metadata(row, ranks.item(row), corpus.rows) for row in rows]
        items, first = items + sum(map(len, metadata)), rows.stop
        index.append(
            0, [Entry(row, 0, "c", "t", "a", own) for row, own in zip(rows, metadata, strict=True)], vectors
        )
        bare.append(0, [Entry(row, 0, "c", "t", "a") for row in rows], vectors)
    return index, (index.nbytes - bare.nbytes) / items


def _metadata(row: int, rank: int, rows: int) -> dict[str, str]:
    scattered = {f"scattered-{share:g}": "yes" for share in SHARES if rank < share * rows}
    start = rows // 3  # where the rows that stand together begin
    clustered = {
        f"clustered-{share:g}": "yes" for share in SHARES if (row - start) % rows < max(1, share * rows)
    }
    return {"rank": str(rank), **scattered, **clustered}


def unit_rows(vectors: Vectors) -> Floats:
    wide: Floats = vectors.astype(np.float32)
    wide /= np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    return wide


def peers(index: ContextIndex, unit: Floats) -> dict[str, Search]:
    def ours(question: Vectors, passing: Passing) -> Integers:
        return index.search(question[None], NEAREST, within=[passing])[0].rows

    def brute(question: Vectors, passing: Passing) -> Integers:
        scores = unit[passing.rows] @ question.astype(np.float32)
        best = np.argpartition(-scores, min(NEAREST, len(scores) - 1))[:NEAREST]
        return passing.rows[best]

    return {"ours": ours, "again": ours, "brute force": brute} | (_graphs(unit) if OPTIONS.graph else {})


def _graphs(unit: Floats) -> dict[str, Search]:
    if not find_spec("faiss"):
        say("faiss is not installed: no graph")
        return {}
    import faiss

    say("building a graph")
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    graph = faiss.IndexHNSWFlat(unit.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    graph.add(unit)
    faiss.omp_set_num_threads(1)
    return {f"HNSW {ef}": _graph_search(faiss, graph, ef) for ef in LOOKED_AT}


def _graph_search(faiss: Any, graph: Any, looked_at: int) -> Search:
    def search(question: Vectors, passing: Passing) -> Integers:
        selector = faiss.IDSelectorBitmap(passing.bits)
        parameters = faiss.SearchParametersHNSW(sel=selector, efSearch=looked_at)
        found = graph.search(question[None].astype(np.float32), NEAREST, params=parameters)[1][0]
        rows: Integers = found[found >= 0]
        return rows

    return search


def _row(
    report: Report,
    index: ContextIndex,
    unit: Floats,
    questions: Vectors,
    searches: Mapping[str, Search],
    kind: str,
    share: float,
    rounds: int,
) -> Sequence[object]:
    asked = condition(kind, share)
    filter_s = median(_timed(lambda: index.passing(asked)) for _ in range(9 * rounds))
    passing = index.passing(asked)
    for _ in range(ASKED):
        index.search(questions[:1], NEAREST, within=[passing])
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    recalls: dict[str, list[float]] = {name: [] for name in searches}
    for question in questions:
        right = unit[passing.rows] @ question.astype(np.float32)
        least = np.partition(right, -min(NEAREST, len(right)))[-min(NEAREST, len(right))]
        for name, search in searches.items():
            known = asked if name == "again" else None
            fresh = [Passing(passing.rows, OPTIONS.rows, known) for _ in range(rounds)]
            seconds[name].append(min(_timed(partial(search, question, own)) for own in fresh))
            found = search(question, passing)
            good = unit[found] @ question.astype(np.float32) >= least - abs(least) * 1e-5
            recalls[name].append(good.sum() / min(NEAREST, len(right)))
    times = {name: median(own) * 1e6 for name, own in seconds.items()}
    for own in ("ours", "again"):
        times[own] += filter_s * 1e6
    mean = {name: float(np.mean(own)) for name, own in recalls.items()}
    for name in searches:
        label = f"{name.replace(' ', '_').lower()}_{kind}_{share:g}"
        report.figures |= {f"{label}_us": times[name], f"{label}_recall": mean[name]}
    cells = [f"{filter_s * 1e6:,.0f}", *(f"{times[name]:,.0f}" for name in searches)]
    return [f"{kind} {100 * share:g} %", f"{passing.count:,}", *cells, *(f"{mean[n]:.3f}" for n in searches)]


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, metavar="N")
    parser.add_argument("--embedder", metavar="NAME")
    parser.add_argument("--no-graph", dest="graph", action="store_false", help="it takes minutes to build")
    main(measure, rounds=3, parser=parser, into=OPTIONS)
