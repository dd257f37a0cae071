"""Strings by number: each is held once, as bytes in the index's arena, and found by its hash.

No string is a Python object here: one takes 20 bytes beside its UTF-8, and 8 to 16 in the table of `slots`.
Its tag is that of `string_tags`.

    number      tag         stands in the arena       how many hold it
    0 "yes"     4f01...     at 10, 3 bytes            2
    1 "no"      b601...     at 42, 2 bytes            1

A string that nobody holds any more leaves its slot and its number, which the next new string gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.arena import Arena, within
from hurnet_stream.core.shelf import Tree
from hurnet_stream.core.slots import EMPTY, Slots, Tags, grown
from hurnet_stream.core.stored.entries import starts_of
from hurnet_stream.core.string_tags import own_key, string_tags

NOWHERE: Final = -1
"""Instead of an address in the arena, if there is none."""

_NOBODY: Final = 2**32 - 1
"""Ends the chain of free numbers."""

_BY_NUMBER: Final = ("_tags", "_addresses", "_lengths", "_held")

Integers = NDArray[np.int64]


class StringTable:
    """Strings by their numbers. That of a free number is ""."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._count = 0  # numbers that have been given, the free ones included
        self._free = _NOBODY  # the first free number
        # By number: the tag of the string, or of a free number the next free one; its address and length in
        # the arena; how often it is held.
        self._tags = np.empty(0, np.uint32)
        self._addresses = np.empty(0, np.int64)
        self._lengths = np.empty(0, np.int32)
        self._held = np.empty(0, np.int32)
        self._slots = Slots()
        self._key = own_key()

    def saved(self) -> Tree:
        """What `restore` needs."""
        arrays = {name: getattr(self, name)[: self._count] for name in _BY_NUMBER}
        numbers = {"count": self._count, "free": self._free}
        return {**arrays, **numbers, "key": self._key, "slots": self._slots.table}

    def restore(self, tree: Tree) -> None:
        """Be what was saved, over an arena that was, too."""
        for name in _BY_NUMBER:
            setattr(self, name, tree[name])
        self._count, self._free, self._key = tree["count"], tree["free"], tree["key"]
        self._slots.table = tree["slots"]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> str:
        return self._arena.get(self._addresses.item(number), self._lengths.item(number)).decode()

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(self._count))

    def numbered(
        self, strings: Sequence[str], addresses: Integers | None = None
    ) -> tuple[Integers, NDArray[np.bool_]]:
        """The numbers (n,) of n distinct strings, and which of them are new (n,): nobody holds these yet.

        `addresses` (n,) say where a string stands in the arena already, and is not to be put once more;
        NOWHERE for the others."""
        if addresses is None:
            addresses = np.full(len(strings), NOWHERE)
        tags = self._tags_of(strings)
        numbers = self._find(tags, strings)
        new = numbers == EMPTY
        if new.any():
            numbers[new] = self._add(tags[new], list(compress(strings, new.tolist())), addresses[new])
        return numbers, new

    def find(self, strings: Sequence[str]) -> Integers:
        """The numbers (n,) of these strings, EMPTY for those that nobody holds."""
        return self._find(self._tags_of(strings), strings)

    def _tags_of(self, strings: Sequence[str]) -> Tags:
        # What is asked for may hold half a surrogate, which no string here does.
        pieces = [string.encode("utf-8", "surrogatepass") for string in strings]
        sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
        return string_tags(b"".join(pieces), starts_of(sizes), self._key)

    def hold(self, numbers: Integers, times: Integers) -> None:
        """These distinct strings (n,) are held so many times (n,) more."""
        self._held[numbers] += times

    def held(self, numbers: Integers) -> Integers:
        """How often each of these strings (n,) is held."""
        return self._held[numbers].astype(np.int64)

    def release(self, number: int, address: int = NOWHERE) -> bool:
        """One entry fewer holds this string. The entry's text, at `address`, is about to be erased. True if
        it was the last that held the string."""
        self._held[number] -= 1
        own_address, length = self._addresses.item(number), self._lengths.item(number)
        if self._held[number]:
            if own_address == address:  # the string stood where the text goes: it gets an address of its own
                self._addresses[number] = self._arena.put(self._arena.get(own_address, length))
            return False
        if own_address != address:
            self._arena.erase(own_address, length)
        self._slots.take_out(number, self._tags)
        self._tags[number], self._addresses[number], self._lengths[number] = self._free, 0, 0
        self._free = number
        return True

    def move(self, chunk: int, texts: Integers, moved: Integers) -> None:
        """A chunk of the arena is given up. The texts that stood in it at `texts` (n,), the empty ones left
        out, now stand at `moved` (n,); strings that share an address with one go along, the others are put
        again."""
        numbers = np.flatnonzero(
            within(chunk, self._addresses[: self._count]) & (self._held[: self._count] > 0)
        )
        addresses = self._addresses[numbers]
        shared = np.isin(addresses, texts)
        order = np.argsort(texts)
        self._addresses[numbers[shared]] = moved[
            order[np.searchsorted(texts, addresses[shared], sorter=order)]
        ]
        own = numbers[~shared]
        self._addresses[own] = self._arena.move(self._addresses[own], self._lengths[own].astype(np.int64))

    def _find(self, tags: NDArray[np.uint32], strings: Sequence[str]) -> Integers:
        """The numbers (n,) of strings with these tags (n,)."""

        def same(numbers: Integers, asked: Integers) -> NDArray[np.bool_]:
            equal: NDArray[np.bool_] = self._tags[numbers] == tags[asked]
            # An equal tag nearly always means an equal string, but the strings decide.
            for i in np.flatnonzero(equal).tolist():
                equal[i] = self[numbers.item(i)] == strings[asked.item(i)]
            return equal

        return self._slots.find(tags, same)

    def _add(self, tags: NDArray[np.uint32], strings: Sequence[str], addresses: Integers) -> Integers:
        """New numbers (n,) for these answers; those that stand nowhere yet are put into the arena."""
        lengths = _utf8_sizes(strings)
        missing = addresses == NOWHERE
        if missing.any():
            joined = "".join(compress(strings, missing.tolist())).encode()
            addresses[missing] = self._arena.put_all(joined, starts_of(lengths[missing]))
        numbers = self._new_numbers(len(strings))
        self._tags[numbers], self._addresses[numbers], self._lengths[numbers] = tags, addresses, lengths
        self._held[numbers] = 0
        self._slots.put(numbers, tags)
        return numbers

    def _new_numbers(self, n: int) -> Integers:
        """Numbers (n,) that no string has, the free ones first."""
        numbers: list[int] = []
        while len(numbers) < n and self._free != _NOBODY:
            numbers.append(self._free)
            self._free = self._tags.item(self._free)
        count = self._count + n - len(numbers)
        self._make_room(count)
        fresh = np.arange(self._count, count)
        self._count = count
        return np.concatenate([np.array(numbers, np.int64), fresh])

    def _make_room(self, count: int) -> None:
        """Make room for `count` numbers in all."""
        self._tags, self._addresses = grown(self._tags, count), grown(self._addresses, count)
        self._lengths, self._held = grown(self._lengths, count), grown(self._held, count)
        self._slots.make_room(count, self._tags)


def _utf8_sizes(strings: Sequence[str]) -> Integers:
    """The bytes of each string (n,) in UTF-8."""
    sizes = map(len, strings) if "".join(strings).isascii() else (len(string.encode()) for string in strings)
    return np.fromiter(sizes, np.int64, len(strings))
