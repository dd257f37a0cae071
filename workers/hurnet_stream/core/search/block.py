"""One block of an index: room for BLOCK_ROWS rows, which are written one behind the other into its slots.

    slot      vector         plane(s)            columns
    0         int16 (d,)     4 + 4 bits (d,)     partition, offset, timestamp, copies, answer, text, ...
    1         int16 (d,)     4 + 4 bits (d,)     ...
    ...
    used      nothing yet

The vectors decide; the planes are a coarse copy of them that a search reads first (`bounds`). A row takes 3
bytes a dimension (16 bits that decide, twice 4 that are read first) and 57 bytes beside them. A block never
moves and never grows: its addresses are given to the kernels once.

With a shelf its vectors lie in a file once it is full (`block_files`).
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import squared_norms
from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.search import bounds
from hurnet_stream.core.search.pages import page_aligned
from hurnet_stream.core.shelf import FileName
from hurnet_stream.core.stored.batch import Vectors

BLOCK_ROWS = 1 << 14
"""A multiple of the 32 rows that the kernels read at once."""

REMOVED: Final = -1
"""Stands in the column `texts` of a row that has been removed."""

MINUS_INFINITY: Final = 0xFF80
"""The upper half of the float32 -inf."""

IN_MEMORY: Final = 0
"""Stands for the sum of a row that needs no check: it is not in a file, or has been removed."""

Integers = NDArray[np.int64]


class RowColumns(NamedTuple):
    """What is held of n rows beside their vectors, each (n,).

    `answers` are the numbers of their answers. `teaches` is False if a row is only its own answer, and if its
    `copies` are negative, which means that it refutes the answer. A text stands in the arena at the address
    `texts`; what `lengths` says is written at `arena.TextAddresses`.
    """

    partitions: Integers
    offsets: Integers
    timestamps_ms: Integers
    copies: Integers
    answers: Integers
    teaches: NDArray[np.bool_]
    texts: Integers
    lengths: Integers

    def part(self, rows: slice | Integers) -> RowColumns:
        """The same for some of the rows."""
        return RowColumns._make(column[rows] for column in self)

    def has_answer(self, row: int) -> bool:
        """Whether this row, which has not been removed, has an answer other than its text."""
        return bool(self.teaches[row] or self.copies[row] < 0)


_TYPES: Final[dict[str, type]] = {  # as they are held; the others in int64
    "partitions": np.int32,  # as Kafka counts them
    "copies": np.int16,
    "answers": np.int32,  # an index has fewer than 2**31 rows
    "teaches": np.bool_,
    "lengths": np.int32,
}


class Block:
    """Up to `room` rows of dimension d; its first slot is row `first` of the index.

    With kernels, `plane` is (2, room/16, d/8, 16, 4) uint8: the upper and the lower 4 bits of p + 128,
    sixteen rows beside one another; `scale` (room,) and `slack` (2, room) are the upper halves of float32,
    the second slack being that of the upper 4 bits alone. Without kernels `plane` is p itself, (room, d)
    int8, and both are float32, `slack` (1, room).
    """

    def __init__(self, dimension: int, first: int, native: bool, room: int) -> None:
        self.native = native
        self.used = 0
        """Slots that have been written, those of removed rows included."""
        self.removed = 0
        self.widest = 0.0
        """Without kernels: the largest slack of all its rows."""
        # An index that does not go beyond its first block is small: huge pages would cost more than they
        # save.
        huge = first > 0
        self.vectors = page_aligned(room * dimension * 2, huge).view(np.int16).reshape(room, dimension)
        self.plane: NDArray[Any]
        self.scale: NDArray[Any]
        self.slack: NDArray[Any]
        if native:
            shape = (2, room // 16, kernels.plane_bytes(dimension) // 4, 16, 4)
            self.plane = page_aligned(math.prod(shape), huge).reshape(shape)
            self.scale, self.slack = np.empty(room, np.uint16), np.empty((2, room), np.uint16)
        else:
            self.plane = page_aligned(room * dimension, huge).view(np.int8).reshape(room, dimension)
            self.scale, self.slack = np.empty(room, np.float32), np.empty((1, room), np.float32)
        self.norms = np.empty(room, dtype=np.int64)
        self.columns = RowColumns._make(
            np.empty(room, _TYPES.get(name, np.int64)) for name in RowColumns._fields
        )
        self.sums: NDArray[np.uint64] | None = None
        """By slot, if the vectors lie in a file: the sum of each row, IN_MEMORY if it has been removed."""
        self.is_settled = True
        """Whether the planes are in memory of their own. Those of a block that was restored are mapped at
        first: the system might take them away, and they are in small pages."""
        self.first = first
        self.files: dict[str, FileName] = {}
        """By kind: the files that hold what this block is now (`block_files`)."""
        self.unwiped: list[int] = []
        """Slots of removed rows that may still stand in files."""
        self._addresses: list[int] = []

    def struct(self) -> list[int]:
        """The struct `Block` of native/types.h, field by field."""
        if not self._addresses:
            arrays = (
                *(self.vectors, *self.plane[:2], self.scale, *self.slack, self.norms),
                *(self.columns.partitions, self.columns.offsets, self.columns.answers),
            )
            self._addresses = [array.ctypes.data for array in arrays]
        sums = 0 if self.sums is None else self.sums.ctypes.data
        return [*self._addresses, sums, self.first, self.used]

    def moved(self) -> None:
        """Some of its arrays are others now."""
        self._addresses = []

    def append(self, vectors: Vectors, columns: RowColumns) -> None:
        """Write rows (n, d) behind the last; none is all zeros, and there is room for all."""
        slots = slice(self.used, self.used + len(vectors))
        self.vectors[slots] = vectors
        if self.native:
            kernels.quantise(vectors, self.used, self.plane, self.scale, self.slack, self.norms)
        else:
            self.norms[slots] = squared_norms(vectors)
            self.plane[slots], self.scale[slots], slack = bounds.plane(vectors, self.norms[slots])
            self.slack[0, slots], self.widest = slack, max(self.widest, float(slack.max()))
        for name in RowColumns._fields:
            getattr(self.columns, name)[slots] = getattr(columns, name)
        self.used = slots.stop

    def remove(self, slot: int) -> None:
        """From now on this row matches nothing and teaches nothing."""
        self.removed += 1
        if self.native:
            self.slack[:, slot] = MINUS_INFINITY  # its upper bound is then below all others
        else:
            self.scale[slot] = np.nan  # a product with NaN is at least nothing, so no sieve keeps the row
        self.columns.teaches[slot] = False
        self.columns.texts[slot] = REMOVED
        if self.sums is not None:
            self.sums[slot] = IN_MEMORY
            self.unwiped.append(slot)
        self.columns_changed()

    def columns_changed(self) -> None:
        """What was saved of the columns holds no more."""
        self.files.pop("marks", None)

    def alive(self) -> Integers:
        """The slots (n,) of rows that have not been removed."""
        return np.flatnonzero(self.columns.texts[: self.used] != REMOVED)

    def find(self, partition: int, offset: int, span: slice) -> int | None:
        """The slot in `span` of the row with this partition and offset; None if there is none that has not
        been removed."""
        partitions, texts = self.columns.partitions, self.columns.texts
        same = (self.columns.offsets[span] == offset).nonzero()[0] + span.start
        matching = (s for s in same.tolist() if partitions[s] == partition and texts[s] != REMOVED)
        return next(matching, None)

    def find_all(self, partition: int, offsets: Integers, span: slice) -> Integers:
        """The slots in `span` of rows with this partition and any of the offsets (n,), which ascend, without
        those that have been removed."""
        held = self.columns.offsets[span]
        nearest = offsets[np.minimum(np.searchsorted(offsets, held), len(offsets) - 1)]
        matching = (nearest == held) & (self.columns.partitions[span] == partition)
        slots: Integers = (matching & (self.columns.texts[span] != REMOVED)).nonzero()[0] + span.start
        return slots
