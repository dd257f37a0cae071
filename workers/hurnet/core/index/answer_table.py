"""The answers of an index, numbered: each once, as bytes in the index's arena, found by hash.

No answer is a Python object here: one takes 20 bytes beside its UTF-8, and 8 to 16 in the table of slots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hurnet.core.index.arena import Arena, within
from hurnet.core.stored.entries import NO_ANSWER, Entries, starts_of

_FEWEST: Final = 16
_EMPTY: Final = -1
NOWHERE: Final = -1
"""No place."""
_NOBODY: Final = 2**32 - 1

Integers = NDArray[np.int64]


class AnswerTable:
    """All answers by their numbers; one that no entry has any more is "", and its number the next new one's.
    One writer, any number of readers.

    `_slots` is an open-addressed table of numbers, at most half full."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._count = 0
        self._free = _NOBODY  # a number without an answer
        self._tags = np.empty(0, np.uint32)  # of their hashes; the next number without one
        self._places = np.empty(0, np.int64)
        self._lengths = np.empty(0, np.int32)
        self._held = np.empty(0, np.int32)  # entries that have it
        self._slots = np.full(2 * _FEWEST, _EMPTY, np.int32)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> str:
        return self._arena.get(self._places.item(number), self._lengths.item(number)).decode()

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(self._count))

    def number(self, entries: Entries, places: Integers) -> Integers:
        """The number of each entry's answer (n,); new ones are given where it has not been met before.

        An entry without an answer is its own: it has its text, which stands at its place in the arena (n,)
        and is not held twice."""
        answers, of, at = _distinct(entries, places)
        tags = np.fromiter(map(hash, answers), np.int64, len(answers)).astype(np.uint32)
        numbers = self._find(tags, answers)
        new = numbers == _EMPTY
        if new.any():
            numbers[new] = self._add(tags[new], list(compress(answers, new.tolist())), at[new])
        self._held[numbers] += np.bincount(of, minlength=len(answers))
        return numbers[of]

    def release(self, number: int, place: int) -> bool:
        """An entry less has it, whose text, at that place, is about to be erased; whether it was the last."""
        self._held[number] -= 1
        answer = self._places.item(number), self._lengths.item(number)
        if self._held[number]:
            if answer[0] == place:
                self._places[number] = self._arena.put(self._arena.get(*answer))
            return False
        if answer[0] != place:
            self._arena.erase(*answer)
        self._empty_slot(number)
        self._tags[number], self._places[number], self._lengths[number] = self._free, 0, 0
        self._free = number
        return True

    def move(self, chunk: int, texts: Integers, moved: Integers) -> None:
        """Leave a chunk of the arena, whose texts (n,), but for empty ones, now stand at other places."""
        numbers = np.flatnonzero(within(chunk, self._places[: self._count]) & (self._held[: self._count] > 0))
        places = self._places[numbers]
        lent = np.isin(places, texts)
        order = np.argsort(texts)
        self._places[numbers[lent]] = moved[order[np.searchsorted(texts, places[lent], sorter=order)]]
        own = numbers[~lent]
        self._places[own] = self._arena.move(self._places[own], self._lengths[own].astype(np.int64))

    def _find(self, tags: NDArray[np.uint32], answers: Sequence[str]) -> Integers:
        """Their numbers, _EMPTY for those that have none."""
        found = np.full(len(tags), _EMPTY, np.int64)
        asked, at = np.arange(len(tags)), self._first(tags)
        while len(asked):
            here = self._slots[at]
            full = here != _EMPTY
            asked, at, here = asked[full], at[full], here[full]
            other = self._tags[here] != tags[asked]
            for i in np.flatnonzero(~other).tolist():
                number, which = here.item(i), asked.item(i)
                if self[number] == answers[which]:
                    found[which] = number
                else:
                    other[i] = True
            asked, at = asked[other], self._next(at[other])
        return found

    def _add(self, tags: NDArray[np.uint32], answers: Sequence[str], places: Integers) -> Integers:
        lengths = _sizes(answers)
        out = places == NOWHERE
        if out.any():
            joined = "".join(compress(answers, out.tolist())).encode()
            first = self._arena.put_all(joined, starts_of(lengths[out]))
            places[out] = first
        numbers = self._unused(len(answers))
        self._tags[numbers], self._places[numbers], self._lengths[numbers] = tags, places, lengths
        self._held[numbers] = 0
        self._fill(numbers, tags)
        return numbers

    def _unused(self, n: int) -> Integers:
        """As many numbers, those given up first."""
        numbers: list[int] = []
        while len(numbers) < n and self._free != _NOBODY:
            numbers.append(self._free)
            self._free = self._tags.item(self._free)
        count = self._count + n - len(numbers)
        self._reserve(count)
        fresh = np.arange(self._count, count)
        self._count = count
        return np.concatenate([np.array(numbers, np.int64), fresh])

    def _reserve(self, count: int) -> None:
        self._tags, self._places = grown(self._tags, count), grown(self._places, count)
        self._lengths, self._held = grown(self._lengths, count), grown(self._held, count)
        if 2 * count > len(self._slots):
            self._slots = np.full(4 << count.bit_length() - 1, _EMPTY, np.int32)
            numbers = np.flatnonzero(self._held[: self._count])
            self._fill(numbers, self._tags[numbers])

    def _fill(self, numbers: Integers, tags: NDArray[np.uint32]) -> None:
        at = self._first(tags)
        while len(numbers):
            free = self._slots[at] == _EMPTY
            self._slots[at[free]] = numbers[free]  # of several for one slot the last one gets it
            left = self._slots[at] != numbers
            numbers, at = numbers[left], self._next(at[left])

    def _empty_slot(self, number: int) -> None:
        """Take an answer out, and let those behind it come nearer to where they are looked for."""
        last = len(self._slots) - 1
        hole = at = self._tags.item(number) & last
        while self._slots[hole] != number:
            hole = at = hole + 1 & last
        while (other := self._slots.item(at := at + 1 & last)) != _EMPTY:
            if (at - self._tags.item(other)) & last >= (at - hole) & last:
                self._slots[hole], hole = other, at
        self._slots[hole] = _EMPTY

    def _first(self, tags: NDArray[np.uint32]) -> Integers:
        return tags.astype(np.int64) & (len(self._slots) - 1)

    def _next(self, at: Integers) -> Integers:
        return (at + 1) & (len(self._slots) - 1)


def grown(array: NDArray[Any], count: int) -> NDArray[Any]:
    """An array with the same beginning and room for `count`; itself where it has that."""
    if count <= len(array):
        return array
    larger = np.empty(max(count, 2 * len(array), _FEWEST), array.dtype)
    larger[: len(array)] = array
    return larger


def _sizes(strings: Sequence[str]) -> Integers:
    """Bytes of each in UTF-8."""
    sizes = map(len, strings) if "".join(strings).isascii() else (len(string.encode()) for string in strings)
    return np.fromiter(sizes, np.int64, len(strings))


def _distinct(entries: Entries, places: Integers) -> tuple[Sequence[str], Integers, Integers]:
    """The answers, which of them each entry has, and where they stand in the arena, if they do."""
    own = np.flatnonzero(entries.answer_of == NO_ANSWER)
    if not len(own):
        return entries.answers, entries.answer_of, np.full(len(entries.answers), NOWHERE)
    numbers = {answer: number for number, answer in enumerate(entries.answers)}
    of = entries.answer_of.copy()
    of[own] = [numbers.setdefault(entries.text(row), len(numbers)) for row in own.tolist()]
    at = np.full(len(numbers), NOWHERE)
    at[of[own]] = places[own]
    return list(numbers), of, at
