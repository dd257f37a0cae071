"""An index while it changes: rows appended and removed, searches between, every answer checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.search.device import Device
from hurnet_stream.core.stored.batch import Entry
from tests.benchmarks._exact import Tally, nearest
from tests.benchmarks._report import quantile
from tests.benchmarks._text import Corpus

TAUGHT_AT_ONCE: Final = 256
BETWEEN_SECONDS: Final = 4.0
APART: Final = 3
"""Of so many rows one is removed: more than the quarter from which blocks are given up."""


@dataclass(slots=True)
class Changed:
    """Wall seconds of each append, of each search between appends and of each removal; what the searches
    answered."""

    append_s: list[float] = field(default_factory=list)
    between_s: list[float] = field(default_factory=list)
    remove_s: list[float] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def figures(self, name: str) -> dict[str, float]:
        found = {
            f"append_rows_s_{name}": TAUGHT_AT_ONCE * len(self.append_s) / sum(self.append_s),
            f"append_longest_ms_{name}": max(self.append_s) * 1e3,
            f"search_between_appends_p99_ms_{name}": quantile(self.between_s, 0.99) * 1e3,
            f"search_between_appends_longest_ms_{name}": max(self.between_s) * 1e3,
        }
        if self.remove_s:
            found |= {
                f"remove_rows_s_{name}": len(self.remove_s) / sum(self.remove_s),
                f"remove_p99_ms_{name}": quantile(self.remove_s, 0.99) * 1e3,
                f"remove_longest_ms_{name}": max(self.remove_s) * 1e3,
            }
        return found


def filled(corpus: Corpus, device: Device | None = None) -> tuple[ContextIndex, Changed]:
    """The index with these rows, at offsets from 0 on of partition 0."""
    index, changed = ContextIndex(corpus.dimension, device=device), Changed()
    for i, part in enumerate(corpus.parts(TAUGHT_AT_ONCE)):
        entries = _entries(i * TAUGHT_AT_ONCE, len(part))
        changed.append_s.append(_seconds(partial(index.append, 0, entries, part)))
    return index, changed


def search_between_appends(
    index: ContextIndex, corpus: Corpus, truth: NDArray[np.int64], changed: Changed
) -> int:
    """Single searches, before each of which copies of the first rows are appended to partition 1. They change
    no answer, since ties go to the lowest partition. Returns how many there are of them."""
    copies, appended = corpus.distinct[:TAUGHT_AT_ONCE], 0
    until = time.perf_counter() + BETWEEN_SECONDS
    for i, query in enumerate(corpus.queries):
        if time.perf_counter() > until:
            break
        index.append(1, _entries(appended, len(copies)), copies)
        appended += len(copies)
        began = time.perf_counter()
        found = index.search(query[None], 1)[0]
        changed.between_s.append(time.perf_counter() - began)
        changed.tally.add(found.rows, truth[i : i + 1])
    return appended


def remove(index: ContextIndex, corpus: Corpus, copies: int, changed: Changed) -> None:
    """All copies and one row in three, and what is then found."""
    gone = range(0, corpus.rows, APART)
    for partition, offsets in enumerate((gone, range(copies))):
        for offset in offsets:
            changed.remove_s.append(_seconds(partial(index.remove, partition, offset)))
    kept = np.delete(np.arange(corpus.rows), gone)
    truth = kept[nearest(corpus.distinct[kept % len(corpus.distinct)], corpus.queries)]
    found = [index.entry_id(matches.rows.item(0)) for matches in index.search(corpus.queries, 1)]
    changed.tally.add(np.array([offset if partition == 0 else -1 for partition, offset in found]), truth)


def _entries(first: int, n: int) -> list[Entry]:
    return [Entry(i, 0, "c", f"text {i}", f"answer {i}") for i in range(first, first + n)]


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
