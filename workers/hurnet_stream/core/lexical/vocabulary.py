"""The terms of an index, numbered, and how many entries hold each.

    number      record                    tag         held
    0 "lamp"    l a m p 0 0 ... (32)      4f01...     7
    1 "the"     t h e 0 0 0 ... (32)      b601...     9,120

A term is held as its bytes and not only as a hash, so no two terms are ever taken for one. It costs 32
bytes, 8 beside them, and 8 to 16 in the table of `slots`. A term that no entry holds any more is
overwritten with zeros, and its number goes to the next new term.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.lexical.alphabet import characters
from hurnet_stream.core.lexical.terms import RECORD_SHAPE, Records, records, terms
from hurnet_stream.core.native import lexical as kernels
from hurnet_stream.core.native.lexical import TOO_HARD
from hurnet_stream.core.shelf import Tree
from hurnet_stream.core.slots import EMPTY, Slots, Tags, grown

Integers = NDArray[np.int64]

_NOBODY: Final = 2**32 - 1
"""Ends the chain of free numbers."""

# Python's hash of a string has a secret in it, another one for each process: with these factors nobody can
# make up words that all fall into one slot.
_FACTORS: Final = np.array([hash(f"factor {i}") | 1 for i in range(5)]).astype(np.uint64)

_BY_NUMBER: Final = ("records", "tags", "held")


class Vocabulary:
    """All terms by their numbers."""

    def __init__(self) -> None:
        self.count = 0  # numbers that have been given, the free ones included
        self.free = _NOBODY  # the first free number
        # By number: the term; its tag, or of a free number the next free one; how many entries hold it.
        self.records = np.empty((0, *RECORD_SHAPE), np.uint64)
        self.tags = np.empty(0, np.uint32)
        self.held = np.empty(0, np.int32)
        self.slots = Slots()
        self._factors = _FACTORS

    def saved(self) -> Tree:
        """What `restore` needs."""
        arrays = {name: getattr(self, name)[: self.count] for name in _BY_NUMBER}
        numbers = {"count": self.count, "free": self.free}
        return {**arrays, **numbers, "factors": self._factors, "slots": self.slots.table}

    def restore(self, tree: Tree) -> None:
        """Be what was saved."""
        for name in (*_BY_NUMBER, "count", "free"):
            setattr(self, name, tree[name])
        self._factors, self.slots.table = tree["factors"], tree["slots"]

    def struct(self) -> Integers:
        """The struct `Vocabulary` of native/terms.c (9,)."""
        arrays = (self.records, self.tags, self.held, self.slots.table)
        numbers = (
            len(self.slots.table) - 1,
            len(self.tags),
            self.count,
            self.free,
            self._factors.ctypes.data,
        )
        return np.array([*(array.ctypes.data for array in arrays), *numbers], np.int64)

    def numbered(self, texts: bytes, starts: Integers) -> tuple[Integers, Integers, Integers]:
        """The numbers (m,) of the terms of n texts, which begin in `texts` at `starts` (n + 1,); the text
        (m,) that each stands in; and how many terms each text has (n,). New terms get numbers.

        The kernels read what they can, and Python the rest."""
        lengths = np.full(len(starts) - 1, TOO_HARD)
        numbers = np.empty(0, np.int32)
        if kernels.available():
            numbers = self._numbered_by_kernel(texts, np.ascontiguousarray(starts), lengths)
        left = np.flatnonzero(lengths == TOO_HARD)
        of_text = np.repeat(np.arange(len(lengths)), lengths.clip(min=0))
        terms_of = [terms(texts[starts[i] : starts[i + 1]].decode()) for i in left.tolist()]
        lengths[left] = list(map(len, terms_of))
        distinct: dict[bytes, int] = {}
        of = [distinct.setdefault(term, len(distinct)) for own in terms_of for term in own]
        rest = self.number(records(list(distinct)))[np.array(of, np.int64)]
        return (
            np.concatenate([numbers, rest]).astype(np.int64),
            np.concatenate([of_text, np.repeat(left, lengths[left])]),
            lengths,
        )

    def _numbered_by_kernel(self, texts: bytes, starts: Integers, lengths: Integers) -> NDArray[np.int32]:
        """The numbers (m,) of the terms of those texts that the kernel can read; `lengths` (n,) says how
        many each has, TOO_HARD for the others."""
        numbers = np.empty(len(texts), np.int32)
        letters, done, written = characters(), 0, 0
        while True:
            struct = self.struct()
            left = (starts[done:], letters, numbers[written:], lengths[done:])
            done += kernels.number_terms(struct, texts, *left)
            self.count, self.free = struct[6:8].tolist()
            written = int(lengths[:done].clip(min=0).sum())
            if done == len(lengths):
                return numbers[:written]
            self.make_room(2 * self.count + 1)

    def find(self, terms: Records) -> Integers:
        """The numbers (n,) of these terms (n, 4), EMPTY for those that no entry holds."""
        if kernels.available():
            return kernels.find_terms(self.struct(), np.ascontiguousarray(terms))
        tags = tags_of(terms, self._factors)

        def same(numbers: Integers, asked: Integers) -> NDArray[np.bool_]:
            equal: NDArray[np.bool_] = (self.records[numbers] == terms[asked]).all(axis=1)
            return equal

        return self.slots.find(tags, same)

    def holding(self, numbers: Integers) -> Integers:
        """How many entries hold each of these terms (n,), 0 for EMPTY."""
        holding = np.zeros(len(numbers), np.int64)
        holding[numbers != EMPTY] = self.held[numbers[numbers != EMPTY]]
        return holding

    def number(self, terms: Records) -> Integers:
        """The numbers (n,) of distinct terms (n, 4); those that have none get new ones."""
        numbers = self.find(terms)
        new = numbers == EMPTY
        if new.any():
            numbers[new] = self._add(terms[new])
        return numbers

    def hold(self, numbers: Integers) -> None:
        """Entries came that hold these terms, which are named once for each of them, and ascend."""
        begins = np.flatnonzero(np.diff(numbers, prepend=-1))
        self.held[numbers[begins]] += np.diff(begins, append=len(numbers))

    def release(self, numbers: Integers) -> None:
        """An entry is gone that held these distinct terms (n,)."""
        self.held[numbers] -= 1
        for number in numbers[self.held[numbers] == 0].tolist():
            self.slots.take_out(number, self.tags)
            self.records[number] = 0
            self.tags[number], self.free = self.free, number

    def _add(self, terms: Records) -> Integers:
        """New numbers (n,) for these terms (n, 4), the free ones first."""
        numbers: list[int] = []
        while len(numbers) < len(terms) and self.free != _NOBODY:
            numbers.append(self.free)
            self.free = self.tags.item(self.free)
        first, count = self.count, self.count + len(terms) - len(numbers)
        self.make_room(count)
        self.count = count
        given = np.array([*numbers, *range(first, count)], np.int64)
        self.records[given], self.tags[given], self.held[given] = terms, tags_of(terms, self._factors), 0
        self.slots.put(given, self.tags[given])
        return given

    def make_room(self, count: int) -> None:
        """Make room for `count` numbers in all."""
        before, self.records = self.records, grown(self.records, count)
        if self.records is not before:
            before[:] = 0  # a term may be forgotten later: no copy of it may stay
        self.tags, self.held = grown(self.tags, count), grown(self.held, count)
        self.slots.make_room(count, self.tags)


def tags_of(terms: Records, factors: NDArray[np.uint64]) -> Tags:
    """The tag (n,) of each term (n, 4), by these factors (5,)."""
    hashes = (terms * factors[:4]).sum(axis=1)
    # The lower bits of a product depend on lower bits alone, so the upper ones are brought down.
    hashes = (hashes ^ (hashes >> np.uint64(32))) * factors[4]
    tags: Tags = (hashes >> np.uint64(32)).astype(np.uint32)
    return tags
