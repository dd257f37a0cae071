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
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import squared_norms
from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.search import bounds, order
from hurnet_stream.core.search.block import BLOCK_ROWS
from hurnet_stream.core.search.blocks import Blocks
from hurnet_stream.core.search.int8 import Floats, multiply
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


class Nearest(NamedTuple):
    """The k best rows of one query, best first, and their exact cosines rounded to float64."""

    rows: Integers
    cosines: NDArray[np.float64]


_NOTHING = Nearest(np.empty(0, dtype=np.int64), np.empty(0))


def search(
    blocks: Blocks,
    queries: Vectors,
    k: int,
    exclude: Sequence[EntryId | None],
    threads: int = 1,
    without: Answers | None = None,
) -> list[Nearest]:
    """The k best rows for each query (n, d), which the caller has checked to lie on the grid. A query of
    zeros has none. Ties go to the lowest (partition, offset).

    `exclude` names for each query an entry that must not answer it, and `without` (answers,) says of which
    answers no row counts. The kernels share the rows among as many
    of `threads` as save time by it.
    """
    if k < 1 or not blocks.rows or not len(queries):
        return [_NOTHING for _ in queries]
    k = min(k, blocks.rows)
    if (
        blocks.device
        and without is None
        and (nearest := _on_device(blocks.device, blocks, queries, k, exclude)) is not None
    ):
        return nearest
    if blocks.native:
        return _natively(blocks, queries, k, exclude, threads, without)
    return _portably(blocks, queries, k, exclude, without)


def _on_device(
    device: DeviceRows, blocks: Blocks, queries: Vectors, k: int, exclude: Sequence[EntryId | None]
) -> list[Nearest] | None:
    """None if the device has failed."""
    nearest = [_NOTHING for _ in queries]
    asked = np.flatnonzero(np.any(queries, axis=1)).tolist()
    if not asked:
        return nearest
    # An excluded entry may be among the survivors, so one more is asked for.
    wanted = [k + (exclude[i] is not None) for i in asked]
    survivors = device.survivors(queries[asked], wanted)
    if survivors is None:
        return None
    for i, rows in zip(asked, survivors, strict=True):
        nearest[i] = _decide(blocks, queries[i], rows, k, exclude[i])
    return nearest


def _natively(
    blocks: Blocks,
    queries: Vectors,
    k: int,
    exclude: Sequence[EntryId | None],
    threads: int,
    without: Answers | None,
) -> list[Nearest]:
    own = None
    if any(exclude):
        own = np.array([(1, *entry) if entry else (0, 0, 0) for entry in exclude], dtype=np.int64)
    useful_threads = 1 + blocks.rows * queries.size // _SHARE  # rows times n d products
    threads = min(threads, useful_threads)
    found = kernels.search(blocks.table(), queries, k, kernels.LeftOut(own, without), threads=threads)
    return [Nearest(*rows_and_cosines) for rows_and_cosines in found.nearest]


def _portably(
    blocks: Blocks,
    queries: Vectors,
    k: int,
    exclude: Sequence[EntryId | None],
    without: Answers | None,
) -> list[Nearest]:
    norms = squared_norms(queries)
    if not norms.all():  # some are all zeros: the others alone
        own = list(compress(exclude, norms.tolist()))
        nearest = iter(search(blocks, queries[norms > 0], k, own, without=without))
        return [next(nearest) if norm else _NOTHING for norm in norms]
    c, weights, rests = bounds.coefficients(queries, norms)
    widest = max(block.widest for block in blocks.blocks)
    sieves = [
        _Sieve(k + (entry is not None), weight, rest, widest)
        for entry, weight, rest in zip(exclude, weights.tolist(), rests.tolist(), strict=True)
    ]
    for part, (first, scaled) in enumerate(_scaled(blocks, c, without)):
        if part == 0:
            for sieve, of_query in zip(sieves, scaled, strict=True):
                sieve.expect(of_query[: max(_FIRST_ROWS, _FIRST_TIMES * k)])
        _sift(sieves, first, scaled)
    return [
        _decide(blocks, query, sieve.survivors(blocks), k, entry)
        for query, sieve, entry in zip(queries, sieves, exclude, strict=True)
    ]


def _scaled(blocks: Blocks, c: NDArray[np.int8], without: Answers | None) -> Iterator[tuple[int, Floats]]:
    """Yields for each part of a block its first row, and D g of its rows as (queries, rows). D g of a row
    that was removed, or does not count, is NaN."""
    step = max(_LEAST_ROWS, _PRODUCTS // len(c))
    for number, block in enumerate(blocks.blocks):
        for slot in range(0, block.used, step):
            slots = slice(slot, min(slot + step, block.used))
            scaled = np.empty((len(c), slots.stop - slot), dtype=np.float32)
            multiply(c, block.plane[slots], scaled)
            scaled *= block.scale[slots]
            if without is not None:
                scaled[:, without[block.columns.answers[slots]]] = np.nan
            yield number * BLOCK_ROWS + slot, scaled


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
