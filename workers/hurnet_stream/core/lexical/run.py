"""A run: which of some neighbouring rows hold which terms, how often.

A posting is one term in one row. While a run is made, a posting is a key, a single integer of which the
order is that of the run:

    key = term << 22 | slot << 8 | times

    texts of slots 0 and 1     "on and on"   "and off"      (terms: and 0, off 1, on 2)
    keys                       0|0|1  0|1|1  1|1|1  2|0|2
    terms, starts              0 1 2          0 2 3 4
    slots, times               0 1 1 0        1 1 1 2

All rows of a run are of one block, which is given up as a whole, and so is the run. A posting that is
removed leaves a hole at the end of its term's postings: its bytes are overwritten at once.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import lexical as kernels
from hurnet_stream.core.search.block import RowColumns
from hurnet_stream.core.shelf import Tree

SLOT_BITS: Final = 14
TIMES_BITS: Final = 8
TERM_SHIFT: Final = SLOT_BITS + TIMES_BITS
MOST_TIMES: Final = (1 << TIMES_BITS) - 1
"""A term counts so many times in an entry at most. In one of mean length more would add half a hundredth."""
HOLE: Final = 0xFFFF
"""Stands for the slot of a posting that was removed. It is above all slots, so slots stay in order."""

_SLOTS: Final = (1 << SLOT_BITS) - 1

Integers = NDArray[np.int64]


def keys_of(terms: Integers, slots: Integers) -> Integers:
    """The keys (p,) of postings in order, given the term of each place where one occurs, and its slot
    (n,)."""
    pairs, times = np.unique(terms << SLOT_BITS | slots, return_counts=True)
    keys: Integers = pairs << TIMES_BITS | np.minimum(times, MOST_TIMES)
    return keys


def terms_of(keys: Integers) -> Integers:
    """The term of each posting (p,)."""
    return keys >> TERM_SHIFT


def slots_of(keys: Integers) -> Integers:
    """The slot of each posting (p,)."""
    return keys >> TIMES_BITS & _SLOTS


def with_slots(keys: Integers, slots: Integers) -> Integers:
    """The keys (p,) if their rows had these slots (p,)."""
    return keys & ~(_SLOTS << TIMES_BITS) | slots << TIMES_BITS


class Postings(NamedTuple):
    """The arrays of a run, as `Run` has them."""

    terms: NDArray[np.uint32]
    starts: NDArray[np.uint32]
    slots: NDArray[np.uint16]
    times: NDArray[np.uint8]
    most_times: NDArray[np.uint8]
    shortest: NDArray[np.uint16]


class RowsOfBlock(NamedTuple):
    """What runs must know of the rows of their block: by slot, how many terms each has (slots,); the
    block's own columns, for the entry ids; and the index's number of its first row."""

    lengths: NDArray[np.uint16]
    columns: RowColumns
    first: int


class Run:
    """The postings of the slots `first` to `end` of a block, by term.

    `terms` (t,) ascend. The postings of term i lie from `starts[i]` to `starts[i + 1]`: `slots` (p,), which
    ascend, and `times` (p,), how often the term occurs there. `most_times` and `shortest` (t,) are the
    most times, and the length of the shortest row, among a term's postings: from these follows what it can
    add at most.
    """

    def __init__(self, postings: Postings, rows: RowsOfBlock, first: int, end: int) -> None:
        self.first, self.end = first, end
        self.terms, self.starts, self.slots, self.times, self.most_times, self.shortest = postings
        of_block = (rows.columns.partitions, rows.columns.offsets)
        addresses = [array.ctypes.data for array in (*postings, rows.lengths, *of_block)]
        numbers = (len(self.terms), first, end)
        self.struct: Integers = np.array([*addresses[:6], *numbers, *addresses[6:], rows.first], np.int64)
        """The struct `Run` of native/postings.c (13,)."""

    @classmethod
    def of_keys(cls, keys: Integers, rows: RowsOfBlock, first: int, end: int) -> Self:
        """A run of the postings with these keys (p,), which are in order."""
        of_posting = terms_of(keys)
        begins = np.flatnonzero(np.diff(of_posting, prepend=-1))
        terms, starts = of_posting[begins].astype(np.uint32), np.append(begins, len(keys)).astype(np.uint32)
        slots, times = slots_of(keys).astype(np.uint16), (keys & MOST_TIMES).astype(np.uint8)
        most_times, shortest = times, slots  # nothing, if there is no posting
        if len(keys):
            most_times = np.maximum.reduceat(times, begins)
            shortest = np.minimum.reduceat(rows.lengths[slots], begins)
        return cls(Postings(terms, starts, slots, times, most_times, shortest), rows, first, end)

    def saved(self) -> Tree:
        """Its arrays and its slots."""
        arrays = {name: getattr(self, name) for name in Postings._fields}
        return {**arrays, "first": self.first, "end": self.end}

    def keys(self) -> Integers:
        """The keys (p,) of all its postings."""
        starts = self.starts.astype(np.int64)
        of_posting = np.repeat(self.terms.astype(np.int64), starts[1:] - starts[:-1])
        keys = of_posting << TERM_SHIFT | self.slots.astype(np.int64) << TIMES_BITS | self.times
        kept: Integers = keys[self.slots != HOLE]
        return kept

    def postings(self, term: int) -> slice:
        """Where the postings of a term lie, without holes."""
        i = int(np.searchsorted(self.terms, term))
        if i == len(self.terms) or self.terms[i] != term:
            return slice(0, 0)
        first, end = int(self.starts[i]), int(self.starts[i + 1])
        return slice(first, first + int(np.searchsorted(self.slots[first:end], HOLE)))

    def remove(self, terms: Integers, slot: int) -> None:
        """Remove the postings of these terms (t,) in a slot. All are there."""
        if kernels.available():
            kernels.remove(self.struct, terms, slot)
            return
        for term in terms.tolist():
            held = self.postings(term)
            at = held.start + int(np.searchsorted(self.slots[held], slot))
            for array, nothing in ((self.slots, HOLE), (self.times, 0)):
                array[at : held.stop - 1] = array[at + 1 : held.stop]
                array[held.stop - 1] = nothing
