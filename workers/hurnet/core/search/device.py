"""The first pass of the search on a torch device: which rows may be among the k best of a query.

The device holds the rows of an index a second time, as `bounds.plane` says: 8 bits a dimension and two
float32. As in `blocks`, rows are written behind all others, into memory that never moves, and published when
they are there: searches may run meanwhile. (CUDA keeps the order in which all threads have asked.) Where rows
take the place of others, a search that began before has to be done by the host, which still has these. What
a search takes beside the rows does not grow with them: PRODUCTS at once, in less than 1 GB.

The bound holds as it does on a CPU. The only product of matrices is of int8 in int32, below 2**28 and exact,
so that TF32, which is for products of float32, is nowhere. The rest are the conversion to float32 and
products, sums and comparisons of single numbers, each an operation of its own, rounded once to nearest, on
CUDA as in numpy; if a compiler made one of a product and a sum, it would round less often. E, r + v, E + (r
+ v) and E - (r + v) are rounded no more often than the proof allows. What survives is decided on the host, in
integers: within the bound E may differ from one device or library to another, and the results do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hurnet.core.device import float64_device
from hurnet.core.grid import squared_norms
from hurnet.core.search import bounds
from hurnet.core.search.blocks import BLOCK_ROWS
from hurnet.core.stored.batch import Vectors

CHUNK_ROWS = 1 << 20
"""Rows that are allocated at once, at most: few chunks, since each costs a dozen calls of the device."""
PRODUCTS = 1 << 24

_ALIGN: Final = 32
"""CUDA's product of int8 wants more than 16 rows on the left, and multiples of 8 (some libraries: 16)
elsewhere."""
_NEVER: Final = -(2.0**100)
"""Below every bound, but for that of a row which is not there or was removed: -inf."""

Integers = NDArray[np.int64]


def search_device(name: str, on_failure: Callable[[str], None]) -> Device | None:
    """Where "cuda" or "auto" is to be searched; None: on the host. Raises ValueError where there is no such
    device."""
    place = float64_device(name)
    return None if place.type == "cpu" else Device(place, on_failure)


class Device:
    """A device for all indexes of a process. When it fails, be it that its memory is full, it is given up:
    the host, which holds the same rows, searches on. `on_failure` is then called once, with the reason."""

    def __init__(self, place: torch.device, on_failure: Callable[[str], None]) -> None:
        self.place = place
        self.failed = False
        self._on_failure = on_failure

    def rows(self, dimension: int) -> DeviceRows:
        """Room for the rows of an index."""
        return DeviceRows(self, dimension)

    @contextmanager
    def trying(self) -> Iterator[None]:
        """What fails in here is the last that is asked of the device."""
        try:
            yield
        except RuntimeError as error:  # torch's, for full memory as for a GPU that is lost
            first, self.failed = not self.failed, True
            if first:
                self._on_failure(str(error))


class _Chunk(NamedTuple):
    """Rows from `first` on: p (n, d), padded with zeros, scale and slack (n,)."""

    first: int
    p: torch.Tensor
    scale: torch.Tensor
    slack: torch.Tensor


class DeviceRows:
    """The rows of one index on a device. Appending and removing is for one thread, others may search."""

    def __init__(self, device: Device, dimension: int) -> None:
        self._device = device
        self._dimension = dimension
        self._chunks: list[_Chunk] = []
        self._end = 0  # no row was ever written from here on
        self.moves = 0
        """How often rows have left their places."""

    def write(self, first: int, vectors: Vectors) -> None:
        """Write grid rows (n, d), none of zeros, as row `first` and those behind it, before they are
        published."""
        if self._device.failed:
            self._chunks = []  # not emptied: a search may be reading them
            return
        self.moves += first < self._end
        self._end = max(self._end, first + len(vectors))
        with self._device.trying():
            while len(vectors):
                chunk = self._chunk(first)
                at = first - chunk.first
                part = vectors[: len(chunk.slack) - at]
                to = slice(at, at + len(part))
                plane = bounds.plane(part, squared_norms(part))
                chunk.p[to, : self._dimension] = torch.from_numpy(plane.p)
                chunk.scale[to] = torch.from_numpy(plane.scale)
                chunk.slack[to] = torch.from_numpy(plane.slack)
                first, vectors = first + len(part), vectors[len(part) :]

    def remove(self, row: int) -> None:
        """From now on the row matches nothing."""
        self._forget(row, 1)

    def clear(self, first: int, n: int) -> None:
        """Give up n rows of one block, which have been written elsewhere."""
        self.moves += 1
        self._forget(first, n)

    def _forget(self, first: int, n: int) -> None:
        if self._device.failed:
            return
        with self._device.trying():
            chunk = self._chunk(first)
            chunk.slack[first - chunk.first :][:n] = -torch.inf

    def _chunk(self, row: int) -> _Chunk:
        """The one that `row` is in; a new one is as large as all before it, up to CHUNK_ROWS."""
        end = self._chunks[-1].first + len(self._chunks[-1].slack) if self._chunks else 0
        if row == end:
            size, place = min(CHUNK_ROWS, max(BLOCK_ROWS, end)), self._device.place
            width = self._dimension + -self._dimension % _ALIGN
            p = torch.zeros((size, width), dtype=torch.int8, device=place)
            scale, slack = torch.zeros(size, device=place), torch.full((size,), -torch.inf, device=place)
            self._chunks.append(_Chunk(end, p, scale, slack))
        return next(chunk for chunk in reversed(self._chunks) if chunk.first <= row)

    def survivors(
        self, end: int, moves: int, queries: Vectors, wanted: Sequence[int]
    ) -> list[Integers] | None:
        """For each query (n, d), none of zeros, those of the rows before `end` that may be among its `wanted`
        best; None where the device has failed, or rows have moved more often than `moves`."""
        chunks = self._chunks  # before asking: they are not dropped but after a failure
        if self._device.failed or self.moves != moves:
            return None
        found = None
        with self._device.trying():
            parts = _parts(chunks, end, PRODUCTS // (len(queries) + -len(queries) % _ALIGN))
            found = _sift(parts, queries, wanted, self._device.place)
        return found if self.moves == moves else None


def _parts(chunks: Sequence[_Chunk], rows: int, most: int) -> Iterator[_Chunk]:
    """The first `rows` rows by parts, each with as much of p as is aligned."""
    step = max(_ALIGN, most - most % _ALIGN)
    for first, p, scale, slack in chunks:
        size = min(len(slack), rows - first)
        for at in range(0, size, step):
            end = min(size, at + step)
            yield _Chunk(first + at, p[at : end + -end % _ALIGN], scale[at:end], slack[at:end])


def _sift(
    parts: Iterator[_Chunk], queries: Vectors, wanted: Sequence[int], place: torch.device
) -> list[Integers]:
    n, d = queries.shape
    asked = bounds.coefficients(queries, squared_norms(queries))
    c = torch.nn.functional.pad(torch.from_numpy(asked.c), (0, -d % _ALIGN, 0, -n % _ALIGN)).to(place)
    weight, rest = (torch.from_numpy(value)[:, None].to(place) for value in (asked.weight, asked.rest))
    last = torch.tensor(wanted, device=place)[:, None] - 1
    best = torch.full((n, max(wanted)), _NEVER, device=place)  # lower bounds, the largest first
    least = best[:, :1]  # a row with a smaller upper bound can't be among the wanted
    found: list[list[NDArray[np.generic]]] = []
    for part in parts:
        estimates = torch._int_mm(c, part.p.T)[:n, : len(part.slack)].float()
        estimates *= part.scale
        estimates *= weight
        width = part.slack + rest
        upper = estimates + width
        lower = torch.where(upper >= least, estimates - width, _NEVER)  # of what is removed it would be inf
        best = torch.topk(torch.cat([best, lower], 1), max(wanted)).values
        least = best.gather(1, last)
        query, row = torch.nonzero(upper >= least, as_tuple=True)
        found.append([v.cpu().numpy() for v in (query, row + part.first, upper[query, row])])
    return _by_query(found, least.cpu().numpy()[:, 0])


def _by_query(found: Sequence[Sequence[NDArray[np.generic]]], least: NDArray[np.float32]) -> list[Integers]:
    """The rows of each query that are still within the bound when all have been seen."""
    query, rows, upper = (np.concatenate(column) for column in zip(*found, strict=True))
    kept = upper >= least[query]
    query, rows = query[kept], rows[kept]
    order = np.argsort(query, kind="stable")
    return np.split(rows[order], np.cumsum(np.bincount(query, minlength=len(least)))[:-1])
