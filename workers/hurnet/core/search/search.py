"""The k best rows of a query among all, by exact cosine: a pass over few bits of each row, then integers
(`bounds`).

One call of a kernel in C does both where it was built. Without it, the products of the pass are a library's
(`products`), and numpy does the rest: the same rows, more slowly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet.core.grid import check_grid, squared_norms
from hurnet.core.native import search as kernels
from hurnet.core.search import bounds, order
from hurnet.core.search.blocks import BLOCK_ROWS, Snapshot
from hurnet.core.search.int8 import Floats, multiply
from hurnet.core.stored.batch import Vectors

if TYPE_CHECKING:
    from hurnet.core.search.device import DeviceRows

EntryId = tuple[int, int]
"""Partition and offset of an entry."""

Integers = NDArray[np.int64]
_FIRST_ROWS = 512
_FIRST_TIMES = 32  # as many as are asked for
_LEAST_ROWS = 2048
_PRODUCTS = 8 * BLOCK_ROWS  # at a time: they stay in the caches
_SHARE = 1 << 22  # products, from which another thread takes less time than starting it (50 microseconds)


class Nearest(NamedTuple):
    """The k best rows of one query, best first, and their exact cosines rounded to float64."""

    rows: Integers
    cosines: NDArray[np.float64]


_NOTHING = Nearest(np.empty(0, dtype=np.int64), np.empty(0))


def search(
    snapshot: Snapshot,
    queries: Vectors,
    k: int,
    exclude: Sequence[EntryId | None],
    threads: int = 1,
    device: DeviceRows | None = None,
) -> list[Nearest]:
    """For each query (n, d), nothing for one of zeros; ties go to the lowest (partition, offset). With
    kernels, as many of `threads` share the rows as gain by it; a `device` makes the first pass for as long as
    it has not failed. Raises ValueError for a query off the grid."""
    if k < 1 or not snapshot.rows or not len(queries):
        check_grid(queries)
        return [_NOTHING for _ in queries]
    k = min(k, snapshot.rows)
    if device and (found := _on_device(device, snapshot, queries, k, exclude)) is not None:
        return found
    if snapshot.blocks[0].native:
        return _natively(snapshot, queries, k, exclude, threads)
    return _portably(snapshot, queries, k, exclude)


def _on_device(
    device: DeviceRows,
    snapshot: Snapshot,
    queries: Vectors,
    k: int,
    exclude: Sequence[EntryId | None],
) -> list[Nearest] | None:
    """None where the device has failed, or has other rows by now."""
    check_grid(queries)
    found = [_NOTHING for _ in queries]
    asked = np.flatnonzero(np.any(queries, axis=1)).tolist()
    wanted = [k + (exclude[i] is not None) for i in asked]
    survivors = device.survivors(snapshot.end, snapshot.moves, queries[asked], wanted) if asked else []
    if survivors is None:
        return None
    for i, rows in zip(asked, survivors, strict=True):
        found[i] = _decide(snapshot, queries[i], rows, k, exclude[i])
    return found


def _natively(
    snapshot: Snapshot, queries: Vectors, k: int, exclude: Sequence[EntryId | None], threads: int
) -> list[Nearest]:
    own = None
    if any(exclude):
        own = np.array([(1, *entry) if entry else (0, 0, 0) for entry in exclude], dtype=np.int64)
    gaining = 1 + snapshot.rows * queries.size // _SHARE  # queries.size is n d
    found = kernels.search(snapshot.table, queries, k, own, threads=min(threads, gaining))
    return [Nearest(*rows_and_cosines) for rows_and_cosines in found.nearest]


def _portably(
    snapshot: Snapshot, queries: Vectors, k: int, exclude: Sequence[EntryId | None]
) -> list[Nearest]:
    check_grid(queries)
    norms = squared_norms(queries)
    if not norms.all():
        found = iter(search(snapshot, queries[norms > 0], k, list(compress(exclude, norms.tolist()))))
        return [next(found) if norm else _NOTHING for norm in norms]
    c, weights, rests = bounds.coefficients(queries, norms)
    widest = max(block.widest for block in snapshot.blocks)
    sieves = [
        _Sieve(k + (entry is not None), weight, rest, widest)
        for entry, weight, rest in zip(exclude, weights.tolist(), rests.tolist(), strict=True)
    ]
    for first, scaled in _scaled(snapshot, c):
        if not first:
            for sieve, some in zip(sieves, scaled, strict=True):
                sieve.expect(some[: max(_FIRST_ROWS, _FIRST_TIMES * k)])
        _sift(sieves, first, scaled)
    return [
        _decide(snapshot, query, sieve.survivors(snapshot), k, entry)
        for query, sieve, entry in zip(queries, sieves, exclude, strict=True)
    ]


def _scaled(snapshot: Snapshot, c: NDArray[np.int8]) -> Iterator[tuple[int, Floats]]:
    """D g (n, rows) of all rows in turn, with the first of them; NaN where there is no row."""
    step = max(_LEAST_ROWS, _PRODUCTS // len(c))
    for first in range(0, snapshot.end, step):
        scaled = np.full((len(c), min(step, snapshot.end - first)), np.nan, dtype=np.float32)
        for block, of, to in snapshot.parts(first, first + step):
            multiply(c, block.plane[of], scaled[:, to])
            scaled[:, to] *= block.scale[of]
        yield first, scaled


class _Sieve:
    """The rows that may be among the k best of one query, as far as has been seen."""

    def __init__(self, k: int, weight: float, rest: float, widest: float) -> None:
        self._k, self._weight, self._rest = k, weight, rest
        self._apart = 2 * (widest + rest) / weight
        self._rows: list[Integers] = [np.empty(0, dtype=np.int64)]
        self._scaled: list[Floats] = [np.empty(0, dtype=np.float32)]
        self._best = self._scaled[0]
        self.reach = -(2.0**100)
        """A row of a smaller D g can't be among them, whatever its slack."""

    def expect(self, scaled: Floats) -> Floats:
        """Raises what rows must reach by some rows' D g, and returns the k best of those that do."""
        best: Floats = scaled[scaled >= self.reach]
        if len(best) >= self._k:
            best = np.partition(best, -self._k)[-self._k :]
            self.reach = best.item(0) - self._apart
        return best

    def add(self, rows: Integers, scaled: Floats) -> None:
        """Rows whose D g reach it."""
        self._rows.append(rows)
        self._scaled.append(scaled)
        self._best = self.expect(np.concatenate([self._best, scaled]))

    def survivors(self, snapshot: Snapshot) -> Integers:
        """All of them, in ascending order."""
        scaled = np.concatenate(self._scaled)
        near = scaled >= self.reach
        rows, estimates = np.concatenate(self._rows)[near], scaled[near] * self._weight
        if len(rows) <= self._k:
            return rows
        slack = np.concatenate([block.slack[0, at] for block, at in snapshot.places(rows)])
        width = np.abs(slack) + self._rest  # infinite for a row that was removed meanwhile
        least = np.partition(estimates - width, -self._k)[-self._k]
        survivors: Integers = rows[estimates + width >= least]
        return survivors


