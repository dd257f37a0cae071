"""The k best rows of a query among all rows, by exact cosine, in two steps.

1. A pass over few bits of every row gives each an upper and a lower bound of its cosine (`bounds`). A row
   whose upper bound is below the k-th largest lower bound cannot win, and is dropped:

       k = 1      lower     upper
       row 3      0.71 ---- 0.74        the largest lower bound is 0.71
       row 8        0.70 ---- 0.73      may still win: stays
       row 5      0.52 ---- 0.55        dropped, unread

2. The few survivors are compared in integers (`order`), which is what decides.

Three ways lead to the same rows. With the kernels, one call in C does both steps. With a device, its pass
names the survivors and this process decides. Without either, a library multiplies (`int8`) and numpy does the
rest, more slowly.

A query may be restricted to some rows (`Scope.within`). Rows that may not answer raise no bar, so the result
is that of an index without them. If fewer than one row in SPARSE may answer, the query is searched apart from
the others, and just these rows are compared. So is one of a filter that is asked again and again, and so has
`excerpts`, if fewer than one in EXCERPTED may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import squared_norms
from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.search import bounds, order
from hurnet_stream.core.search.block import BLOCK_ROWS
from hurnet_stream.core.search.blocks import Blocks
from hurnet_stream.core.search.excerpts import Usable
from hurnet_stream.core.search.int8 import Floats, multiply
from hurnet_stream.core.search.passing import Passing
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import EntryId

if TYPE_CHECKING:
    from hurnet_stream.core.search.device import DeviceRows

Integers = NDArray[np.int64]
Answers = NDArray[np.bool_]

_FIRST_ROWS = 512
_FIRST_TIMES = 32
"""The first rows of all, at least _FIRST_ROWS and _FIRST_TIMES k of them, raise the bar before any row is
kept: otherwise the sieve would keep all of the first part."""
_LEAST_ROWS = 2048
_PRODUCTS = 1 << 17
"""The products of rows and queries that are made at once, so that they stay in the caches; but for at least
_LEAST_ROWS rows."""
_SHARE = 1 << 22
"""The products from which another thread saves more time than it takes to start (50 microseconds)."""
_NEVER: Final = -(2.0**100)


SPARSE: Final = 32
"""A query that fewer than one in so many rows may answer is searched apart. With others it would share the
reading of rows that it does not need."""
EXCERPTED: Final = 8
"""The same with excerpts. What many queries share then costs each of them less than so many rows alone."""
_PART: Final = 1 << 12
"""The rows that are compared in integers at once, without kernels."""


class Scope(NamedTuple):
    """Which rows may answer n queries: none of the entry that `exclude` (n,) names, none of the answers that
    `without` (answers,) marks, and only those of `within` (n,), unless it is None. `excerpts` are those of
    these, if there are any."""

    exclude: Sequence[EntryId | None]
    without: Answers | None = None
    within: Sequence[Passing | None] | None = None
    excerpts: Mapping[Passing, Usable] = MappingProxyType({})

    def part(self, queries: Sequence[int]) -> Scope:
        """The same for some of the queries."""
        within = self.within and [self.within[i] for i in queries]
        return Scope([self.exclude[i] for i in queries], self.without, within, self.excerpts)

    def rows(self, query: int, blocks: Blocks) -> int:
        """How many rows may answer a query, but for those that are excluded."""
        own = self.of(query)
        return own.count if own else blocks.rows

    def of(self, query: int) -> Passing | None:
        """The rows that may answer a query, None if all may."""
        return self.within[query] if self.within else None

    def is_apart(self, query: int, blocks: Blocks) -> bool:
        """Whether so few rows may answer a query that it is searched alone."""
        share = EXCERPTED if self.of(query) in self.excerpts else SPARSE
        return self.rows(query, blocks) * share < blocks.rows


class Nearest(NamedTuple):
    """The k best rows of one query, best first, and their exact cosines rounded to float64."""

    rows: Integers
    cosines: NDArray[np.float64]


_NOTHING = Nearest(np.empty(0, dtype=np.int64), np.empty(0))


def search(blocks: Blocks, queries: Vectors, k: int, scope: Scope, threads: int = 1) -> list[Nearest]:
    """The k best rows for each query (n, d), which the caller has checked to lie on the grid, among those in
    its scope. A query of zeros has none. Ties go to the lowest (partition, offset).

    The kernels share the rows among as many of `threads` as save time by it.
    """
    nearest = [_NOTHING for _ in queries]
    if k < 1 or not blocks.rows:
        return nearest
    k = min(k, blocks.rows)
    scope = scope._replace(excerpts=_excerpts(blocks, scope.within))
    asked = [i for i in range(len(queries)) if scope.rows(i, blocks)]
    apart = [i for i in asked if scope.is_apart(i, blocks)]
    together = [i for i in asked if i not in apart]
    if together:
        found = _together(blocks, queries[together], k, scope.part(together), threads)
        for i, of_query in zip(together, found, strict=True):
            nearest[i] = of_query
    for i in apart:
        nearest[i] = _apart(blocks, queries[i], k, scope.part([i]), threads)
    return nearest


def _together(blocks: Blocks, queries: Vectors, k: int, scope: Scope, threads: int) -> list[Nearest]:
    if blocks.device and scope.without is None:
        nearest = _on_device(blocks.device, blocks, queries, k, scope)
        if nearest is not None:
            return nearest
    if blocks.native:
        return _natively(blocks, queries, k, scope, threads)
    return _portably(blocks, queries, k, scope)


def _apart(blocks: Blocks, query: Vectors, k: int, scope: Scope, threads: int) -> Nearest:
    """One query (d,) that few rows may answer: these are compared, and no others."""
    if blocks.native:
        return _natively(blocks, query[None], k, scope, threads)[0]
    rows = scope.within[0].rows if scope.within and scope.within[0] else np.empty(0, np.int64)
    if scope.without is not None:
        rows = rows[~scope.without[blocks.column("answers", rows)]]
    if not query.any():
        return _NOTHING
    best = [np.empty(0, np.int64)]
    for first in range(0, len(rows), _PART):
        best.append(_decide(blocks, query, rows[first : first + _PART], k, scope.exclude[0]).rows)
    return _decide(blocks, query, np.concatenate(best), k, scope.exclude[0])


def _on_device(
    device: DeviceRows, blocks: Blocks, queries: Vectors, k: int, scope: Scope
) -> list[Nearest] | None:
    """None if the device has failed."""
    nearest = [_NOTHING for _ in queries]
    asked = np.flatnonzero(np.any(queries, axis=1)).tolist()
    if not asked:
        return nearest
    exclude, _, within, _ = scope.part(asked)
    # An excluded entry may be among the survivors, so one more is asked for.
    wanted = [k + (entry is not None) for entry in exclude]
    survivors = device.survivors(queries[asked], wanted, within)
    if survivors is None:
        return None
    for i, rows, entry in zip(asked, survivors, exclude, strict=True):
        nearest[i] = _decide(blocks, queries[i], rows, k, entry)
    return nearest


def _natively(blocks: Blocks, queries: Vectors, k: int, scope: Scope, threads: int) -> list[Nearest]:
    own = None
    if any(scope.exclude):
        own = np.array([(1, *entry) if entry else (0, 0, 0) for entry in scope.exclude], dtype=np.int64)
    within = None if scope.within is None else [own.bits if own else None for own in scope.within]
    rows = sum(scope.rows(i, blocks) for i in range(len(queries)))
    useful_threads = 1 + rows * blocks.dimension // _SHARE
    threads = min(threads, useful_threads)
    left_out = kernels.LeftOut(own, scope.without, within, _structs(scope))
    found = kernels.search(blocks.table(), queries, k, left_out, threads=threads)
    return [Nearest(*rows_and_cosines) for rows_and_cosines in found.nearest]


def _excerpts(blocks: Blocks, within: Sequence[Passing | None] | None) -> dict[Passing, Usable]:
    """The excerpts of each filter of which there are any."""
    filters = dict.fromkeys(own for own in within or () if own)
    usable = {own: blocks.excerpts.of(own, blocks.blocks) for own in filters} if blocks.native else {}
    return {own: excerpts for own, excerpts in usable.items() if excerpts}


def _structs(scope: Scope) -> list[Integers | None] | None:
    """For each query (n,) its excerpts as the kernels take them, None if it has none."""
    if not (scope.within and scope.excerpts):
        return None
    usable = [scope.excerpts.get(own) if own else None for own in scope.within]
    return [excerpts.structs if excerpts else None for excerpts in usable]


def _portably(blocks: Blocks, queries: Vectors, k: int, scope: Scope) -> list[Nearest]:
    norms = squared_norms(queries)
    if not norms.all():  # some are all zeros: the others alone
        asked = np.flatnonzero(norms).tolist()
        found = iter(_portably(blocks, queries[asked], k, scope.part(asked)) if asked else ())
        return [next(found) if norm else _NOTHING for norm in norms]
    c, weights, rests = bounds.coefficients(queries, norms)
    widest = max(block.widest for block in blocks.blocks)
    sieves = [
        _Sieve(k + (entry is not None), weight, rest, widest)
        for entry, weight, rest in zip(scope.exclude, weights.tolist(), rests.tolist(), strict=True)
    ]
    for part, (first, scaled) in enumerate(_scaled(blocks, c, scope)):
        if part == 0:
            for sieve, of_query in zip(sieves, scaled, strict=True):
                sieve.expect(of_query[: max(_FIRST_ROWS, _FIRST_TIMES * k)])
        _sift(sieves, first, scaled)
    return [
        _decide(blocks, query, sieve.survivors(blocks), k, entry)
        for query, sieve, entry in zip(queries, sieves, scope.exclude, strict=True)
    ]


def _scaled(blocks: Blocks, c: NDArray[np.int8], scope: Scope) -> Iterator[tuple[int, Floats]]:
    """Yields for each part of a block its first row, and D g of its rows as (queries, rows). D g of a row
    that was removed, or may not answer, is NaN."""
    step = max(_LEAST_ROWS, _PRODUCTS // len(c))
    for number, block in enumerate(blocks.blocks):
        for slot in range(0, block.used, step):
            slots = slice(slot, min(slot + step, block.used))
            first = number * BLOCK_ROWS + slot
            scaled = np.empty((len(c), slots.stop - slot), dtype=np.float32)
            multiply(c, block.plane[slots], scaled)
            scaled *= block.scale[slots]
            if scope.without is not None:
                scaled[:, scope.without[block.columns.answers[slots]]] = np.nan
            for of_query, passing in zip(scaled, scope.within or (), strict=False):
                if passing is not None:
                    of_query[~passing.mask[first : first + len(of_query)]] = np.nan
            yield first, scaled


class _Sieve:
    """The rows that may be among the k best of one query, as far as rows have been seen.

    While the pass goes on, only the largest slack of all rows is known. So a row stays if its D g comes
    within `_apart` of the k-th largest D g; `survivors` then looks at each row's own slack.
    """

    def __init__(self, k: int, weight: float, rest: float, widest: float) -> None:
        self._k, self._weight, self._rest = k, weight, rest
        self._apart = 2 * (widest + rest) / weight
        self._rows: list[Integers] = [np.empty(0, dtype=np.int64)]
        self._scaled: list[Floats] = [np.empty(0, dtype=np.float32)]
        self._best = self._scaled[0]  # the k largest D g so far
        self.reach = _NEVER
        """A row whose D g is smaller can't be among the k best, whatever its slack."""

    def expect(self, scaled: Floats) -> Floats:
        """Raise `reach` to what these D g (n,) demand; returns the k largest of those that reach it."""
        best: Floats = scaled[scaled >= self.reach]  # NaN reaches nothing
        if len(best) >= self._k:
            best = np.partition(best, -self._k)[-self._k :]
            self.reach = best.item(0) - self._apart
        return best

    def add(self, rows: Integers, scaled: Floats) -> None:
        """Keep rows (n,), whose D g (n,) reach `reach`."""
        self._rows.append(rows)
        self._scaled.append(scaled)
        self._best = self.expect(np.concatenate([self._best, scaled]))

    def survivors(self, blocks: Blocks) -> Integers:
        """The rows that may still win, in ascending order."""
        scaled = np.concatenate(self._scaled)
        near = scaled >= self.reach
        rows, estimates = np.concatenate(self._rows)[near], scaled[near] * self._weight
        if len(rows) <= self._k:
            return rows
        width = blocks.gather(lambda block: block.slack[0], rows) + self._rest
        least = np.partition(estimates - width, -self._k)[-self._k]
        survivors: Integers = rows[estimates + width >= least]
        return survivors


