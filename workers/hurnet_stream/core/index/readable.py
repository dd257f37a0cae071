"""What the rule reads of the entries of a context, whoever holds them.

    one process      ContextIndex     its rows are in memory
    several          GatheredIndex    its rows are those that slices were asked for (core/slices)

Both give the same to the last bit, so the rule does not know which one it reads. Rows are numbers that mean
something to this index alone, and so are the numbers of answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.conditions import Condition
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import Entry, EntryId

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The nearest rows of one query (n,), best first, with their exact cosines (n,) rounded to float64."""

    rows: Integers
    cosines: Floats


class Described(NamedTuple):
    """Of n rows: their entry ids, the numbers of their answers, and whether they speak for these; the others
    refute theirs. All are (n,)."""

    offsets: Integers
    partitions: Integers
    answers: Integers
    supports: NDArray[np.bool_]

    def part(self, places: Integers) -> Described:
        """The same for some of the rows."""
        return Described._make(column[places] for column in self)


class Answers(Protocol):
    """All answers by their numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> str: ...


class Allowed(Protocol):
    """The rows that meet a condition, as the index understands them that was asked for them."""

    @property
    def count(self) -> int:
        """How many they are."""
        ...


class Index(Protocol):
    """The entries of one context. What each method gives is said at `ContextIndex`.

    What is `within` comes from `passing` of the same index, which alone knows what it is: so it is Any."""

    @property
    def dimension(self) -> int: ...

    @property
    def answers(self) -> Answers: ...

    def __len__(self) -> int: ...

    def entry(self, row: int) -> Entry: ...

    def text(self, row: int) -> str: ...

    def entry_id(self, row: int) -> EntryId: ...

    def find(self, entry_id: EntryId) -> int | None: ...

    def partitions(self, rows: Integers) -> Integers: ...

    def offsets(self, rows: Integers) -> Integers: ...

    def answer_ids(self, rows: Integers) -> Integers: ...

    def described(self, rows: Integers) -> Described: ...

    def texts(self, rows: Integers) -> list[str]: ...

    def vectors(self, rows: Integers) -> Vectors: ...

    def addresses(self, rows: Integers) -> Integers | None: ...

    def counts(self, rows: Integers) -> Floats | None: ...

    def taught(self, answers: Integers, exclude: EntryId | None = None) -> Integers: ...

    def predicted(self, prediction: Floats, rows: Integers, exclude: EntryId | None = None) -> Floats: ...

    def passing(self, condition: Condition) -> Allowed: ...

    def lacking(self, keys: Iterable[str]) -> list[str]: ...

    def search(
        self,
        queries: Vectors,
        k: int,
        exclude: Sequence[EntryId | None] | None = None,
        without: Integers | None = None,
        within: Sequence[Any] | None = None,
    ) -> list[Matches]: ...

    def lexical_search(
        self, text: str, k: int, exclude: EntryId | None = None, within: Any = None
    ) -> tuple[Integers, Floats]: ...

    def lexical_scores(self, text: str, rows: Integers) -> Floats: ...

    def lowest_pairs(self, most: int) -> Integers: ...
