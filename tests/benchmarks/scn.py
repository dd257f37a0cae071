"""Equation 1 between a query and the 64 nearest of the demo's texts, in every way there is to compute it.

The ways take turns, on one thread. The query's text is new to all of them; the candidates have
been encoded before, except where the table says otherwise and by rapidfuzz, which has no such step.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median

from rapidfuzz.fuzz import token_sort_ratio
from rapidfuzz.process import cdist

from hurnet_stream.adapters.embedders import load
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import disabled, library
from hurnet_stream.core.rule.encoded_words import encode, kept, similarities
from hurnet_stream.core.rule.parts import COMPARED
from hurnet_stream.core.rule.scn import similarity
from hurnet_stream.core.stored.batch import Entry
from hurnet_stream.demo import data
from tests.benchmarks._report import Report, main

QUERIES, REFERENCE_QUERIES = 200, 20
LETTERS = 8_192

Case = tuple[str, list[str]]
Way = Callable[[str, list[str]], object]


def measure(rounds: int) -> Report:
    """Medians over all queries and rounds."""
    if library() is None:
        sys.exit("the kernels were not built: python -m hurnet_stream.core.native.build")
    texts, cases = _cases()
    encoding: list[float] = []
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        encoding += [_timed(encode, text) for text in texts]
        for text in texts:
            kept(text)
        for name, way in WAYS.items():
            seconds[name] += [_timed(way, query, candidates) for query, candidates in cases]
    seconds |= _other_states(cases)
    return _report({name: median(times) for name, times in seconds.items()}, median(encoding), texts)


def _cases() -> tuple[list[str], list[Case]]:
    """The demo's texts, and some of its questions with the nearest of them."""
    known, embedder = data.load(), load("hash512")
    texts, index = [pair.text for pair in known.stream], ContextIndex(512)
    index.append(0, [Entry(i, 0, "demo", text) for i, text in enumerate(texts)], embedder.embed(texts))
    queries = [pair.text for pair in known.questions][:QUERIES]
    found = index.search(embedder.embed(queries), COMPARED)
    return texts, [(q, [texts[row] for row in m.rows]) for q, m in zip(queries, found, strict=True)]


def _timed(call: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


def _in_numpy(query: str, candidates: list[str]) -> object:
    with disabled():
        return similarities(query, candidates)


def _rapidfuzz(query: str, candidates: list[str]) -> object:
    return cdist([query], candidates, scorer=token_sort_ratio)


WAYS: dict[str, Way] = {"rerank_64": similarities, "rerank_64_numpy": _in_numpy, "rapidfuzz_64": _rapidfuzz}
TITLES = {
    "rerank_64": "compiled",
    "rerank_64_numpy": "numpy, where there is no compiler",
    "rapidfuzz_64": "rapidfuzz token_sort_ratio, another measure",
    "rerank_64_first_time": "compiled, candidates never seen before",
    "reference_64": "reference, as the paper reads",
    "most": f"compiled, all that MOST_LETTERS allows: {LETTERS:,} different ideographs against as many",
}


def _other_states(cases: Sequence[Case]) -> dict[str, list[float]]:
    """What would disturb the rest: candidates met for the first time, the reference, the longest texts."""
    first_time = []
    for query, candidates in cases:
        kept.cache_clear()
        first_time.append(_timed(similarities, query, candidates))
    query, other = ("".join(map(chr, range(at, at + LETTERS))) for at in (0x4E00, 0x4E00 + LETTERS))
    assert len(similarities(query, [other] * 2)) == 1
    return {
        "rerank_64_first_time": first_time,
        "reference_64": [_timed(_reference, *case) for case in cases[:REFERENCE_QUERIES]],
        "most": [_timed(similarities, query, [other] * COMPARED) for _ in range(3)],
    }


def _reference(query: str, candidates: Iterable[str]) -> object:
    return [similarity(query, candidate) for candidate in candidates]


def _report(seconds: dict[str, float], encoding: float, texts: Sequence[str]) -> Report:
    report = Report({f"{name}_ms": value * 1e3 for name, value in seconds.items()})
    sizes = [sys.getsizeof(encode(text)) for text in texts]
    report.figures |= {"encode_us": encoding * 1e6, "encoded_bytes": sum(sizes) / len(sizes)}
    rows = [(TITLES[name], f"{value * 1e3:.3f}") for name, value in seconds.items()]
    report.table(f"A query against {COMPARED} candidates", ("way", ">ms, median"), rows)
    letters = sum(map(len, texts)) / len(texts)
    encoded = (f"{letters:.0f}", f"{encoding * 1e6:.1f}", f"{report.figures['encoded_bytes']:.0f}")
    report.table("Encoding a text", (">letters, mean", ">µs, median", ">bytes, mean"), [encoded])
    return report


if __name__ == "__main__":
    main(measure, rounds=5)
