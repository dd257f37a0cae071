"""The k best rows of a query among all, by exact cosine: a pass over few bits of each row, then integers
(`bounds`).

One call of a kernel in C does both where it was built. Without it, the products of the pass are simsimd's or
torch's, and numpy does the rest: the same rows, more slowly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.core import bounds, order
from workers.core.blocks import BLOCK_ROWS, Block, Snapshot
from workers.core.context import Vectors
from workers.core.grid import check_grid, squared_norms
from workers.core.native import scan as kernels

if TYPE_CHECKING:
    from workers.core.device_scan import DeviceRows

Coordinates = tuple[int, int]
"""Partition and offset of an entry."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]

_CDIST: Any = import_module("simsimd").cdist if find_spec("simsimd") else None  # an extra
_FIRST_ROWS = 512
_SLICE_ROWS = 2048
_SHARE = 1 << 22  # products, from which another thread takes less time than starting it (50 microseconds)
_MANY = 8  # queries from which torch's product of matrices beats simsimd's of vectors


class Nearest(NamedTuple):
    """The k best rows of one query, best first, and their exact cosines rounded to float64."""

    rows: Integers
    cosines: NDArray[np.float64]


_NOTHING = Nearest(np.empty(0, dtype=np.int64), np.empty(0))


def search(
    snapshot: Snapshot,
    queries: Vectors,
    k: int,
    exclude: Sequence[Coordinates | None],
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
    exclude: Sequence[Coordinates | None],
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
    snapshot: Snapshot, queries: Vectors, k: int, exclude: Sequence[Coordinates | None], threads: int
) -> list[Nearest]:
    own = None
    if any(exclude):
        own = np.array([(1, *entry) if entry else (0, 0, 0) for entry in exclude], dtype=np.int64)
    gaining = 1 + snapshot.rows * queries.size // _SHARE  # queries.size is n d
    found = kernels.search(snapshot.table, queries, k, own, threads=min(threads, gaining))
    return [Nearest(*rows_and_cosines) for rows_and_cosines in found.nearest]


def _portably(
    snapshot: Snapshot, queries: Vectors, k: int, exclude: Sequence[Coordinates | None]
) -> list[Nearest]:
    check_grid(queries)
    asked: NDArray[np.bool_] = np.any(queries, axis=1)
    if not asked.all():
        found = iter(search(snapshot, queries[asked], k, list(compress(exclude, asked))))
        return [next(found) if some else _NOTHING for some in asked]
    coefficients = bounds.coefficients(queries, squared_norms(queries))
    sieves = [_Sieve(k + (entry is not None)) for entry in exclude]
    for first, block, products in _passes(snapshot, coefficients.c):
        _sift(sieves, coefficients, first, block, products)
    return [
        _decide(snapshot, query, sieve.survivors(), k, entry)
        for query, sieve, entry in zip(queries, sieves, exclude, strict=True)
    ]


def _passes(snapshot: Snapshot, c: NDArray[np.int8]) -> Iterator[tuple[int, Block, Floats]]:
    """c·p (n, rows) by slices, small ones first, which raise what later rows must reach: first row, block,
    products in float32, rounded once."""
    limit = max(_SLICE_ROWS, BLOCK_ROWS // 2 // len(c))
    rows = min(_FIRST_ROWS, limit)
    for i, (block, size) in enumerate(zip(snapshot.blocks, snapshot.filled, strict=True)):
        at = 0
        while at < size:
            end = min(size, at + rows)
            yield i * BLOCK_ROWS + at, block, _products(c, block.plane[at:end])
            at, rows = end, min(2 * rows, limit)


def _products(c: NDArray[np.int8], p: NDArray[np.int8]) -> Floats:
    if _CDIST and len(c) < _MANY:
        return np.asarray(_CDIST(c, p, "dot")).astype(np.float32)
    import torch  # only here: a responder that has the kernels loads no torch

    exact: NDArray[np.int32] = torch._int_mm(torch.from_numpy(c), torch.from_numpy(p).T).numpy()
    return exact.astype(np.float32)


class _Sieve:
    """The rows that may be among the k best of one query, as far as has been seen."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._rows: list[Integers] = []
        self._upper: list[Floats] = []
        self._best = np.empty(0, dtype=np.float32)
        self.least = np.float32(-(2.0**100))
        """A row with a smaller upper bound can't be among them."""

    def add(self, rows: Integers, upper: Floats, lower: Floats) -> None:
        """Rows whose upper bounds may reach `least`."""
        self._rows.append(rows)
        self._upper.append(upper)
        self._best = np.concatenate([self._best, lower])
        if len(self._best) >= self._k:
            self._best = np.partition(self._best, -self._k)[-self._k :]
            self.least = self._best[0]

    def survivors(self) -> Integers:
        """All of them."""
        if not self._rows:
            return np.empty(0, dtype=np.int64)
        return np.concatenate(self._rows)[np.concatenate(self._upper) >= self.least]


def _sift(
    sieves: Sequence[_Sieve],
    queries: bounds.Coefficients,
    first: int,
    block: Block,
    products: Floats,
) -> None:
    at = first % BLOCK_ROWS
    of = slice(at, at + products.shape[1])
    scale, slack = block.scale[of], block.slack[0, of]
    products *= scale
    products *= queries.weight[:, None]
    bar = np.array([sieve.least for sieve in sieves]) - queries.rest
    hits = products + slack >= bar[:, None]
    for i in np.flatnonzero(hits.any(axis=1)).tolist():
        kept = np.flatnonzero(hits[i])
        estimates, width = products[i, kept], slack[kept] + queries.rest[i]
        sieves[i].add(kept + first, estimates + width, estimates - width)


def _decide(
    snapshot: Snapshot, query: Vectors, rows: Integers, k: int, exclude: Coordinates | None
) -> Nearest:
    partitions, offsets = snapshot.column("partitions", rows), snapshot.column("offsets", rows)
    if exclude:
        kept = (partitions != exclude[0]) | (offsets != exclude[1])
        rows, partitions, offsets = rows[kept], partitions[kept], offsets[kept]
    # Exact: |q·x| <= d 2**28, below 2**53 for all d that are allowed.
    dots = (snapshot.vectors(rows).astype(np.float64) @ query.astype(np.float64)).astype(np.int64)
    norms = snapshot.column("norms", rows)
    best = np.lexsort((offsets, partitions, order.ranks(dots, norms)))[:k]
    length = np.sqrt(squared_norms(query[None]))
    return Nearest(rows[best], dots[best] / (np.sqrt(norms[best]) * length))
