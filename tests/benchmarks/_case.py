"""Everything that is measured at one number of rows and with one embedder."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import disabled
from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.search.device import search_device
from tests.benchmarks._exact import Tally, nearest
from tests.benchmarks._inside import scanned, survivors, two_threads
from tests.benchmarks._race import BATCHES, Raced, check, race
from tests.benchmarks._report import Report, say
from tests.benchmarks._searches import GRAPHS, Search, peers
from tests.benchmarks._text import Corpus
from tests.benchmarks._upkeep import Changed, filled, remove, search_between_appends

OURS: Final = "ours"
PORTABLE: Final = "without kernels"
ON_DEVICE: Final = "on the device"
LARGE: Final = 100_000
"""Goals hold from here on."""
PORTABLE_ROWS: Final = 1_000_000
"""Above, nothing is measured without kernels, and nothing removed: both take minutes."""


@dataclass(slots=True)
class Case:
    """What was measured. `tally` is of all queries that ours was asked; `gains` are two threads' over one."""

    title: str
    name: str
    rows: int
    raced: Raced = field(default_factory=dict)
    again: dict[str, Tally] = field(default_factory=dict)
    gains: dict[int, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    def ratio(self, batch: int, mine: str, others: Sequence[str]) -> float:
        """CPU time of the best of `others` over that of `mine`; infinite where they were not compared."""
        calls = self.raced[batch]
        if mine not in calls:
            return math.inf
        return min((calls[name].over(calls[mine]) for name in others if name in calls), default=math.inf)

    def answered(self, name: str) -> Tally:
        """All queries that a search was asked."""
        whole = Tally()
        for calls in self.raced.values():
            if name in calls:
                whole.include(calls[name].tally)
        whole.include(self.again.get(name, Tally()))
        return whole

    def tables(self, report: Report) -> None:
        columns = ["search", *(f">B={batch}" for batch in BATCHES)]
        tallies = {name: self.answered(name) for name in self.raced[1]}
        cpu = [
            [name, *(self._cell(batch, name, 0) for batch in BATCHES), f"{tally.wrong:,} of {tally.asked:,}"]
            for name, tally in tallies.items()
        ]
        wall = [[name, *(self._cell(batch, name, 1) for batch in BATCHES)] for name in tallies]
        report.table(f"{self.title}: CPU µs a query", [*columns, ">not the exact row"], cpu)
        report.table(f"{self.title}: wall µs a query", columns, wall)

    def _cell(self, batch: int, name: str, clock: int) -> str:
        calls = self.raced[batch].get(name)
        return f"{calls.seconds()[clock] / batch * 1e6:,.0f}" if calls else "too long"


def measure(corpus: Corpus, embedder: str, rounds: int, graphs: bool, device: str) -> Case:
    """All of it. What it was measured on is let go: memory need hold but one case."""
    case = Case(f"{corpus}, {embedder}", f"n{corpus.rows}_{embedder}", corpus.rows)
    say(case.title)
    index, changed, truth = _race(case, corpus, rounds, graphs, device)
    _figures(case)
    if kernels.available():
        say("  what is read")
        read = scanned(corpus.rows, corpus.dimension)
        case.figures[f"scanned_gb_s_{case.name}"] = read / case.raced[1][OURS].seconds()[0] / 1e9
        case.figures |= survivors(index, corpus.queries, case.name)
    if corpus.rows < LARGE:
        return case
    if kernels.available():
        say("  two threads")
        case.gains = two_threads(index, corpus.queries, truth, case.tally)
    say("  searches between appends")
    copies = search_between_appends(index, corpus, truth, changed)
    if corpus.rows <= PORTABLE_ROWS:
        say("  removals")
        remove(index, corpus, copies, changed)
    case.tally.include(changed.tally)
    case.figures |= changed.figures(case.name)
    return case


def _race(
    case: Case, corpus: Corpus, rounds: int, graphs: bool, device: str
) -> tuple[ContextIndex, Changed, NDArray[np.int64]]:
    """Leaves the index, how it was filled, and the exact answers."""
    say("  filling libraries")
    others = peers(corpus, graphs)  # first: faiss takes half as much again while it grows
    say("  filling the index")
    index, changed = filled(corpus)
    searches = {OURS: _ours(index)} | others
    say("  the exact reference")
    truth = nearest(corpus.distinct, corpus.queries)
    if corpus.rows <= PORTABLE_ROWS:
        with disabled():
            searches[PORTABLE] = _ours(filled(corpus)[0])
    if place := search_device(device, sys.exit):  # not measured by what the host does in its stead
        searches[ON_DEVICE] = _ours(filled(corpus, place)[0])
    case.raced = race(searches, corpus.queries, truth, rounds)
    say("  every query once more")
    sizes = dict.fromkeys((PORTABLE, *GRAPHS), BATCHES[-1:]) | dict.fromkeys((OURS, ON_DEVICE), BATCHES)
    for name in filter(searches.__contains__, sizes):
        case.again[name] = check(searches[name], corpus.queries, truth, sizes[name])
    for name in (OURS, PORTABLE, ON_DEVICE):
        case.tally.include(case.answered(name))
    return index, changed, truth


def _figures(case: Case) -> None:
    for batch, calls in case.raced.items():
        cpu, wall = calls[OURS].seconds()
        case.figures |= {
            f"b{batch}_cpu_us_{case.name}": cpu / batch * 1e6,
            f"b{batch}_wall_us_{case.name}": wall / batch * 1e6,
        }
    case.figures |= {
        f"recall_{graph.replace(' ', '_').lower()}_{case.name}": 1 - tally.wrong / tally.asked
        for graph, tally in case.again.items()
        if graph in GRAPHS
    }


def _ours(index: ContextIndex) -> Search:
    return lambda queries: np.array([found.rows[0] for found in index.search(queries, 1)])
