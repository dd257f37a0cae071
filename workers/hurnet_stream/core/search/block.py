"""One block of an index: room for BLOCK_ROWS rows, which are written one behind the other into its slots.

    slot      vector         plane(s)            columns
    0         int16 (d,)     4 + 4 bits (d,)     partition, offset, timestamp, copies, answer, text, ...
    1         int16 (d,)     4 + 4 bits (d,)     ...
    ...
    used      nothing yet

The vectors decide; the planes are a coarse copy of them that a search reads first (`bounds`). A row takes 3
bytes a dimension (16 bits that decide, twice 4 that are read first) and 57 bytes beside them. A block never
moves and never grows: its addresses are given to the kernels once.

If there is a shelf (`core/shelf`), the vectors of a full block are mapped from a file, which only rows that
survive the planes are read from. Each of these is checked by its sum (`core/row_sums`) whenever it is read. A
full block is saved as three files:

    rows      the vectors                                 written once, removed rows are wiped
    planes    the planes                                  written once, removed rows are wiped
    marks     columns, norms, bounds and all rows' sums   written anew if a row has been removed
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import squared_norms
from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.row_sums import plane_sums, row_sums
from hurnet_stream.core.search import bounds
from hurnet_stream.core.search.pages import page_aligned
from hurnet_stream.core.shelf import DamagedShelf, FileName, Shelf, Tree
from hurnet_stream.core.stored.batch import Vectors

BLOCK_ROWS = 1 << 14
"""A multiple of the 32 rows that the kernels read at once."""

REMOVED: Final = -1
"""Stands in the column `texts` of a row that has been removed."""

MINUS_INFINITY: Final = 0xFF80
"""The upper half of the float32 -inf."""

IN_MEMORY: Final = 0
"""Stands for the sum of a row that needs no check: it is not in a file, or has been removed."""
_KINDS: Final = ("rows", "planes", "marks")
_LANES: Final = 16
_MARKS: Final = ("scale", "slack", "norms", "sums", "used", "removed", "widest")

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
        self._first = first
        self._files: dict[str, FileName] = {}  # by kind: the files that hold what this block is now
        self._unwiped: list[int] = []  # slots of removed rows that may still stand in files
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
        return [*self._addresses, sums, self._first, self.used]

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
            self._unwiped.append(slot)
        self.columns_changed()

    def columns_changed(self) -> None:
        """What was saved of the columns holds no more."""
        self._files.pop("marks", None)

    def put_on(self, shelf: Shelf) -> None:
        """Have the vectors of a block that is full mapped from a file."""
        removed = self.columns.texts == REMOVED
        vectors = np.where(removed[:, None], np.int16(0), self.vectors) if removed.any() else self.vectors
        if name := shelf.write("rows", {"vectors": vectors}, is_summed=False):
            self._files["rows"] = name
            self.sums = row_sums(vectors)  # that of a row of zeros is IN_MEMORY
            self.vectors, self._addresses = shelf.map(name)["vectors"], []

    def saved(self, shelf: Shelf) -> Tree:
        """What `restored` needs: names of files, or of a block that is not full all of it."""
        if self.sums is None and self.used == len(self.vectors):
            self.put_on(shelf)  # there was no room for a file when it was filled
        if self.sums is None:
            return self._rows_alone()
        self.write_files(shelf)
        if self._unwiped:
            slots = np.array(self._unwiped, np.int64)
            of_row = (slice(None), slots // _LANES, slice(None), slots % _LANES) if self.native else slots
            shelf.wipe(self._files["rows"], "vectors", slots)
            shelf.wipe(self._files["planes"], "plane", of_row)
            self._unwiped = []
        return {"files": dict(self._files)}

    def write_files(self, shelf: Shelf) -> bool:
        """Write the files of a full block that are missing; False if none was."""
        if self.sums is None or len(self._files) == len(_KINDS):
            return False
        if "planes" not in self._files and (name := self._write_planes(shelf)):
            self._files["planes"] = name
        if "marks" not in self._files and (name := shelf.write("marks", self._marks())):
            self._files["marks"] = name
        return True

    @classmethod
    def restored(cls, tree: Tree, dimension: int, first: int, native: bool, room: int, shelf: Shelf) -> Self:
        """The block that was saved. Raises DamagedShelf."""
        if "files" not in tree:
            block = cls(dimension, first, native, room)
            block.append(tree["vectors"], RowColumns(**tree["columns"]))
            for slot in tree["removed"].tolist():
                block.remove(slot)
            return block
        block = cls(dimension, first, native, room=0)
        block._files = dict(tree["files"])
        block._restore(shelf)
        return block

    def _restore(self, shelf: Shelf) -> None:
        marks = shelf.read(self._files["marks"])
        for name in _MARKS:
            setattr(self, name, marks[name])
        self.columns = RowColumns(**marks["columns"])
        self.vectors = shelf.map(self._files["rows"])["vectors"]
        self.plane = shelf.map(self._files["planes"], whole=True)["plane"]
        self.is_settled = False
        if not self.native:
            self.settle()  # libraries want memory that they could write to
        held = self.columns.texts != REMOVED
        if (self._plane_sums() != marks["plane_sums"])[held].any():
            raise DamagedShelf(f"{self._files['planes']}: rows are not what they were")
        self._unwiped = np.flatnonzero(~held).tolist()  # it may have ended before they were wiped

    def settle(self) -> None:
        """Have the planes in memory of their own."""
        plane = page_aligned(self.plane.nbytes, huge=self._first > 0).view(self.plane.dtype)
        plane[:] = self.plane.reshape(-1)
        self.plane, self._addresses, self.is_settled = plane.reshape(self.plane.shape), [], True

    def check(self) -> None:
        """Read all vectors that lie in a file. Raises DamagedShelf if one is not what it was."""
        if self.sums is not None and ((row_sums(self.vectors) != self.sums) & (self.sums != IN_MEMORY)).any():
            raise DamagedShelf(f"{self._files['rows']}: rows are not what they were")

    def _rows_alone(self) -> Tree:
        """Nothing but the rows, from which all else can be made again."""
        vectors, columns = self.vectors[: self.used].copy(), self.columns.part(slice(self.used))
        removed = np.flatnonzero(columns.texts == REMOVED)
        vectors[removed] = 0
        vectors[removed, 0] = 1  # a vector of zeros has no planes
        return {"vectors": vectors, "columns": columns._asdict(), "removed": removed}

    def _write_planes(self, shelf: Shelf) -> FileName | None:
        removed = np.flatnonzero(self.columns.texts == REMOVED)
        self._unwiped = sorted({*self._unwiped, *removed.tolist()})
        return shelf.write("planes", {"plane": self.plane}, is_summed=False)

    def _marks(self) -> Tree:
        marks = {name: getattr(self, name) for name in _MARKS}
        return {**marks, "columns": self.columns._asdict(), "plane_sums": self._plane_sums()}

    def _plane_sums(self) -> NDArray[np.uint64]:
        """The sum of each row's planes (room,)."""
        return plane_sums(self.plane) if self.native else row_sums(self.plane)

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
