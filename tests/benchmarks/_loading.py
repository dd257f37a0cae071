"""What it takes to load a context of a million rows from a real Valkey, and to hold it.

A process of its own loads it the way a responder does, so that its memory is what loading adds to it. Texts
are the lines that it is given, time and again; every row has an answer of its own, the most there can be.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from hurnet_stream.adapters.embedders import load
from hurnet_stream.adapters.redis import RedisEntryStore, connect, stream
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.rule.halves import undivided
from hurnet_stream.core.stored.batch import Batch, Vectors, joined
from hurnet_stream.local import ValkeyServer
from hurnet_stream.responder.following import READ_BATCHES
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.settings.settings import IngestSettings, RedisSettings
from tests.benchmarks._fill import CONTEXT, Taught, appended
from tests.benchmarks._report import Report

ROWS: Final = 1_000_000
DIMENSION: Final = 256
BATCH: Final = IngestSettings().batch
WARM_ROWS: Final = 50_000
"""Loaded before memory is counted: what a process takes once is not the rows'."""
REMOVED: Final = 0.28
"""Of all rows, in any order."""


def loading(report: Report, lines: Sequence[str], rows: int = ROWS) -> None:
    """Adds the figures `load_1m_s` (wall), `load_1m_cpu_s` and parts of it, and `bytes_per_dimension`."""
    with ValkeyServer(settings={"appendfsync": "no"}) as server:
        _fill(RedisEntryStore(connect(RedisSettings(url=server.url))), lines, rows)
        child = [sys.executable, "-m", __spec__.name, server.url, str(rows)]
        found = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(found)
    report.figures |= figures
    title = f"{rows:,} rows, d = {DIMENSION}, from a Valkey into an index"
    report.table(title, ["figure", ">"], [(name, f"{value:.4g}") for name, value in figures.items()])


def _fill(store: RedisEntryStore, lines: Sequence[str], rows: int) -> None:
    embedder = load(f"hash{DIMENSION}")
    vectors = embedder.embed(lines[:rows])
    store.open(embedder.identity)
    for _ in appended(store, _batches(lines, vectors, rows), partitions=1):
        pass
    store.close()


def _batches(lines: Sequence[str], vectors: Vectors, rows: int) -> Iterator[Taught]:
    known = np.flatnonzero(vectors.any(axis=1))
    for first, end in pairwise([*range(0, rows, BATCH), rows]):
        taken = known[np.arange(first, end) % len(known)]
        answers = [f"answer {row}" for row in range(first, end)]
        yield Taught([lines[line] for line in taken.tolist()], answers, vectors[taken])


def _measure(url: str, rows: int) -> dict[str, float]:
    store = RedisEntryStore(connect(RedisSettings(url=url)))
    with (
        _timed(store, "tail") as read,
        _timed(stream, "decode_batch") as decoded,
        _timed(kernels, "quantise") as quantised,
    ):
        figures, memory = _load(store, rows)
    parts = {"read": read[0] - decoded[0], "decode": decoded[0], "quantise": quantised[0]}
    figures |= {f"load_1m_{part}_cpu_s": seconds * ROWS / rows for part, seconds in parts.items()}
    index = memory.index(CONTEXT)
    sample = [index.entry(row) for row in range(0, rows, 97)]
    utf8 = sum(len(entry.text.encode()) + len((entry.answer or "").encode()) for entry in sample) / len(
        sample
    )
    figures["utf8_bytes_a_row"] = utf8
    figures["bytes_per_dimension_without_utf8"] = figures["bytes_per_dimension"] - utf8 / DIMENSION
    return figures | _pauses(store, memory)


@contextmanager
def _timed(owner: object, name: str) -> Iterator[list[float]]:
    """The CPU seconds spent in a function of a module or an object."""
    spent, function = [0.0], getattr(owner, name)

    def timed(*arguments: Any) -> Any:
        began = time.thread_time()
        try:
            return function(*arguments)
        finally:
            spent[0] += time.thread_time() - began

    setattr(owner, name, timed)
    try:
        yield spent
    finally:
        setattr(owner, name, function)


def _load(store: RedisEntryStore, rows: int) -> tuple[dict[str, float], LoadedContexts]:
    """As `Responder` does; in seconds a million rows."""
    memory, warm, held = LoadedContexts(undivided(DIMENSION)), (0, 0), 0
    began, cpu = time.perf_counter(), time.process_time()
    while batches := store.tail(memory.watermarks(), READ_BATCHES).batches:
        for batch in joined(batches):
            memory.append(batch)
        held = memory.shard_rows(0)
        warm = warm if warm[0] or held < WARM_ROWS else (held, _resident())
    scale = ROWS / rows
    figures = {
        "load_1m_s": (time.perf_counter() - began) * scale,
        "load_1m_cpu_s": (time.process_time() - cpu) * scale,
        "bytes_per_dimension": (_resident() - warm[1]) / (held - warm[0]) / DIMENSION,
    }
    return figures, memory


def _first(store: RedisEntryStore, most: int) -> list[Batch]:
    """So many batches, in as many replies as that takes."""
    found: list[Batch] = []
    while len(found) < most and (some := store.tail({b.partition: b.watermark for b in found}, most).batches):
        found += some
    return found[:most]


def _pauses(store: RedisEntryStore, memory: LoadedContexts) -> dict[str, float]:
    """The longest search between batches that are appended, and the longest removal of an entry while so many
    are removed that the others are moved."""
    index = memory.index(CONTEXT)
    query = index.vectors(np.array([0])).astype(np.int16)
    more = [replace(batch, partition=1) for batch in joined(_first(store, 8 * READ_BATCHES))]
    alone = [_search_s(index, query) for _ in range(50)]
    between = [0.0]
    for batch in more:
        memory.append(batch)
        between.append(_search_s(index, query))
    loaded = memory.shard_rows(0)
    removals = [0.0]
    for offset in np.random.default_rng(0).permutation(loaded)[: int(REMOVED * loaded)].tolist():
        began = time.perf_counter()
        index.remove(0, offset)
        removals.append(time.perf_counter() - began)
    return {
        "search_ms": median(alone) * 1e3,
        "search_longest_between_appends_ms": max(between) * 1e3,
        "remove_us": sum(removals) / len(removals) * 1e6,
        "remove_longest_ms": max(removals) * 1e3,
    }


def _search_s(index: ContextIndex, query: Vectors) -> float:
    began = time.perf_counter()
    index.search(query, 1)
    return time.perf_counter() - began


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    with threadpool_limits(1):
        print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
