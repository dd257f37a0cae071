"""The answers of an index, numbered: each is held once, as bytes in the index's arena, and found by its hash.

No answer is a Python object here: one takes 20 bytes beside its UTF-8, and 8 to 16 in the table of `slots`.
Its tag is the lower 32 bits of its hash.

    number      tag         stands in the arena       how many entries have it
    0 "yes"     4f01...     at 10, 3 bytes            2
    1 "no"      b601...     at 42, 2 bytes            1

An answer that no entry has any more leaves its slot and its number, which the next new answer gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.arena import Arena, within
from hurnet_stream.core.slots import EMPTY, Slots, grown
from hurnet_stream.core.stored.entries import NO_ANSWER, Entries, starts_of

NOWHERE: Final = -1
"""Instead of an address in the arena, if there is none."""

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
        self._slots = Slots()

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
        new = numbers == EMPTY
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
        self._slots.take_out(number, self._tags)
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
        """The numbers of these answers (n,), EMPTY for those that have none."""

        def same(numbers: Integers, asked: Integers) -> NDArray[np.bool_]:
            equal: NDArray[np.bool_] = self._tags[numbers] == tags[asked]
            # An equal tag nearly always means an equal answer, but the answers decide.
            for i in np.flatnonzero(equal).tolist():
                equal[i] = self[numbers.item(i)] == answers[asked.item(i)]
            return equal

        return self._slots.find(tags, same)

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
        self._slots.put(numbers, tags)
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
        self._slots.make_room(count, self._tags)


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
