"""The answers of an index, numbered: each is held once, as bytes in the index's arena, and found by its hash.

No answer is a Python object here: one takes 20 bytes beside its UTF-8, and 8 to 16 in the hash table. That is
open-addressed, at most half full. A tag is the lower 32 bits of an answer's hash; the search for it begins at
the slot that the tag's lower bits name, and goes on to the next slot until it finds the answer or an empty
one:

    answer      tag                 slots  0: -   1: 0   2: 1   3: -        (8 slots, numbers of answers)
    0 "yes"     ...001, slot 1
    1 "no"      ...001, slot 1 is taken, so slot 2

An answer that no entry has any more leaves its slot and its number, which the next new answer gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.arena import Arena, within
from hurnet_stream.core.stored.entries import NO_ANSWER, Entries, starts_of

NOWHERE: Final = -1
"""Instead of an address in the arena, if there is none."""

_FEWEST: Final = 16
"""Elements that an array has room for at least."""
_EMPTY: Final = -1
"""Stands in a slot without an answer."""
_NOBODY: Final = 2**32 - 1
"""Ends the chain of free numbers."""

Integers = NDArray[np.int64]


class AnswerTable:
    """All answers by their numbers. The answer of a free number is ""."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._count = 0  # numbers that have been given, the free ones included
        self._free = _NOBODY  # the first free number
        # By number: the tag of the answer, or of a free number the next free one; the answer's address and
        # length in the arena; how many entries have it.
        self._tags = np.empty(0, np.uint32)
        self._addresses = np.empty(0, np.int64)
        self._lengths = np.empty(0, np.int32)
        self._held = np.empty(0, np.int32)
        self._slots = np.full(2 * _FEWEST, _EMPTY, np.int32)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> str:
        return self._arena.get(self._addresses.item(number), self._lengths.item(number)).decode()

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(self._count))

    def number(self, entries: Entries, addresses: Integers) -> Integers:
        """The number of each entry's answer (n,); an answer that has not been met before gets a new one.

        An entry without an answer is its own answer. That is its text, which stands in the arena at its
        address (n,) and is not held twice.
        """
        answers, answer_of, answer_addresses = _distinct(entries, addresses)
        tags = np.fromiter(map(hash, answers), np.int64, len(answers)).astype(np.uint32)
        numbers = self._find(tags, answers)
        new = numbers == _EMPTY
        if new.any():
            new_answers = list(compress(answers, new.tolist()))
            numbers[new] = self._add(tags[new], new_answers, answer_addresses[new])
        self._held[numbers] += np.bincount(answer_of, minlength=len(answers))
        return numbers[answer_of]

    def release(self, number: int, address: int) -> bool:
        """One entry fewer has this answer. The entry's text, at `address`, is about to be erased. True if it
        was the last entry that had the answer."""
        self._held[number] -= 1
        own_address, length = self._addresses.item(number), self._lengths.item(number)
        if self._held[number]:
            if own_address == address:  # the answer stood where the text goes: it gets an address of its own
                self._addresses[number] = self._arena.put(self._arena.get(own_address, length))
            return False
        if own_address != address:
            self._arena.erase(own_address, length)
        self._empty_slot(number)
        self._tags[number], self._addresses[number], self._lengths[number] = self._free, 0, 0
        self._free = number
        return True

    def move(self, chunk: int, texts: Integers, moved: Integers) -> None:
        """A chunk of the arena is given up. The texts that stood in it at `texts` (n,), the empty ones left
        out, now stand at `moved` (n,); answers that share an address with one go along, the others are put
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

    def _find(self, tags: NDArray[np.uint32], answers: Sequence[str]) -> Integers:
        """The numbers of these answers (n,), _EMPTY for those that have none. All are looked for at once, a
        slot further at each step."""
        known = np.full(len(tags), _EMPTY, np.int64)
        asked, slots = np.arange(len(tags)), self._first_slots(tags)
        while len(asked):
            numbers = self._slots[slots]
            full = numbers != _EMPTY
            asked, slots, numbers = asked[full], slots[full], numbers[full]
            other = self._tags[numbers] != tags[asked]
            # An equal tag nearly always means an equal answer, but the answers decide.
            for i in np.flatnonzero(~other).tolist():
                number, which = numbers.item(i), asked.item(i)
                if self[number] == answers[which]:
                    known[which] = number
                else:
                    other[i] = True
            asked, slots = asked[other], self._next_slots(slots[other])
        return known

    def _add(self, tags: NDArray[np.uint32], answers: Sequence[str], addresses: Integers) -> Integers:
        """New numbers (n,) for these answers; those that stand nowhere yet are put into the arena."""
        lengths = _utf8_sizes(answers)
        missing = addresses == NOWHERE
        if missing.any():
            joined = "".join(compress(answers, missing.tolist())).encode()
            addresses[missing] = self._arena.put_all(joined, starts_of(lengths[missing]))
        numbers = self._new_numbers(len(answers))
        self._tags[numbers], self._addresses[numbers], self._lengths[numbers] = tags, addresses, lengths
        self._held[numbers] = 0
        self._fill_slots(numbers, tags)
        return numbers

    def _new_numbers(self, n: int) -> Integers:
        """Numbers (n,) that no answer has, the free ones first."""
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
        if 2 * count > len(self._slots):
            self._slots = np.full(4 << count.bit_length() - 1, _EMPTY, np.int32)
            numbers = np.flatnonzero(self._held[: self._count])
            self._fill_slots(numbers, self._tags[numbers])

    def _fill_slots(self, numbers: Integers, tags: NDArray[np.uint32]) -> None:
        """Each number (n,) into the first free slot from the one that its tag (n,) names on."""
        slots = self._first_slots(tags)
        while len(numbers):
            free = self._slots[slots] == _EMPTY
            self._slots[slots[free]] = numbers[free]  # of several for one slot the last one gets it
            left = self._slots[slots] != numbers
            numbers, slots = numbers[left], self._next_slots(slots[left])

    def _empty_slot(self, number: int) -> None:
        """Take a number out, and move those behind it that could have stood in its slot into the hole: a
        search ends at an empty slot, so none may lie between an answer and where the search for it begins."""
        last = len(self._slots) - 1
        hole = self._tags.item(number) & last
        while self._slots[hole] != number:
            hole = hole + 1 & last
        slot = hole
        while (other := self._slots.item(slot := slot + 1 & last)) != _EMPTY:
            # It may move if it is at least as far from its first slot as from the hole, going round.
            if (slot - self._tags.item(other)) & last >= (slot - hole) & last:
                self._slots[hole], hole = other, slot
        self._slots[hole] = _EMPTY

    def _first_slots(self, tags: NDArray[np.uint32]) -> Integers:
        return tags.astype(np.int64) & (len(self._slots) - 1)

    def _next_slots(self, slots: Integers) -> Integers:
        return (slots + 1) & (len(self._slots) - 1)


def grown(array: NDArray[Any], count: int) -> NDArray[Any]:
    """An array that begins like this one (n,) and has room for `count`; itself if it has."""
    if count <= len(array):
        return array
    larger = np.empty(max(count, 2 * len(array), _FEWEST), array.dtype)
    larger[: len(array)] = array
    return larger


def _utf8_sizes(strings: Sequence[str]) -> Integers:
    """The bytes of each string (n,) in UTF-8."""
    sizes = map(len, strings) if "".join(strings).isascii() else (len(string.encode()) for string in strings)
    return np.fromiter(sizes, np.int64, len(strings))


def _distinct(entries: Entries, addresses: Integers) -> tuple[Sequence[str], Integers, Integers]:
    """The m distinct answers of n entries, which of them each entry has (n,), and the address (m,) of each in
    the arena, NOWHERE if it stands in none."""
    own = np.flatnonzero(entries.answer_of == NO_ANSWER)
    if not len(own):
        return entries.answers, entries.answer_of, np.full(len(entries.answers), NOWHERE)
    numbers = {answer: number for number, answer in enumerate(entries.answers)}
    answer_of = entries.answer_of.copy()
    answer_of[own] = [numbers.setdefault(entries.text(row), len(numbers)) for row in own.tolist()]
    answer_addresses = np.full(len(numbers), NOWHERE)
    answer_addresses[answer_of[own]] = addresses[own]
    return list(numbers), answer_of, answer_addresses
