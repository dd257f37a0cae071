"""The rows of several slices, numbered anew as they are met: what each is, its vector and its text.

    row    slice    its number there    partition    offset    answer
    0      2        17                  5            1201      0 "on"
    1      0        3                   0            88        1 "off"
    2      2        40                  8            3         0 "on"

A row is described when it is met. Its vector and its text are asked for when somebody wants them, of all rows
at once that lack them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.slices.conversation import Conversation, by_slice
from hurnet_stream.core.slices.messages import (
    Describe,
    Descriptions,
    ReadTexts,
    ReadVectors,
    TextsOf,
    VectorsOf,
)
from hurnet_stream.core.stored.batch import Vectors

TEXT_BYTES: Final = 1 << 20
"""Of texts that one slice gives at once; the last one may go beyond it."""

Integers = NDArray[np.int64]


class Columns(NamedTuple):
    """What is known of each row (n,). `slices` and `numbers` say where it is, `answers` are numbers in
    `Rows.answers`."""

    slices: Integers
    numbers: Integers
    partitions: Integers
    offsets: Integers
    timestamps_ms: Integers
    copies: Integers
    answers: Integers
    teaches: NDArray[np.bool_]

    def part(self, rows: Integers) -> Columns:
        """The same for some of the rows."""
        return Columns._make(column[rows] for column in self)


_NO_ROWS: Final = Columns._make([*([np.empty(0, np.int64)] * 7), np.empty(0, np.bool_)])


class NumberedStrings(Sequence[str]):
    """Distinct strings by their numbers."""

    def __init__(self) -> None:
        self._strings: list[str] = []
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._strings)

    @overload
    def __getitem__(self, number: int) -> str: ...

    @overload
    def __getitem__(self, number: slice) -> list[str]: ...

    def __getitem__(self, number: int | slice) -> str | list[str]:
        return self._strings[number]

    def number(self, strings: Sequence[str]) -> Integers:
        """The number of each (n,); new ones get new numbers."""
        for string in strings:
            if string not in self._numbers:
                self._numbers[string] = len(self._strings)
                self._strings.append(string)
        return np.fromiter(map(self._numbers.__getitem__, strings), np.int64, len(strings))


class Rows:
    """The rows that were met in one conversation."""

    def __init__(self, conversation: Conversation, dimension: int) -> None:
        self._conversation = conversation
        self.columns = _NO_ROWS
        self.answers = NumberedStrings()
        self._rows: dict[tuple[int, int], int] = {}  # by slice and its number there
        self._vectors = np.empty((0, dimension), np.int16)
        self._has_vector = np.empty(0, np.bool_)
        self._texts: dict[int, tuple[str, Mapping[str, str]]] = {}

    def __len__(self) -> int:
        return len(self.columns.slices)

    def add(self, number: int, described: Descriptions) -> Integers:
        """The rows (n,) that a slice has described; those that are met for the first time get numbers."""
        rows, new = list[int](), list[int]()
        next_row = len(self)
        for place, row in enumerate(described.rows.tolist()):
            known = self._rows.setdefault((number, row), next_row)
            if known == next_row:
                new.append(place)
                next_row += 1
            rows.append(known)
        self._extend(number, described, np.array(new, np.int64))
        return np.array(rows, np.int64)

    def _extend(self, number: int, described: Descriptions, new: Integers) -> None:
        answers = self.answers.number(described.answers)[described.answer_of]
        columns = Columns(
            np.full(len(answers), number),
            described.rows,
            described.partitions,
            described.offsets,
            described.timestamps_ms,
            described.copies,
            answers,
            described.teaches,
        )
        pairs = zip(self.columns, columns.part(new), strict=True)
        self.columns = Columns._make(np.concatenate(pair) for pair in pairs)
        self._has_vector = np.concatenate([self._has_vector, np.zeros(len(new), np.bool_)])

    def of(self, slices: Integers, numbers: Integers) -> Integers:
        """The rows (n,) with these numbers (n,) in these slices (n,), all of which were met."""
        pairs = zip(slices.tolist(), numbers.tolist(), strict=True)
        return np.array([self._rows[pair] for pair in pairs], np.int64)

    def unmet(self, slices: Integers, numbers: Integers) -> dict[int, Integers]:
        """By slice, those numbers (n,) of rows that were not met yet, each once."""
        unmet = {}
        for number in np.unique(slices).tolist():
            rows = np.unique(numbers[slices == number]).tolist()
            new = [row for row in rows if (number, row) not in self._rows]
            if new:
                unmet[number] = np.array(new, np.int64)
        return unmet

    def describe(self, slices: Integers, numbers: Integers) -> Integers:
        """The rows (n,) with these numbers (n,) in these slices (n,); those not met yet are asked for."""
        asked = {number: (Describe(rows),) for number, rows in self.unmet(slices, numbers).items()}
        for number, described in by_slice(Descriptions, self._conversation.each(asked)).items():
            self.add(number, described)
        return self.of(slices, numbers)

    def by_slice(self, rows: Integers) -> dict[int, Integers]:
        """These distinct rows (n,), by the slices that hold them, in the same order."""
        slices = self.columns.slices[rows]
        return {number: rows[slices == number] for number in np.unique(slices).tolist()}

    def without_vector(self, rows: Integers) -> dict[int, Integers]:
        """Those of the distinct rows (n,) of which the vector is not known yet, by slice."""
        return self.by_slice(rows[~self._has_vector[rows]])

    def without_text(self, rows: Integers) -> dict[int, Integers]:
        """Those of the distinct rows (n,) of which the text is not known yet, by slice."""
        return self.by_slice(np.array([row for row in rows.tolist() if row not in self._texts], np.int64))

    def take_vectors(self, rows: Integers, given: VectorsOf) -> None:
        """A slice gave the vectors of these rows (n,)."""
        if given.vectors.shape != (len(rows), self._vectors.shape[1]):
            raise ValueError(f"vectors of {len(rows)} rows are {given.vectors.shape}")
        if len(self._vectors) < len(self):
            self._vectors, before = np.empty((len(self), self._vectors.shape[1]), np.int16), self._vectors
            self._vectors[: len(before)] = before
        self._vectors[rows] = given.vectors
        self._has_vector[rows] = True

    def take_texts(self, rows: Integers, given: TextsOf) -> None:
        """A slice gave the texts of the first of these rows (n,)."""
        known = zip(rows.tolist(), given.texts, given.metadata, strict=False)
        self._texts.update((row, (text, metadata)) for row, text, metadata in known)

    def read_vectors(self, rows: Integers) -> ReadVectors:
        """Asks their slice for the vectors of rows (n,)."""
        return ReadVectors(self.columns.numbers[rows])

    def read_texts(self, rows: Integers, most_bytes: int = TEXT_BYTES) -> ReadTexts:
        """Asks their slice for the texts of rows (n,), as far as these stay within `most_bytes`."""
        return ReadTexts(self.columns.numbers[rows], most_bytes)

    def vectors(self, rows: Integers) -> Vectors:
        """The vectors of these rows (n,), (n, d)."""
        self._fetch_vectors(rows)
        return self._vectors[rows]

    def addresses(self, rows: Integers) -> Integers:
        """Where these stand in memory (n,), until rows are next met."""
        self._fetch_vectors(rows)
        addresses: Integers = self._vectors.ctypes.data + rows * self._vectors.strides[0]
        return addresses

    def texts(self, rows: Integers) -> list[tuple[str, Mapping[str, str]]]:
        """The text and the metadata of each row (n,)."""
        while wanted := self.without_text(np.unique(rows)):
            asked = {number: (self.read_texts(missing),) for number, missing in wanted.items()}
            for number, given in by_slice(TextsOf, self._conversation.each(asked)).items():
                if not given.texts:
                    raise ValueError(f"slice {number} gives no text")
                self.take_texts(wanted[number], given)
        return [self._texts[row] for row in rows.tolist()]

    def _fetch_vectors(self, rows: Integers) -> None:
        if self._has_vector[rows].all():
            return
        wanted = self.without_vector(np.unique(rows))
        asked = {number: (self.read_vectors(missing),) for number, missing in wanted.items()}
        for number, given in by_slice(VectorsOf, self._conversation.each(asked)).items():
            self.take_vectors(wanted[number], given)
