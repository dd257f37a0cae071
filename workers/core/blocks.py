"""Rows in blocks that never move: a search reads what was published before it began, while more is appended.

A block is allocated once. Rows are written behind the published ones and then published together, by
replacing one reference: no locks, and no pause to move what is there. One writer; any number of readers.

A row takes 3 bytes a dimension (16 bits that decide, twice 4 that are read first; `bounds`) and 61 bytes
beside them.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.core import bounds
from workers.core.context import MAX_OFFSET, Vectors
from workers.core.grid import squared_norms
from workers.core.native import scan as kernels

BLOCK_ROWS = 1 << 14
"""A multiple of the 32 rows that the kernels read at once."""

REMOVED: Final = -1
"""Where the text of a removed row stands."""

_HUGE: Final = 1 << 21

Integers = NDArray[np.int64]


class Columns(NamedTuple):
    """What is held of a row beside its vector: coordinates, time, weight, answer and whether it teaches that;
    where its text stands in the arena, and its length there."""

    partitions: Integers
    offsets: Integers
    timestamps_ms: Integers
    weights: Integers
    answers: Integers
    teaches: NDArray[np.bool_]
    texts: Integers
    lengths: Integers

    def part(self, of: slice | Integers) -> Columns:
        """The same for some of the rows."""
        return Columns._make(column[of] for column in self)


_TYPES: Final[dict[str, type]] = {
    "weights": np.int16,
    "answers": np.int32,  # an index has fewer than 2**31 rows
    "teaches": np.bool_,
    "lengths": np.int32,
}
"""In which columns are held; the others in int64."""


class Block:
    """Up to BLOCK_ROWS rows. For the kernels `plane` is two, (2, groups of 16, d/8, 16, 4), of the upper and
    the lower 4 bits of p + 128, `scale` and `slack` are the upper halves of float32, and there is a second
    slack for the upper 4 bits alone. Without kernels `plane` is (rows, d), of p itself, in one piece."""

    def __init__(self, dimension: int, first: int, native: bool) -> None:
        self.native = native
        rows = _pages(BLOCK_ROWS * dimension * 2, huge=first > 0)
        self.rows = rows.view(np.int16).reshape(BLOCK_ROWS, dimension)
        self.plane: NDArray[Any]
        self.scale: NDArray[Any]
        self.slack: NDArray[Any]
        self._gone: float
        if native:
            steps = kernels.plane_bytes(dimension) // 4
            shape = (2, BLOCK_ROWS // 16, steps, 16, 4)
            self.plane = _pages(math.prod(shape), huge=first > 0).reshape(shape)
            self.scale, self.slack = np.empty(BLOCK_ROWS, np.uint16), np.empty((2, BLOCK_ROWS), np.uint16)
            self._gone = 0xFF80  # the upper half of -inf: an upper bound is then below all others
        else:
            plane = _pages(BLOCK_ROWS * dimension, huge=first > 0)
            self.plane = plane.view(np.int8).reshape(BLOCK_ROWS, dimension)
            self.scale, self.slack = np.empty(BLOCK_ROWS, np.float32), np.empty((1, BLOCK_ROWS), np.float32)
            self._gone = -np.inf
        self.norms = np.empty(BLOCK_ROWS, dtype=np.int64)
        self.columns = Columns._make(
            np.empty(BLOCK_ROWS, _TYPES.get(name, np.int64)) for name in Columns._fields
        )
        self.widest = 0.0
        """Without kernels: no row has more slack."""
        self._offsets = (MAX_OFFSET, -1)  # the lowest and the highest
        parts = (self.rows, *self.plane[:2], self.scale, *self.slack, self.norms, *self.columns[:2])
        self.described = [*(part.ctypes.data for part in parts), first, BLOCK_ROWS] if native else []
        """The struct `Block` of scan.c."""

    def write(self, at: int, vectors: Vectors, columns: Columns) -> None:
        """Rows (n, d), none of zeros, from row `at` of the block on."""
        to = slice(at, at + len(vectors))
        self.rows[to] = vectors
        if self.native:
            kernels.pack(vectors, at, self.plane, self.scale, self.slack, self.norms)
        else:
            self.norms[to] = squared_norms(vectors)
            self.plane[to], self.scale[to], slack = bounds.plane(vectors, self.norms[to])
            self.slack[0, to], self.widest = slack, max(self.widest, float(slack.max()))
        for name in Columns._fields:
            getattr(self.columns, name)[to] = getattr(columns, name)
        low, high = self._offsets
        self._offsets = min(low, int(columns.offsets.min())), max(high, int(columns.offsets.max()))

    def find(self, partition: int, offset: int, size: int) -> int | None:
        """Where among the first `size` rows the living one of these coordinates is."""
        low, high = self._offsets
        if not low <= offset <= high:
            return None
        same = np.flatnonzero(self.columns.offsets[:size] == offset)
        alive = [
            i for i in same if self.columns.partitions[i] == partition and self.columns.texts[i] != REMOVED
        ]
        return int(alive[0]) if alive else None

    def remove(self, at: int) -> None:
        """From now on the row matches nothing and teaches nothing."""
        self.slack[:, at] = self._gone
        if not self.native:
            self.scale[at] = np.nan  # what is scaled by it reaches nothing
        self.columns.teaches[at] = False
        self.columns.texts[at] = REMOVED


def _pages(size: int, huge: bool) -> NDArray[np.uint8]:
    """Bytes on page boundaries, in huge pages where the system has them: those are read a third faster, and
    are there at once when first written to. What is never written takes no memory, but of a huge page that
    is all or nothing: not for small contexts."""
    if sys.platform != "linux":
        return np.empty(size, dtype=np.uint8)
    memory = mmap.mmap(-1, size + _HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if huge:
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(memory, dtype=np.uint8)
    start = -whole.ctypes.data % _HUGE
    return whole[start : start + size]


class Snapshot(NamedTuple):
    """What was published at one moment. `table` is (blocks, 11), the structs of scan.c, for the kernels."""

    blocks: tuple[Block, ...]
    table: Integers
    rows: int
    dimension: int

    def sizes(self) -> list[int]:
        """Rows in each block."""
        return [min(BLOCK_ROWS, self.rows - first) for first in range(0, self.rows, BLOCK_ROWS)]

    def vectors(self, rows: Integers) -> Vectors:
        """Grid rows (len(rows), d)."""
        return _gather([block.rows for block in self.blocks], rows, (self.dimension,), np.int16)

    def parts(self, first: int, end: int) -> Iterator[tuple[Block, slice, slice]]:
        """Of the rows from `first` on those before `end`: each block, where in it, and where among them."""
        end = min(end, self.rows)
        for start in range(first - first % BLOCK_ROWS, end, BLOCK_ROWS):
            low, high = max(first, start), min(end, start + BLOCK_ROWS)
            of, to = slice(low - start, high - start), slice(low - first, high - first)
            yield self.blocks[start // BLOCK_ROWS], of, to

    def places(self, rows: Integers) -> list[tuple[Block, Integers]]:
        """The blocks that some rows, in ascending order, lie in, and where in each."""
        home = rows // BLOCK_ROWS
        return [(self.blocks[i], rows[home == i] % BLOCK_ROWS) for i in sorted({*home.tolist()})]

    def column(self, name: str, rows: Integers) -> NDArray[Any]:
        """What `Columns` or the norms say of some rows."""
        parts = [b.norms if name == "norms" else getattr(b.columns, name) for b in self.blocks]
        return _gather(parts, rows, (), np.bool_ if name == "teaches" else np.int64)


class Blocks:
    """All rows of an index, numbered in the order in which they came."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self.native = kernels.available()
        self.snapshot = Snapshot((), np.empty(0, dtype=np.int64), 0, dimension)

    def append(self, vectors: Vectors, columns: Columns) -> None:
        """Write rows (n, d), none of zeros, then publish them."""
        blocks, end = list(self.snapshot.blocks), self.snapshot.rows
        done = 0
        while done < len(vectors):
            at = end % BLOCK_ROWS
            if at == 0:
                blocks.append(Block(self._dimension, end, self.native))
            part = slice(done, done + BLOCK_ROWS - at)
            written = vectors[part]
            blocks[-1].write(at, written, columns.part(part))
            done, end = done + len(written), end + len(written)
        self._publish(tuple(blocks), end)

    def _publish(self, blocks: tuple[Block, ...], rows: int) -> None:
        table = np.array([block.described for block in blocks], dtype=np.int64)
        if len(blocks) and self.native:
            table[-1, -1] = rows - (len(blocks) - 1) * BLOCK_ROWS
        self.snapshot = Snapshot(blocks, table, rows, self._dimension)

    def find(self, partition: int, offset: int) -> int | None:
        """The row of these coordinates that has not been removed."""
        for i, (block, size) in enumerate(zip(self.snapshot.blocks, self.snapshot.sizes(), strict=True)):
            at = block.find(partition, offset, size)
            if at is not None:
                return i * BLOCK_ROWS + at
        return None

    def remove(self, row: int) -> None:
        """From now on the row matches nothing and teaches nothing."""
        self.snapshot.blocks[row // BLOCK_ROWS].remove(row % BLOCK_ROWS)

    def locate(self, row: int) -> tuple[Columns, int]:
        """The columns that hold a row, and where in them it is."""
        return self.snapshot.blocks[row // BLOCK_ROWS].columns, row % BLOCK_ROWS

    def alive(self) -> Iterator[tuple[Columns, Vectors]]:
        """The rows that have not been removed and their vectors, of each block that has any."""
        for block, size in zip(self.snapshot.blocks, self.snapshot.sizes(), strict=True):
            if (rows := np.flatnonzero(block.columns.texts[:size] != REMOVED)).size:
                yield block.columns.part(rows), block.rows[rows]


def _gather(
    parts: Sequence[NDArray[Any]], rows: Integers, shape: tuple[int, ...], dtype: type
) -> NDArray[Any]:
    """rows of the parts, whatever blocks they lie in."""
    home, at = np.divmod(rows, BLOCK_ROWS)
    out: NDArray[Any] = np.empty((len(rows), *shape), dtype=dtype)
    for i in np.unique(home):
        inside = home == i
        out[inside] = parts[i][at[inside]]
    return out
