"""Things found by their hashes: a table of slots in which numbers stand, and nothing else.

Whoever uses it numbers its things and keeps a tag of each, the 32 bits of a hash. The search for a thing
begins at the slot that the lower bits of its tag name, and goes on to the next slot until it finds the
thing or an empty slot. The table is open-addressed and at most half full.

    thing       tag                 slots  0: -   1: 0   2: 1   3: -        (numbers of things)
    0 "yes"     ...001, slot 1
    1 "no"      ...001, slot 1 is taken, so slot 2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

EMPTY: Final = -1
"""Stands in a slot without a number, and for the number of what is not found."""

FEWEST: Final = 16
"""Elements that an array has room for at least."""

Integers = NDArray[np.int64]
Tags = NDArray[np.uint32]


class Slots:
    """The table. `table` (a power of two,) is open to kernels, which search and fill it by the same rule."""

    def __init__(self) -> None:
        self.table = np.full(2 * FEWEST, EMPTY, np.int32)

    def find(self, tags: Tags, same: Callable[[Integers, Integers], NDArray[np.bool_]]) -> Integers:
        """The numbers of n things with these tags (n,), EMPTY for those that have none. All are looked for
        at once, a slot further at each step. `same(numbers, asked)` says of some numbers (m,) whether each
        is the thing that is asked for, given by its place (m,) among the n."""
        found = np.full(len(tags), EMPTY, np.int64)
        asked, slots = np.arange(len(tags)), self._first(tags)
        while len(asked):
            numbers = self.table[slots].astype(np.int64)
            full = numbers != EMPTY
            asked, slots, numbers = asked[full], slots[full], numbers[full]
            hit = same(numbers, asked)
            found[asked[hit]] = numbers[hit]
            asked, slots = asked[~hit], self._next(slots[~hit])
        return found

    def make_room(self, count: int, tags: Tags) -> None:
        """Make room for `count` numbers in all, given the tags by number."""
        if 2 * count > len(self.table):
            numbers = self.table[self.table != EMPTY].astype(np.int64)
            self.table = np.full(4 << count.bit_length() - 1, EMPTY, np.int32)
            self.put(numbers, tags[numbers])

    def put(self, numbers: Integers, tags: Tags) -> None:
        """Each number (n,) into the first free slot from the one that its tag (n,) names on."""
        slots = self._first(tags)
        while len(numbers):
            free = self.table[slots] == EMPTY
            self.table[slots[free]] = numbers[free]  # of several for one slot the last one gets it
            left = self.table[slots] != numbers
            numbers, slots = numbers[left], self._next(slots[left])

    def take_out(self, number: int, tags: Tags) -> None:
        """Take a number out, given the tags by number, and move those behind it that could have stood in its
        slot into the hole: a search ends at an empty slot, so none may lie between a number and where the
        search for it begins."""
        last = len(self.table) - 1
        hole = tags.item(number) & last
        while self.table[hole] != number:
            hole = hole + 1 & last
        slot = hole
        while (other := self.table.item(slot := slot + 1 & last)) != EMPTY:
            # It may move if it is at least as far from its first slot as from the hole, going round.
            if (slot - tags.item(other)) & last >= (slot - hole) & last:
                self.table[hole], hole = other, slot
        self.table[hole] = EMPTY

    def _first(self, tags: Tags) -> Integers:
        return tags.astype(np.int64) & (len(self.table) - 1)

    def _next(self, slots: Integers) -> Integers:
        return (slots + 1) & (len(self.table) - 1)


def grown(array: NDArray[Any], count: int) -> NDArray[Any]:
    """An array that begins like this one (n, ...) and has room for `count`; itself if it has."""
    if count <= len(array):
        return array
    larger = np.empty((max(count, 2 * len(array), FEWEST), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
