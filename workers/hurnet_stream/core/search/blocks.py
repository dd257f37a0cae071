"""All rows of an index, in blocks.

Row r lies in slot r % BLOCK_ROWS of block r // BLOCK_ROWS. Rows are written behind the last; blocks never
move, so an append copies nothing that is there. A removed row keeps its slot until its block is given up:

    block 0   | a b c d |        | a . c . |   give up 0    | (none) |   next block -> place 0
    block 1   | e f g h |  ->    | e f g h |      ->        | e f g h |
    block 2   | i       |        | i       |                | i a c   |

To give a block up, its other rows are written behind the last ones, which renumbers them; the memory goes,
and the number is the next new block's.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.held import array_bytes
from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.row_sums import row_sums, sums_at
from hurnet_stream.core.search import block_files
from hurnet_stream.core.search.block import BLOCK_ROWS, IN_MEMORY, REMOVED, Block, RowColumns
from hurnet_stream.core.search.excerpts import Excerpts
from hurnet_stream.core.search.spans import SPAN, Spans
from hurnet_stream.core.shelf import DamagedShelf, Shelf, Tree
from hurnet_stream.core.stored.batch import Vectors

if TYPE_CHECKING:
    from hurnet_stream.core.search.device import Device

Integers = NDArray[np.int64]


class Blocks:
    """The rows of one index, for one thread at a time. If there is a `device`, it holds a copy of them."""

    def __init__(self, dimension: int, device: Device | None = None, shelf: Shelf | None = None) -> None:
        self.dimension = dimension
        self._shelf = shelf
        self.native = kernels.available()
        self.device = device.rows(dimension) if device else None
        self.blocks: list[Block] = []
        """By number. One that was given up has no used slots."""
        self.rows = 0
        """Used slots, those of removed rows included."""
        self.removed = 0
        self.longest = 0
        """No row has a larger |x|²."""
        self._given_up = Block(dimension, 0, self.native, room=0)
        self.excerpts = Excerpts(dimension)
        self._spans = Spans(BLOCK_ROWS)
        self._table: bytes | None = None
        self._starts: Integers | None = None  # where the vectors of each block begin in memory

    @property
    def nbytes(self) -> int:
        """The bytes of all blocks, without the vectors that lie in files."""
        mapped = sum(block.vectors.nbytes for block in self.blocks if block.sums is not None)
        return array_bytes(*self.blocks) - mapped + self.excerpts.nbytes

    @property
    def block_rows(self) -> int:
        """The rows that a block has room for."""
        return BLOCK_ROWS

    @property
    def end(self) -> int:
        """All row numbers are below it."""
        return (len(self.blocks) - 1) * BLOCK_ROWS + self.blocks[-1].used if self.blocks else 0

    def table(self) -> bytes:
        """What the kernels need to know of all blocks: their structs, one behind the other."""
        if self._table is None:  # something has been written since it was made
            structs = [block.struct() for block in self.blocks]
            self._table = np.array(structs, dtype=np.int64).tobytes()
        return self._table

    def append(self, vectors: Vectors, columns: RowColumns) -> Integers:
        """Write rows (n, d), none of them all zeros; returns their numbers (n,)."""
        return self._write(vectors, columns)

    def remove(self, row: int) -> None:
        """From now on the row matches nothing and teaches nothing."""
        self.blocks[row // BLOCK_ROWS].remove(row % BLOCK_ROWS)
        self.removed += 1
        if self.device:
            self.device.remove(row)

    def emptiest(self) -> int | None:
        """The number of the block to give up: the one with the most removed rows, once a quarter of all rows,
        and at least as many as a block has, are removed. At least a fifth of its rows are then removed."""
        if self.removed < max(BLOCK_ROWS, self.rows // 4):
            return None
        return max(range(len(self.blocks)), key=lambda number: self.blocks[number].removed)

    def give_up(self, number: int) -> tuple[Integers, Integers]:
        """Write the rows of a block that have not been removed behind the last ones and let go of it; returns
        the numbers (n,) that they had, and those (n,) that they have now."""
        leaving, first = self.blocks[number], number * BLOCK_ROWS
        slots = leaving.alive()
        moved = self._write(leaving.vectors[slots], leaving.columns.part(slots), leaving=number)
        if self.device:
            self.device.clear(first, leaving.used)
        self.rows -= leaving.used
        self.removed -= leaving.removed
        self.blocks[number] = self._given_up
        self.excerpts.clear()
        self._spans.clear(number)
        while self.blocks and not self.blocks[-1].used:
            self.blocks.pop()
        self._table = self._starts = None
        return slots + first, moved

    def holds(self, rows: Integers) -> bool:
        """Whether all of these numbers (n,) are rows that have been written and not removed."""
        if not len(rows) or rows.min() < 0 or rows.max() >= self.end:
            return not len(rows)
        used = np.array([block.used for block in self.blocks])
        if (rows % BLOCK_ROWS >= used[rows // BLOCK_ROWS]).any():
            return False
        return bool((self.column("texts", rows) != REMOVED).all())

    def locate(self, row: int) -> tuple[RowColumns, int]:
        """The columns that hold a row, and its slot in them."""
        return self.blocks[row // BLOCK_ROWS].columns, row % BLOCK_ROWS

    def vectors(self, rows: Integers) -> Vectors:
        """The grid rows (n, d) of these rows (n,). Raises DamagedShelf if one that lies in a file is not what
        it was."""
        vectors: Vectors = self.gather(attrgetter("vectors"), rows)
        if self._shelf:
            self._check(rows, row_sums(vectors))
        return vectors

    def addresses(self, rows: Integers) -> Integers:
        """Where the vectors of these rows (n,) stand in memory (n,), until rows are next written or removed.
        Raises DamagedShelf if one that lies in a file is not what it was. Needs the kernels."""
        if self._starts is None:
            starts = [block.vectors.ctypes.data for block in self.blocks]
            self._starts = np.array(starts, np.int64)
        numbers, slots = np.divmod(rows, BLOCK_ROWS)
        addresses: Integers = self._starts[numbers] + slots * (2 * self.dimension)
        if self._shelf:
            self._check(rows, sums_at(addresses, 2 * self.dimension))
        return addresses

    def _check(self, rows: Integers, sums: NDArray[np.uint64]) -> None:
        """Whether rows (n,) that lie in files have the sums that they had."""
        numbers, slots = np.divmod(rows, BLOCK_ROWS)
        for number in set(numbers.tolist()):
            expected = self.blocks[number].sums
            if expected is not None:
                inside = numbers == number
                wanted = expected[slots[inside]]
                if ((wanted != sums[inside]) & (wanted != IN_MEMORY)).any():
                    raise DamagedShelf(f"block {number}: rows are not what they were")

    def saved(self) -> Tree:
        """What `restore` needs. Only if there is a shelf."""
        shelf = self._shelf
        blocks = [block_files.saved(block, shelf) if shelf and block.used else None for block in self.blocks]
        counts = {"rows": self.rows, "removed": self.removed, "longest": self.longest}
        return {**counts, "blocks": blocks, "ranges": self._spans.saved(len(self.blocks))}

    def write_ahead(self, number: int) -> bool:
        """Write a file that `saved` would write of a block; False if there is none."""
        block, shelf = self.blocks[number] if number < len(self.blocks) else self._given_up, self._shelf
        if shelf is None or not block.used:
            return False
        if block_files.put_again(shelf, block):
            self._table = self._starts = None
        return block_files.write(block, shelf)

    def restore(self, tree: Tree) -> None:
        """Be what was saved. Raises DamagedShelf."""
        for number, saved in enumerate(tree["blocks"]):
            block = self._restored(number, saved) if saved else self._given_up
            self.blocks.append(block)
            if self.device and block.used:
                block_files.check(block)  # what the device prunes by is made of them
                self.device.write(number * BLOCK_ROWS, block.vectors[: block.used])
                for slot in np.setdiff1d(np.arange(block.used), block.alive()).tolist():
                    self.device.remove(number * BLOCK_ROWS + slot)
        self.rows, self.removed, self.longest = tree["rows"], tree["removed"], tree["longest"]
        self._spans.restore(tree["ranges"])

    def _restored(self, number: int, saved: Tree) -> Block:
        """One block, which has files if it was full."""
        if self._shelf is None:
            raise DamagedShelf("there is no shelf")
        room = 0 if "files" in saved else BLOCK_ROWS
        empty = Block(self.dimension, number * BLOCK_ROWS, self.native, room)
        return block_files.restored(saved, empty, self._shelf)

    def settle(self) -> bool:
        """Have the planes of one block more in memory of their own; False if all are."""
        block = next((block for block in self.blocks if not block.is_settled), None)
        if block is None:
            return False
        block_files.settle(block)
        self._table = None
        return True

    def check(self) -> None:
        """Read all that lies in files. Raises DamagedShelf if anything is not what it was."""
        for block in self.blocks:
            block_files.check(block)

    def column(self, name: str, rows: Integers) -> NDArray[Any]:
        """A column of `RowColumns` for these rows (n,): (n,) in int64, `teaches` in bool."""
        return self.columns(rows, name)[0]

    def columns(self, rows: Integers, *names: str) -> list[NDArray[Any]]:
        """Some columns of these rows (n,), as `column` gives them. Together they take less time."""
        places = self._places(rows)
        found = (self._gather(attrgetter(f"columns.{name}"), places, len(rows)) for name in names)
        return [
            values if name == "teaches" else values.astype(np.int64)
            for name, values in zip(names, found, strict=True)
        ]

    def gather(self, array_of: Callable[[Block], NDArray[Any]], rows: Integers) -> NDArray[Any]:
        """The values (n, ...) of these rows (n,), in the order given. `array_of` picks the array
        (slots, ...) of a block that holds them."""
        return self._gather(array_of, self._places(rows), len(rows))

    def _places(self, rows: Integers) -> list[tuple[Block, Integers, Integers]]:
        """Each block that holds some of these rows (n,), which of the n these are, and their slots."""
        if len(self.blocks) == 1:
            return [(self.blocks[0], np.arange(len(rows)), rows)]
        numbers, slots = np.divmod(rows, BLOCK_ROWS)
        places = []
        for number in set(numbers.tolist()):  # faster than np.unique for the few hundred rows of a search
            inside = np.flatnonzero(numbers == number)
            places.append((self.blocks[number], inside, slots[inside]))
        return places

    def _gather(
        self,
        array_of: Callable[[Block], NDArray[Any]],
        places: list[tuple[Block, Integers, Integers]],
        n: int,
    ) -> NDArray[Any]:
        if len(places) == 1:
            block, _, slots = places[0]
            return array_of(block)[slots]  # a copy
        like = array_of(self._given_up)
        gathered = np.empty((n, *like.shape[1:]), like.dtype)
        for block, inside, slots in places:
            gathered[inside] = array_of(block)[slots]
        return gathered

    def find(self, partition: int, offset: int) -> int | None:
        """The row of the entry with this id; None if there is none that has not been removed."""
        for number, first in self._spans.near(offset):
            slot = self.blocks[number].find(partition, offset, self._span(number, first))
            if slot is not None:
                return number * BLOCK_ROWS + slot
        return None

    def find_all(self, partition: int, offsets: Integers) -> Integers:
        """The rows of a partition at these offsets (n,), which ascend, in no order, without those that have
        been removed."""
        rows = [np.empty(0, np.int64)]
        for number, first in self._spans.among(offsets):
            slots = self.blocks[number].find_all(partition, offsets, self._span(number, first))
            rows.append(slots + number * BLOCK_ROWS)
        return np.concatenate(rows)

    def _span(self, number: int, first: int) -> slice:
        return slice(first, min(first + SPAN, self.blocks[number].used))

    def _write(self, vectors: Vectors, columns: RowColumns, leaving: int | None = None) -> Integers:
        """Rows (n, d) into free slots, but none of the block that is `leaving`; returns their numbers."""
        rows, done = np.empty(len(vectors), np.int64), 0
        while done < len(vectors):
            number = self._open_block(leaving)
            block, first = self.blocks[number], number * BLOCK_ROWS + self.blocks[number].used
            part = slice(done, min(done + BLOCK_ROWS - block.used, len(vectors)))
            self._spans.widen(number, block.used, columns.offsets[part])
            block.append(vectors[part], columns.part(part))
            self.longest = max(self.longest, int(block.norms[first % BLOCK_ROWS : block.used].max(initial=0)))
            if self.device:
                self.device.write(first, vectors[part])
            rows[part] = np.arange(first, first + part.stop - done)
            done = part.stop
            if self._shelf and block.used == BLOCK_ROWS:
                block_files.put_on(self._shelf, block)
        self.rows += len(vectors)
        self._table = self._starts = None
        return rows

    def _open_block(self, leaving: int | None) -> int:
        """The number of a block with a free slot: of the one that is not full yet, else of a new one."""
        free = len(self.blocks)
        for number, block in enumerate(self.blocks):
            if 0 < block.used < BLOCK_ROWS and number != leaving:
                return number
            if not block.used:
                free = min(free, number)
        self.blocks[free : free + 1] = [Block(self.dimension, free * BLOCK_ROWS, self.native, BLOCK_ROWS)]
        return free
