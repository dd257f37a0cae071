"""The first pass of the search on a torch device: which rows may be among the k best of a query.

The device holds the rows of an index a second time, as `bounds.plane` gives them: 8 bits a dimension and two
float32. They lie in chunks that never move, under the same row numbers as in `blocks`:

    chunk 0       rows 0 .. 16383              p (16384, d) int8, scale (16384,), slack (16384,)
    chunk 1       rows 16384 .. 32767          ...
    chunk 2       rows 32768 .. 65535          each as large as all before it, up to CHUNK_ROWS

A search multiplies all queries by a part of a chunk at once, PRODUCTS numbers at most, so that what it takes
beside the rows stays below 1 GB however many rows there are.

Why the results are the same as on the host: the only product of matrices is of int8 in int32, below 2**28 and
exact, so TF32, which is for products of float32, plays no part. The rest is the conversion to float32 and
products, sums and comparisons of single numbers. Each is an operation of its own, rounded once to nearest, on
CUDA as in numpy; a compiler that fused a product with a sum would round less often. E, r + v, E + (r + v) and
E - (r + v) are rounded no more often than the proof in `bounds` allows. The host decides among the survivors
in integers: E may differ within the bound from one device or library to another, and the results do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hurnet_stream.core.arrays import backend_of
from hurnet_stream.core.grid import squared_norms
from hurnet_stream.core.search import bounds
from hurnet_stream.core.search.block import BLOCK_ROWS
from hurnet_stream.core.search.passing import Passing
from hurnet_stream.core.stored.batch import Vectors

CHUNK_ROWS = 1 << 20
"""The most rows that are allocated at once. Chunks should be few: each costs a search a dozen calls."""
PRODUCTS = 1 << 24
"""The most products of a query and a row that a search holds at once."""

_ALIGN: Final = 32
"""CUDA's product of int8 wants more than 16 rows on the left, and multiples of 8 elsewhere; some libraries
want multiples of 16."""
_NEVER: Final = -(2.0**100)
"""Below every bound, except that of a slot without a row or of a removed row, which is -inf."""

Integers = NDArray[np.int64]


def search_device(name: str, on_failure: Callable[[str], None]) -> Device | None:
    """The device for "cuda" or "auto"; None if the host is to search. Raises ValueError if there is no device
    of that name."""
    backend = backend_of(name)
    return None if backend.on_cpu else Device(torch.device(backend.device), on_failure)


class Device:
    """A device for all indexes of a process.

    Once anything fails on it, if only because its memory is full, it is given up: the host holds the same
    rows and goes on searching. `on_failure` is then called once, with the reason.
    """

    def __init__(self, torch_device: torch.device, on_failure: Callable[[str], None]) -> None:
        self.torch_device = torch_device
        self.failed = False
        self._on_failure = on_failure

    def rows(self, dimension: int) -> DeviceRows:
        """Room for the rows of an index."""
        return DeviceRows(self, dimension)

    @contextmanager
    def trying(self) -> Iterator[None]:
        """A block of work on the device; if it fails, it ends without an error and the device is given up."""
        try:
            yield
        except RuntimeError as error:  # torch raises it for full memory as for a GPU that is lost
            first, self.failed = not self.failed, True
            if first:
                self._on_failure(str(error))


class _Chunk(NamedTuple):
    """Rows from `first` on: p (n, d), d padded with zeros, scale and slack (n,)."""

    first: int
    p: torch.Tensor
    scale: torch.Tensor
    slack: torch.Tensor


class DeviceRows:
    """The rows of one index on a device."""

    def __init__(self, device: Device, dimension: int) -> None:
        self._device = device
        self._dimension = dimension
        self._chunks: list[_Chunk] = []
        self._end = 0  # no row was ever written from here on

    def write(self, first: int, vectors: Vectors) -> None:
        """Write grid rows (n, d), none of zeros, as row `first` and those behind it."""
        if self._device.failed:
            self._chunks.clear()  # gives the memory back
            return
        self._end = max(self._end, first + len(vectors))
        with self._device.trying():
            while len(vectors):
                chunk = self._chunk(first)
                start = first - chunk.first
                part = vectors[: len(chunk.slack) - start]
                slots = slice(start, start + len(part))
                plane = bounds.plane(part, squared_norms(part))
                chunk.p[slots, : self._dimension] = torch.from_numpy(plane.p)
                chunk.scale[slots] = torch.from_numpy(plane.scale)
                chunk.slack[slots] = torch.from_numpy(plane.slack)
                first, vectors = first + len(part), vectors[len(part) :]

    def remove(self, row: int) -> None:
        """From now on the row matches nothing."""
        self.clear(row, 1)

    def clear(self, first: int, n: int) -> None:
        """From now on n rows of one block match nothing."""
        if self._device.failed:
            return
        with self._device.trying():
            chunk = self._chunk(first)
            chunk.slack[first - chunk.first :][:n] = -torch.inf

    def _chunk(self, row: int) -> _Chunk:
        """The chunk that `row` is in. If it is the first row behind all chunks, a new one is made."""
        end = self._chunks[-1].first + len(self._chunks[-1].slack) if self._chunks else 0
        if row == end:
            size, torch_device = min(CHUNK_ROWS, max(BLOCK_ROWS, end)), self._device.torch_device
            width = self._dimension + -self._dimension % _ALIGN
            p = torch.zeros((size, width), dtype=torch.int8, device=torch_device)
            scale = torch.zeros(size, device=torch_device)
            slack = torch.full((size,), -torch.inf, device=torch_device)
            self._chunks.append(_Chunk(end, p, scale, slack))
        return next(chunk for chunk in reversed(self._chunks) if chunk.first <= row)

    def survivors(
        self, queries: Vectors, wanted: Sequence[int], within: Sequence[Passing | None] | None = None
    ) -> list[Integers] | None:
        """For each query (n, d), none of zeros, the rows that may be among its `wanted` best, of those that
        may answer it; None if the device has failed."""
        if self._device.failed:
            return None
        survivors = None
        with self._device.trying():
            parts = _parts(self._chunks, self._end, PRODUCTS // (len(queries) + -len(queries) % _ALIGN))
            masks = _Masks(within, self._end, self._device.torch_device) if within and any(within) else None
            survivors = _sift(parts, queries, wanted, masks, self._device.torch_device)
        return survivors


class _Masks:
    """Which rows may answer each query: a mask for each filter, however many queries share it."""

    def __init__(self, within: Sequence[Passing | None], rows: int, torch_device: torch.device) -> None:
        filters = list({id(passing): passing for passing in within}.values())
        number_of = {id(passing): number for number, passing in enumerate(filters)}
        masks = np.ones((len(filters), rows), np.bool_)  # (filters, rows)
        for mask, passing in zip(masks, filters, strict=True):
            if passing is not None:
                mask[:] = False
                mask[passing.rows] = True
        self._masks = torch.from_numpy(masks).to(torch_device)
        self._of_query = torch.tensor([number_of[id(p)] for p in within], device=torch_device)  # (n,)

    def cut(self, upper: torch.Tensor, first: int) -> torch.Tensor:
        """Upper bounds (n, rows) of the rows from `first` on: -inf of those that may not answer."""
        may = self._masks[:, first : first + upper.shape[1]][self._of_query]
        return torch.where(may, upper, -torch.inf)


def _parts(chunks: Sequence[_Chunk], rows: int, most: int) -> Iterator[_Chunk]:
    """The first `rows` rows in parts of at most `most`, each with as much of p as is aligned."""
    step = max(_ALIGN, most - most % _ALIGN)
    for first, p, scale, slack in chunks:
        size = min(len(slack), rows - first)
        for start in range(0, size, step):
            end = min(size, start + step)
            aligned = end + -end % _ALIGN  # a chunk is aligned, so there are slots up to here
            yield _Chunk(first + start, p[start:aligned], scale[start:end], slack[start:end])


def _sift(
    parts: Iterator[_Chunk],
    queries: Vectors,
    wanted: Sequence[int],
    masks: _Masks | None,
    torch_device: torch.device,
) -> list[Integers]:
    """The survivors of each query (n, d), by the bounds of `bounds`: a row stays if its upper bound is not
    below the k-th largest lower bound of the rows seen so far."""
    n, d = queries.shape
    asked = bounds.coefficients(queries, squared_norms(queries))
    c = torch.nn.functional.pad(torch.from_numpy(asked.c), (0, -d % _ALIGN, 0, -n % _ALIGN)).to(torch_device)
    weight, rest = (torch.from_numpy(value)[:, None].to(torch_device) for value in (asked.weight, asked.rest))
    last = torch.tensor(wanted, device=torch_device)[:, None] - 1
    best = torch.full((n, max(wanted)), _NEVER, device=torch_device)  # lower bounds (n, k), the largest first
    least = best[:, :1]  # (n, 1): a row with a smaller upper bound can't be among the wanted
    kept_by_part: list[list[NDArray[np.generic]]] = []
    for part in parts:
        estimates = torch._int_mm(c, part.p.T)[:n, : len(part.slack)].float()  # (n, rows of the part)
        estimates *= part.scale
        estimates *= weight
        width = part.slack + rest
        upper = estimates + width
        if masks:
            upper = masks.cut(upper, part.first)
        # The lower bound of a removed row would be +inf, since its slack is -inf: it must not count.
        lower = torch.where(upper >= least, estimates - width, _NEVER)
        best = torch.topk(torch.cat([best, lower], 1), max(wanted)).values
        least = best.gather(1, last)
        query, row = torch.nonzero(upper >= least, as_tuple=True)
        kept_by_part.append([v.cpu().numpy() for v in (query, row + part.first, upper[query, row])])
    return _by_query(kept_by_part, least.cpu().numpy()[:, 0])


def _by_query(
    kept_by_part: Sequence[Sequence[NDArray[np.generic]]], least: NDArray[np.float32]
) -> list[Integers]:
    """The rows of each query that are still within the bound now that all have been seen."""
    query, rows, upper = (np.concatenate(column) for column in zip(*kept_by_part, strict=True))
    kept = upper >= least[query]
    query, rows = query[kept], rows[kept]
    order = np.argsort(query, kind="stable")
    return np.split(rows[order], np.cumsum(np.bincount(query, minlength=len(least)))[:-1])
