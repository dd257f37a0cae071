"""The nearest rows of all slices: the best of what each gives, in the order that one index has.

    slice 0    dot 90 norm 100   dot 60 norm 100         cosines 9.0/|q|  6.0/|q|
    slice 1    dot 80 norm 81                            8.9/|q|
    merged     slice 0, slice 1, slice 0

The order is decided in integers (`search/order`), ties by (partition, offset), as in a search over one index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.conditions import Condition
from hurnet_stream.core.index.readable import Matches
from hurnet_stream.core.search.order import ranks
from hurnet_stream.core.slices.columns import NOBODY
from hurnet_stream.core.slices.conversation import Conversation, by_slice
from hurnet_stream.core.slices.messages import Near, Search
from hurnet_stream.core.slices.rows import Rows
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import EntryId

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Query(NamedTuple):
    """One search: the bytes of its vector, the entry that must not answer it, and what rows must meet."""

    vector: bytes
    own: EntryId | None
    condition: Condition | None

    @property
    def coordinates(self) -> Vectors:
        """The vector (d,)."""
        return np.frombuffer(self.vector, np.int16)


class Merged(NamedTuple):
    """The nearest rows of one query, best first: the slice of each (n,), its number there (n,), and its
    cosine (n,). So many were asked for: if they are fewer, there are no more."""

    slices: Integers
    numbers: Integers
    cosines: Floats
    asked: int


def request(queries: Sequence[Query], k: int, whole: int, without: Sequence[str] = ()) -> Search:
    """Asks a slice for its nearest rows."""
    conditions, condition_of = conditions_of([query.condition for query in queries])
    vectors = np.stack([query.coordinates for query in queries])
    own = ids_of([query.own for query in queries])
    return Search(vectors, k, whole, own, conditions, condition_of, tuple(without))


def merged(given: Mapping[int, Near], place: int, query: Query, k: int) -> Merged:
    """The k nearest rows of the query at this place, of those that each slice gave."""
    of_slices = [_part(number, near, place) for number, near in given.items()]
    slices, numbers, partitions, offsets, dots, norms = map(np.concatenate, zip(*of_slices, strict=True))
    order = np.lexsort((offsets, partitions, ranks(dots, norms)))[:k]
    wide = query.coordinates.astype(np.float64)
    cosines = dots[order] / (np.sqrt(norms[order]) * np.sqrt(wide @ wide))
    return Merged(slices[order], numbers[order], cosines, k)


def _part(number: int, near: Near, place: int) -> tuple[Integers, ...]:
    part = slice(near.starts[place], near.starts[place + 1])
    columns = near.rows[part], near.partitions[part], near.offsets[part], near.dots[part], near.norms[part]
    return (np.full(len(columns[0]), number), *columns)


def conditions_of(conditions: Sequence[Condition | None]) -> tuple[tuple[Condition, ...], Integers]:
    """The distinct conditions, and which of them each is (n,); NOBODY for none."""
    distinct: dict[Condition, int] = {}
    places = [NOBODY if each is None else distinct.setdefault(each, len(distinct)) for each in conditions]
    return tuple(distinct), np.array(places, np.int64)


def ids_of(entries: Sequence[EntryId | None]) -> Integers:
    """The ids (n, 2); NOBODY twice for none."""
    return np.array([entry or (NOBODY, NOBODY) for entry in entries], np.int64).reshape(-1, 2)


class Nearest:
    """What was found for the queries of one conversation."""

    def __init__(self, conversation: Conversation, rows: Rows) -> None:
        self._conversation = conversation
        self._rows = rows
        self._found: dict[Query, Merged] = {}

    def take(self, queries: Sequence[Query], given: Mapping[int, Near], k: Sequence[int]) -> list[Merged]:
        """The slices gave this for these queries: the k (n,) nearest of all are remembered."""
        for near in given.values():
            if len(near.starts) != len(queries) + 1:
                raise ValueError(f"{len(queries)} searches are asked, and {len(near.starts) - 1} answered")
        found = [merged(given, i, query, k[i]) for i, query in enumerate(queries)]
        self._found.update(zip(queries, found, strict=True))
        return found

    def search(self, queries: Sequence[Query], k: int) -> list[Matches]:
        """The k nearest rows of each query."""
        asked = [query for query in dict.fromkeys(queries) if not self._enough(query, k)]
        if asked:
            given = self._conversation.all(request(asked, k, 0))
            self.take(asked, by_slice(Near, given), [k] * len(asked))
        return [self._matches(self._found[query], k) for query in queries]

    def search_others(self, queries: Sequence[Query], k: int, without: Sequence[str]) -> list[Matches]:
        """The same without the entries of some answers."""
        near = by_slice(Near, self._conversation.all(request(queries, k, 0, without)))
        return [self._matches(merged(near, i, query, k), k) for i, query in enumerate(queries)]

    def _enough(self, query: Query, k: int) -> bool:
        found = self._found.get(query)
        return found is not None and (k <= found.asked or len(found.slices) < found.asked)

    def _matches(self, found: Merged, k: int) -> Matches:
        rows = self._rows.describe(found.slices[:k], found.numbers[:k])
        return Matches(rows, found.cosines[:k])
