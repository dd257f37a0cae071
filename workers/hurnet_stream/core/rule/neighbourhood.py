"""The nearest entries of a question, by exact search: 128 by the whole vector and 128 by its meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.readable import Allowed, Index, Matches
from hurnet_stream.core.rule.halves import Halves
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import EntryId

NEIGHBOURS = 256
"""How many nearest entries are solved over: half of them by the whole vector, half by its meaning."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """The nearest entries of one question, and what is needed to compare them with it."""

    rows: Integers  # (m,) distinct, in no particular order
    vector: Vectors  # (d,) of the question
    exclude: EntryId | None
    predict: Callable[[Integers], Floats] | None
    """What the weights predict for the answers of rows (n,): (n,). None: there are no weights."""
    nearest: Matches
    """The nearest of them by the whole vector, best first."""
    within: Allowed | None = None
    """The only rows that may answer. None: all may."""


def neighbourhoods(
    vectors: Vectors,
    index: Index,
    halves: Halves,
    predict: Sequence[Callable[[Integers], Floats] | None],
    exclude: Sequence[EntryId | None],
    within: Sequence[Allowed | None] | None = None,
) -> list[Neighbourhood]:
    """The nearest entries of each question (n, d), by exact search: one for the whole vectors, one for their
    meaning. `within` has for each question the only rows that may answer it. Raises ValueError if the vectors
    do not fit the index or leave the grid."""
    scopes = within or [None] * len(vectors)
    whole, near = [_rows(scope, index) <= NEIGHBOURS for scope in scopes], dict[int, Neighbourhood]()
    for taken_whole in (True, False):
        asked = [i for i in range(len(vectors)) if whole[i] == taken_whole]
        if not asked:
            continue
        of = [exclude[i] for i in asked], [scopes[i] for i in asked]
        found = _near_rows(vectors[asked], index, halves, taken_whole, *of)
        for i, (rows, nearest) in zip(asked, found, strict=True):
            near[i] = Neighbourhood(rows, vectors[i], exclude[i], predict[i], nearest, scopes[i])
    return [near[i] for i in range(len(vectors))]


def _rows(within: Allowed | None, index: Index) -> int:
    return within.count if within else len(index)


def _near_rows(
    vectors: Vectors,
    index: Index,
    halves: Halves,
    taken_whole: bool,
    exclude: Sequence[EntryId | None],
    within: Sequence[Allowed | None],
) -> Iterator[tuple[Integers, Matches]]:
    """Of each question (n, d), the rows that are near it in any way, and the nearest by the whole vector.

    `taken_whole`: there are so few rows that may answer, in a small context or by a filter, that all are
    taken."""
    searches = [vectors] if halves.one else [vectors, halves.only_meaning(vectors)]
    k = NEIGHBOURS if taken_whole else NEIGHBOURS // len(searches)
    times = len(searches)
    filters = [*within] * times if any(within) else None
    found = index.search(np.concatenate(searches), k, [*exclude] * times, within=filters)
    n = len(vectors)
    return ((np.unique(np.concatenate([m.rows for m in found[i::n]])), found[i]) for i in range(n))
