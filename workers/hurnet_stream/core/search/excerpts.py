"""Excerpts: of a filter that is asked again and again, the rows that pass once more, side by side.

A search reads 32 rows of a plane at once, so rows that are scattered cost what all of them do. An excerpt of
a block has the upper plane of some rows alone, and says which slots of the block they are:

    block    a b c d e f g h        pass    . b . . e . . h        excerpt    b e h    slots 1 4 7

Why the answers stay the same: an excerpt says only which rows to look at. What it leaves is compared as ever,
by the rows themselves, if it still passes. Nothing is ever written again into a slot of a block that is full,
and of others there are no excerpts; when a block is given up, all excerpts go. And one is used only if it has
all rows of its block that pass.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.search.block import MINUS_INFINITY, Block
from hurnet_stream.core.search.passing import Passing

SEARCHES: Final = 8
"""How often a filter is searched before excerpts are made for it: they cost two searches or so."""
BLOCKS_AT_ONCE: Final = 4
"""Of how many blocks excerpts are made before one search: a millisecond."""
LEAST_ROWS: Final = 256
"""Of a block: fewer are as quickly compared in integers."""
MOST_OF_BLOCK: Final = 0.6
"""Of more rows an excerpt would save too little."""
FILTERS: Final = 256
"""Of how many filters it is known how often they were searched."""
SHARE: Final = 1.0
"""The bytes of all excerpts, as a share of what the upper planes of all rows take."""

_FIELDS: Final = 5
"""Of the struct `Excerpt` of native/types.h."""


class _Excerpt:
    """Of one block: the rows (n,) in these slots."""

    def __init__(self, block: Block, slots: NDArray[np.int64], dimension: int) -> None:
        room = -(-len(slots) // kernels.ROWS_AT_ONCE) * kernels.ROWS_AT_ONCE
        self.high = np.zeros((room, kernels.plane_bytes(dimension)), np.uint8)
        self.marks = np.zeros((2, room), np.uint16)  # scale, and slack of the upper 4 bits
        self.marks[1] = MINUS_INFINITY  # which no bar is below: so is that of the room behind the rows
        self.slots = np.zeros(room, np.uint16)
        self.size = len(slots)
        self.slots[: self.size] = slots
        self.marks[0, : self.size], self.marks[1, : self.size] = block.scale[slots], block.slack[1, slots]
        kernels.excerpt(block.plane[0], self.slots[: self.size], dimension, self.high)

    @property
    def nbytes(self) -> int:
        return self.high.nbytes + self.marks.nbytes + self.slots.nbytes

    def struct(self) -> list[int]:
        """The struct `Excerpt` of native/types.h, field by field."""
        scale, slack = self.marks
        return [*(array.ctypes.data for array in (self.high, scale, slack, self.slots)), self.size]


class _Filter:
    """What is held for one filter."""

    def __init__(self) -> None:
        self.searches = 0
        self.done = 0  # there were so many blocks when no more excerpts could be made
        self.nbytes = 0
        self.excerpts: dict[int, _Excerpt] = {}  # by block
        self.structs = np.zeros((0, _FIELDS), np.int64)  # (blocks, 5), zeros for a block without
        self.bits = np.zeros((0, 0), np.uint8)  # (blocks, rows of a block / 8): which rows are in excerpts

    def make(self, passing: NDArray[np.uint8], blocks: Sequence[Block], dimension: int, most: int) -> None:
        """Some of the excerpts that are missing, as long as they all take at most so many bytes. `passing`
        are the rows that pass, as `bits`."""
        self._grow(*passing.shape)
        missing = self._missing(passing, blocks)
        for number in missing[:BLOCKS_AT_ONCE]:
            slots = np.flatnonzero(np.unpackbits(passing[number], bitorder="little"))
            made = _Excerpt(blocks[number], slots, dimension)
            if self.nbytes + made.nbytes > most:
                missing = []
                break
            self.nbytes += made.nbytes
            self.excerpts[number], self.structs[number] = made, made.struct()
            self.bits[number] = passing[number]
        self.done = self.done if missing else len(blocks)

    def _missing(self, passing: NDArray[np.uint8], blocks: Sequence[Block]) -> list[int]:
        room = 8 * passing.shape[1]
        counts = np.bitwise_count(passing).sum(axis=1)
        worth = (counts >= LEAST_ROWS) & (counts <= MOST_OF_BLOCK * room) & (self.structs[:, -1] == 0)
        return [number for number in np.flatnonzero(worth).tolist() if blocks[number].used == room]

    def _grow(self, blocks: int, width: int) -> None:
        if (more := blocks - len(self.structs)) > 0:
            self.structs = np.vstack([self.structs, np.zeros((more, _FIELDS), np.int64)])
            self.bits = np.vstack([self.bits.reshape(-1, width), np.zeros((more, width), np.uint8)])

    def usable(self, passing: NDArray[np.uint8]) -> Usable:
        """All excerpts, but for one that lacks a row that passes."""
        n = len(passing)
        # Also of blocks of which there is none.
        lacking = (passing & ~self.bits[:n]).any(axis=1, keepdims=True)
        return Usable(np.where(lacking, 0, self.structs[:n]), self.excerpts)


class Usable(NamedTuple):
    """For the kernels: structs (blocks, 5), and what they point to."""

    structs: NDArray[np.int64]
    held: object


class Excerpts:
    """The excerpts of one index."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._filters: OrderedDict[Hashable, _Filter] = OrderedDict()  # the one that was asked last is last

    @property
    def nbytes(self) -> int:
        """The bytes of all excerpts."""
        return sum(own.nbytes for own in self._filters.values())

    def clear(self) -> None:
        """A block goes: nothing that was made of its rows may be used."""
        self._filters.clear()

    def of(self, passing: Passing, blocks: Sequence[Block]) -> Usable | None:
        """The excerpts for a search within a filter, None if there are none. Some may be made now."""
        if passing.condition is None:
            return None
        own = self._filters.setdefault(passing.condition, _Filter())
        self._filters.move_to_end(passing.condition)
        own.searches += 1
        if len(self._filters) > FILTERS:
            self._filters.popitem(last=False)
        if own.searches > SEARCHES and own.done < len(blocks):
            most = int(SHARE * 8 * passing.bits.size * kernels.plane_bytes(self._dimension))
            own.make(passing.of_blocks, blocks, self._dimension, most)
            while self.nbytes > most:
                self._filters.popitem(last=False)  # never this one, which takes no more than that
        return own.usable(passing.of_blocks) if own.excerpts else None
