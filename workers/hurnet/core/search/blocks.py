"""Rows in blocks: a search reads what was published before it began, while more is appended and removed.

Rows are written behind the published ones and then published together, by replacing one reference: no locks.
A block that holds many removed rows is given up whole, once the others have been written behind the last
rows; its place is the next new block's, and whoever searches what was published before still has it. One
writer; any number of readers.

A row takes 3 bytes a dimension (16 bits that decide, twice 4 that are read first; `bounds`) and 57 bytes
beside them.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet.core.grid import squared_norms
from hurnet.core.native import search as kernels
from hurnet.core.search import bounds
from hurnet.core.search.spans import SPAN, Spans
from hurnet.core.stored.batch import Vectors

if TYPE_CHECKING:
    from hurnet.core.search.device import Device

BLOCK_ROWS = 1 << 14
"""A multiple of the 32 rows that the kernels read at once."""

REMOVED: Final = -1
"""Where the text of a removed row stands."""

_HUGE: Final = 1 << 21

Integers = NDArray[np.int64]


class RowColumns(NamedTuple):
    """What is held of a row beside its vector: identity, time, copies, answer and whether it teaches that;
    where its text stands in the arena, and its length there."""

    partitions: Integers
    offsets: Integers
    timestamps_ms: Integers
    copies: Integers
    answers: Integers
    teaches: NDArray[np.bool_]
    texts: Integers
    lengths: Integers

    def part(self, of: slice | Integers) -> RowColumns:
        """The same for some of the rows."""
        return RowColumns._make(column[of] for column in self)


_TYPES: Final[dict[str, type]] = {
    "partitions": np.int32,  # as Kafka counts them
    "copies": np.int16,
    "answers": np.int32,  # an index has fewer than 2**31 rows
    "teaches": np.bool_,
    "lengths": np.int32,
}
"""In which columns are held; the others in int64."""


class Block:
    """Up to `room` rows. For the kernels `plane` is two, (2, groups of 16, d/8, 16, 4), of the upper and
    the lower 4 bits of p + 128, `scale` and `slack` are the upper halves of float32, and there is a second
    slack for the upper 4 bits alone. Without kernels `plane` is (rows, d), of p itself, in one piece."""

    def __init__(self, dimension: int, first: int, native: bool, room: int) -> None:
        self.native = native
        self.removed = 0
        rows = _pages(room * dimension * 2, huge=first > 0)
        self.rows = rows.view(np.int16).reshape(room, dimension)
        self.plane: NDArray[Any]
        self.scale: NDArray[Any]
        self.slack: NDArray[Any]
        self._gone: float
        if native:
            steps = kernels.plane_bytes(dimension) // 4
            shape = (2, room // 16, steps, 16, 4)
            self.plane = _pages(math.prod(shape), huge=first > 0).reshape(shape)
            self.scale, self.slack = np.empty(room, np.uint16), np.empty((2, room), np.uint16)
            self._gone = 0xFF80  # the upper half of -inf: an upper bound is then below all others
        else:
            plane = _pages(room * dimension, huge=first > 0)
            self.plane = plane.view(np.int8).reshape(room, dimension)
            self.scale, self.slack = np.empty(room, np.float32), np.empty((1, room), np.float32)
            self._gone = -np.inf
        self.norms = np.empty(room, dtype=np.int64)
        self.columns = RowColumns._make(
            np.empty(room, _TYPES.get(name, np.int64)) for name in RowColumns._fields
        )
        self.widest = 0.0
        """Without kernels: no row has more slack."""
        parts = (self.rows, *self.plane[:2], self.scale, *self.slack, self.norms, *self.columns[:2])
        self.described = [*(part.ctypes.data for part in parts), first, room] if native else []
        """The struct `Block` of scan.h."""

    def write(self, at: int, vectors: Vectors, columns: RowColumns) -> None:
        """Rows (n, d), none of zeros, from row `at` of the block on."""
        to = slice(at, at + len(vectors))
        self.rows[to] = vectors
        if self.native:
            kernels.pack(vectors, at, self.plane, self.scale, self.slack, self.norms)
        else:
            self.norms[to] = squared_norms(vectors)
            self.plane[to], self.scale[to], slack = bounds.plane(vectors, self.norms[to])
            self.slack[0, to], self.widest = slack, max(self.widest, float(slack.max()))
        for name in RowColumns._fields:
            getattr(self.columns, name)[to] = getattr(columns, name)

    def find(self, partition: int, offset: int, among: slice) -> list[int]:
        """The row of these coordinates that has not been removed, if it is among those."""
        partitions, texts = self.columns.partitions, self.columns.texts
        same = (self.columns.offsets[among] == offset).nonzero()[0] + among.start
        return [at for at in same.tolist() if partitions[at] == partition and texts[at] != REMOVED]

    def find_all(self, partition: int, offsets: Integers, among: slice) -> Integers:
        """The rows of these offsets (n,), which ascend, that have not been removed, if among those."""
        columns = self.columns
        mine = columns.offsets[among]
        nearest = offsets[np.minimum(np.searchsorted(offsets, mine), len(offsets) - 1)]
        same = (nearest == mine) & (columns.partitions[among] == partition)
        rows: Integers = (same & (columns.texts[among] != REMOVED)).nonzero()[0] + among.start
        return rows

    def remove(self, at: int) -> None:
        """From now on the row matches nothing and teaches nothing."""
        self.removed += 1
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
    """What was published at one moment. `filled` is the rows in each block: all that there is room for, in at
    most one fewer, none in those given up. `table` is the blocks' structs, for the kernels. `moves` says how
    often rows have moved on the device."""

    blocks: tuple[Block, ...]
    filled: tuple[int, ...]
    table: bytes
    spans: Spans
    moves: int
    rows: int
    dimension: int

    @property
    def end(self) -> int:
        """All row numbers are below it."""
        return (len(self.filled) - 1) * BLOCK_ROWS + self.filled[-1] if self.filled else 0

    def held(self) -> Iterator[tuple[RowColumns, int]]:
        """The columns of each block, and how many rows of them."""
        return ((block.columns, size) for block, size in zip(self.blocks, self.filled, strict=True))

    def vectors(self, rows: Integers) -> Vectors:
        """Grid rows (len(rows), d)."""
        return _gather([block.rows for block in self.blocks], rows, (self.dimension,), np.int16)

    def parts(self, first: int, end: int) -> Iterator[tuple[Block, slice, slice]]:
        """Of the row numbers from `first` on those before `end` that rows have: each block, where in it, and
        where among them."""
        for i in range(first // BLOCK_ROWS, -(-min(end, self.end) // BLOCK_ROWS)):
            start = i * BLOCK_ROWS
            low, high = max(first, start), min(end, start + self.filled[i])
            if low < high:
                yield self.blocks[i], slice(low - start, high - start), slice(low - first, high - first)

    def places(self, rows: Integers) -> list[tuple[Block, Integers]]:
        """The blocks that some rows, in ascending order, lie in, and where in each."""
        home = rows // BLOCK_ROWS
        return [(self.blocks[i], rows[home == i] % BLOCK_ROWS) for i in sorted({*home.tolist()})]

    def column(self, name: str, rows: Integers) -> NDArray[Any]:
        """What `Columns` or the norms say of some rows."""
        parts = [b.norms if name == "norms" else getattr(b.columns, name) for b in self.blocks]
        return _gather(parts, rows, (), np.bool_ if name == "teaches" else np.int64)

    def holds(self, rows: Integers) -> NDArray[np.bool_]:
        """Which rows had been published."""
        home, at = np.divmod(rows, BLOCK_ROWS)
        return at < np.array([*self.filled, 0])[np.minimum(home, len(self.filled))]

    def find(self, partition: int, offset: int) -> int | None:
        """The row of these coordinates that has not been removed."""
        for i, first in self.spans.near(offset):
            if i < len(self.blocks):
                among = slice(first, min(first + SPAN, self.filled[i]))
                for at in self.blocks[i].find(partition, offset, among):
                    return i * BLOCK_ROWS + at
        return None

    def find_all(self, partition: int, offsets: Integers) -> Integers:
        """The rows of these offsets (n,), which ascend, that have not been removed."""
        found = [np.empty(0, np.int64)]
        for i, first in self.spans.among(offsets):
            if i < len(self.blocks):
                among = slice(first, min(first + SPAN, self.filled[i]))
                found.append(self.blocks[i].find_all(partition, offsets, among) + i * BLOCK_ROWS)
        return np.concatenate(found)


class Place(NamedTuple):
    """Rows `at` to `end` of a block."""

    block: int
    at: int
    end: int


class Blocks:
    """All rows of an index, numbered: BLOCK_ROWS times the block, and the place in it; `device` has those on
    the device, if there is one."""

    def __init__(self, dimension: int, device: Device | None = None) -> None:
        self._dimension = dimension
        self.device = device.rows(dimension) if device else None
        self.native = kernels.available()
        self.removed = 0
        """Rows held that have been removed."""
        self._given_up = Block(dimension, 0, self.native, room=0)
        self.snapshot = Snapshot((), (), b"", Spans(BLOCK_ROWS), 0, 0, dimension)

    def places(self, n: int, leaving: int = REMOVED) -> list[Place]:
        """Where the next n rows will go: to the block that is not full, then to new ones; none to the one
        that is `leaving`."""
        filled, found = self.snapshot.filled, list[Place]()
        begun = (i for i, size in enumerate(filled) if 0 < size < BLOCK_ROWS and i != leaving)
        free = (i for i in count() if i >= len(filled) or not filled[i])
        blocks = chain(begun, free)
        while n:
            block = next(blocks)
            at = filled[block] if block < len(filled) else 0
            found.append(Place(block, at, min(at + n, BLOCK_ROWS)))
            n -= found[-1].end - at
        return found

    def append(self, vectors: Vectors, columns: RowColumns) -> None:
        """Write rows (n, d), none of zeros, then publish them."""
        self._publish(*self._written(self.places(len(vectors)), vectors, columns), self.snapshot.spans)

    def emptiest(self) -> int | None:
        """The block with the most removed rows, once a quarter of all rows, and at least a block of them, are
        removed ones; it then has a fifth of a block of them, or more."""
        if self.removed < max(BLOCK_ROWS, self.snapshot.rows // 4):
            return None
        return max(range(len(self.snapshot.blocks)), key=lambda i: self.snapshot.blocks[i].removed)

    def move(self, block: int) -> tuple[Integers, Integers]:
        """Write the rows of a block that have not been removed behind the last ones, and give it up, as one
        change: which rows they were and which they are now."""
        leaving = self.snapshot.blocks[block]
        alive = np.flatnonzero(leaving.columns.texts[: self.snapshot.filled[block]] != REMOVED)
        places = self.places(len(alive), block)
        blocks, filled = self._written(places, leaving.rows[alive], leaving.columns.part(alive))
        if self.device:
            self.device.clear(block * BLOCK_ROWS, filled[block])
        blocks[block], filled[block] = self._given_up, 0
        while filled and not filled[-1]:
            blocks.pop(), filled.pop()
        self.removed -= leaving.removed
        self._publish(blocks, filled, self.snapshot.spans.without(block))
        return alive + block * BLOCK_ROWS, numbers_of(places)

    def remove(self, row: int) -> None:
        """From now on the row matches nothing and teaches nothing."""
        self.snapshot.blocks[row // BLOCK_ROWS].remove(row % BLOCK_ROWS)
        self.removed += 1
        if self.device:
            self.device.remove(row)

    def locate(self, row: int) -> tuple[RowColumns, int]:
        """The columns that hold a row, and where in them it is."""
        return self.snapshot.blocks[row // BLOCK_ROWS].columns, row % BLOCK_ROWS

    def _written(
        self, places: Sequence[Place], vectors: Vectors, columns: RowColumns
    ) -> tuple[list[Block], list[int]]:
        """What there is to publish once these rows stand at those places."""
        blocks, filled, done = list(self.snapshot.blocks), list(self.snapshot.filled), 0
        for i, at, end in places:
            if i == len(blocks):
                blocks.append(self._given_up)
                filled.append(0)
            if not at:
                blocks[i] = Block(self._dimension, i * BLOCK_ROWS, self.native, BLOCK_ROWS)
            part = slice(done, done + end - at)
            blocks[i].write(at, vectors[part], columns.part(part))
            if self.device:
                self.device.write(i * BLOCK_ROWS + at, vectors[part])
            self.snapshot.spans.widen(i, at, columns.offsets[part])
            filled[i], done = end, part.stop
        return blocks, filled

    def _publish(self, blocks: Sequence[Block], filled: Sequence[int], spans: Spans) -> None:
        table = np.array([block.described for block in blocks], dtype=np.int64)
        if len(blocks) and self.native:
            table[:, -1] = filled
        moves = self.device.moves if self.device else 0
        held = tuple(blocks), tuple(filled), table.tobytes(), spans, moves
        self.snapshot = Snapshot(*held, sum(filled), self._dimension)


def numbers_of(places: Sequence[Place]) -> Integers:
    """The numbers of the rows at some places."""
    rows = [np.arange(at, end) + block * BLOCK_ROWS for block, at, end in places]
    return np.concatenate([np.empty(0, np.int64), *rows])


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