def _sift(sieves: Sequence[_Sieve], first: int, scaled: Floats) -> None:
    reach = np.array([sieve.reach for sieve in sieves], dtype=np.float32)
    hits = np.flatnonzero(scaled >= reach[:, None])
    queries, at = np.divmod(hits, scaled.shape[1])
    for i in np.flatnonzero(np.bincount(queries)).tolist():
        near = at[queries == i]
        sieves[i].add(near + first, scaled[i, near])


def _decide(snapshot: Snapshot, query: Vectors, rows: Integers, k: int, exclude: EntryId | None) -> Nearest:
    if not len(rows):
        return _NOTHING
    rows = np.sort(rows)
    held = [
        (block.columns.partitions[at], block.columns.offsets[at], block.norms[at], block.rows[at])
        for block, at in snapshot.places(rows)
    ]
    partitions, offsets, norms, vectors = map(np.concatenate, zip(*held, strict=True))
    wide = query.astype(np.float64)
    # Exact: |q·x| <= d 2**28, below 2**53 for all d that are allowed.
    dots = (vectors.astype(np.float64) @ wide).astype(np.int64)
    ranks = order.ranks(dots, norms)
    best = np.lexsort((offsets, partitions, ranks))
    if exclude:
        best = best[(partitions[best] != exclude[0]) | (offsets[best] != exclude[1])]
    best = best[:k]
    return Nearest(rows[best], dots[best] / (np.sqrt(norms[best]) * np.sqrt(wide @ wide)))