def _sift(sieves: Sequence[_Sieve], first: int, scaled: Floats) -> None:
    """Give each sieve the rows, from `first` on, whose D g (queries, rows) reach what it demands."""
    reach = np.array([sieve.reach for sieve in sieves], dtype=np.float32)
    hits = np.flatnonzero(scaled >= reach[:, None])
    queries, places = np.divmod(hits, scaled.shape[1])
    for i in np.flatnonzero(np.bincount(queries)).tolist():
        near = places[queries == i]
        sieves[i].add(near + first, scaled[i, near])


def _decide(blocks: Blocks, query: Vectors, rows: Integers, k: int, exclude: EntryId | None) -> Nearest:
    """The k best of the surviving rows (n,), compared in integers."""
    if not len(rows):
        return _NOTHING
    partitions, offsets = blocks.column("partitions", rows), blocks.column("offsets", rows)
    norms = blocks.gather(lambda block: block.norms, rows)
    wide = query.astype(np.float64)
    # Exact in float64: |q·x| <= d 2**28, below 2**53 for every dimension that is allowed.
    dots = (blocks.vectors(rows).astype(np.float64) @ wide).astype(np.int64)
    ranks = order.ranks(dots, norms)
    best = np.lexsort((offsets, partitions, ranks))
    if exclude:
        best = best[(partitions[best] != exclude[0]) | (offsets[best] != exclude[1])]
    best = best[:k]
    return Nearest(rows[best], dots[best] / (np.sqrt(norms[best]) * np.sqrt(wide @ wide)))
