"""What a coordinator and the slices of a context say to each other.

A slice holds the entries of some shards. A coordinator holds none: it answers by the rule, over what it asks
the slices. Requests and replies have several parts, so that much is asked in one round:

    round    of each slice is asked                      it says
    1        Stand, Count, Find, Search, CountHolding    where it is, its nearest rows, how rare words are
    2        SearchWords, Describe                       its rows with the rarest words, their ids and answers
    3        ReadVectors, ReadTexts, AskTaught           what the rule compares, and what is taught
    3b       SumUp                                       sums of answers that many rows of all slices teach

Rows are numbered by their slice. Numbers hold as long as its `snapshot` is the same, so a request names the
snapshot that it goes by, and a slice that has moved on says so in place of a reply.

Every question is a pure read: it may be lost, repeated, or asked twice.

Several questions go in one request. What they have many of is stored one behind the other, with starts:

    rows of question 0, 1 and 2     [7 9 | | 3 4 5]        starts [0 2 2 5]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hurnet_stream.core.index.conditions import Condition
from hurnet_stream.core.slices.columns import (
    Doubles,
    Flags,
    Floats,
    Integers,
    Metadata,
    Pairs,
    Strings,
    Terms,
    Vectors,
    below,
    same_length,
    starts_fit,
    wide,
)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is asked of one slice in one round.

    `snapshot` is that of the first reply of the conversation; "" in its first request. With `last` the slice
    need not hold still any longer."""

    conversation: str
    context: str
    snapshot: str
    asked: tuple[Asked, ...]
    last: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What a slice gives to each part of a request, in order; nothing if it has `moved` on, and why."""

    snapshot: str
    given: tuple[Given, ...]
    moved: str = ""


# Where a slice is.


@dataclass(frozen=True, slots=True, eq=False)
class Stand:
    """Where the slice is, and what it counts over all rows of the context."""


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """`watermarks` and `deleting` are by shard, as a responder's memory has them. The rest is of the context:
    rows that are held, the largest |x|² of a row, whether any row is more than one copy, and of the words the
    entries, their terms in all, and the terms of the longest."""

    epoch: str
    watermarks: Mapping[int, int]
    deleting: Mapping[int, int]
    rows: int
    longest_squared: int
    any_copies: bool
    entries: int
    total: int
    longest: int


# Which rows may answer.


@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """How many rows meet each of these conditions."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Of each condition (c,): the rows that meet it, the keys that it names and no row has, and why it can't
    be told; "" if it can."""

    rows: Integers
    lacking: tuple[Strings, ...]
    refused: Strings


# What rows are.


@dataclass(frozen=True, slots=True, eq=False)
class Find:
    """The rows of the entries with these ids (n, 2), partition and offset."""

    ids: Pairs

    def __post_init__(self) -> None:
        wide(self.ids, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Describe:
    """What these rows (n,) are."""

    rows: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What the pairs with the lowest hashes (`index/sampling`) are, at most so many."""

    most: int


@dataclass(frozen=True, slots=True, eq=False)
class Descriptions:
    """Rows (n,): who they are, when they came, and which of the distinct `answers` each has. `teaches` is
    False for a row that is its own answer, or refutes the one it has."""

    rows: Integers
    partitions: Integers
    offsets: Integers
    timestamps_ms: Integers
    copies: Integers
    teaches: Flags
    answer_of: Integers
    answers: Strings

    def __post_init__(self) -> None:
        columns = (self.partitions, self.offsets, self.timestamps_ms, self.copies, self.teaches)
        same_length(self.rows, *columns, self.answer_of)
        below(self.answer_of, len(self.answers))


@dataclass(frozen=True, slots=True, eq=False)
class ReadVectors:
    """The vectors of these rows (n,)."""

    rows: Integers


@dataclass(frozen=True, slots=True, eq=False)
class VectorsOf:
    """(n, d) on the grid."""

    vectors: Vectors


@dataclass(frozen=True, slots=True, eq=False)
class ReadTexts:
    """The texts and metadata of the first of these rows (n,): as many as take `most_bytes`, and at least
    one."""

    rows: Integers
    most_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class TextsOf:
    """Of the first m rows, m at most n."""

    texts: Strings
    metadata: Metadata

    def __post_init__(self) -> None:
        same_length(self.texts, self.metadata)


# Which rows are near.


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """The `k` nearest rows of each vector (n, d), or all rows that may answer it if they are no more than
    `whole`. `own` (n, 2) is the entry that must not answer it, NOBODY twice if there is none; `condition_of`
    (n,) which of the conditions its rows meet, NOBODY if any will do. No row with an answer of `without`
    answers."""

    vectors: Vectors
    k: int
    whole: int
    own: Pairs
    conditions: tuple[Condition, ...] = ()
    condition_of: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    without: Strings = ()

    def __post_init__(self) -> None:
        wide(self.own, 2)
        same_length(self.vectors, self.own)
        if self.conditions:
            same_length(self.vectors, self.condition_of)
            below(self.condition_of, len(self.conditions))


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """The nearest rows (m,) of each question, best first, with what decides their order: products and |x|²,
    in integers."""

    starts: Integers
    rows: Integers
    partitions: Integers
    offsets: Integers
    dots: Integers
    norms: Integers

    def __post_init__(self) -> None:
        same_length(self.rows, self.partitions, self.offsets, self.dots, self.norms)
        starts_fit(self.starts, len(self.rows))


# Which rows share words.


@dataclass(frozen=True, slots=True, eq=False)
class CountHolding:
    """How many rows hold each of these terms (t, 4)."""

    terms: Terms

    def __post_init__(self) -> None:
        wide(self.terms, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Holding:
    """(t,), 0 for a term that no row holds."""

    rows: Integers


@dataclass(frozen=True, slots=True, eq=False)
class SearchWords:
    """The `k` rows that score most for each question by BM25, and the scores of further rows.

    A question's terms (t, 4) come rarest first, and `most` (t,) is what each can add over all slices; so are
    `entries`, `total` and `longest` of all slices. `scored` (m,) are rows whose scores are wanted too."""

    terms: Terms
    most: Integers
    term_starts: Integers
    entries: int
    total: int
    longest: int
    k: int
    own: Pairs
    scored: Integers
    scored_starts: Integers
    conditions: tuple[Condition, ...] = ()
    condition_of: Integers = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        wide(self.terms, 4)
        wide(self.own, 2)
        same_length(self.terms, self.most)
        starts_fit(self.term_starts, len(self.terms))
        starts_fit(self.scored_starts, len(self.scored))
        same_length(self.term_starts, self.scored_starts)
        same_length(self.own, self.term_starts[1:])
        if self.conditions:
            same_length(self.own, self.condition_of)
            below(self.condition_of, len(self.conditions))


@dataclass(frozen=True, slots=True, eq=False)
class NearByWords:
    """The rows of each question, best first, and their scores (n,) on the grid of `bm25`; and those of the
    rows that were to be scored (m,)."""

    starts: Integers
    scores: Integers
    described: Descriptions
    of_scored: Integers

    def __post_init__(self) -> None:
        same_length(self.scores, self.described.rows)
        starts_fit(self.starts, len(self.scores))


# What is taught.


@dataclass(frozen=True, slots=True, eq=False)
class AskTaught:
    """How often these answers are taught, and what the weights predict for some of them.

    `predictions` (n, d) is Px of each question, and `answer_of` (p,) the answers that it asks for. Rows count
    as they have aged by `half_life_ms` in pane `pane`."""

    answers: Strings
    predictions: Doubles
    answer_of: Integers
    starts: Integers
    half_life_ms: int
    pane: int

    def __post_init__(self) -> None:
        below(self.answer_of, len(self.answers))
        starts_fit(self.starts, len(self.answer_of))
        same_length(self.predictions, self.starts[1:])


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """How many rows teach each answer (a,), and how many copies that is; and of each question and answer
    (p,), what each row that teaches it adds to its score (w,). An answer that MANY rows of this slice teach
    has none of these: its sum is in `totals`, (a', d) of the answers `summed` (a',)."""

    rows: Integers
    copies: Integers
    weighed: Floats
    weighed_starts: Integers
    summed: Integers
    totals: Doubles

    def __post_init__(self) -> None:
        same_length(self.rows, self.copies)
        starts_fit(self.weighed_starts, len(self.weighed))
        same_length(self.summed, self.totals)
        below(self.summed, len(self.rows))


@dataclass(frozen=True, slots=True, eq=False)
class SumUp:
    """The sums of all rows that teach these answers, as often as each counts."""

    answers: Strings
    half_life_ms: int
    pane: int


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """(a, d) whole numbers, or with ageing whole numbers of 2**-7: below 2**53, so float64 adds them
    exactly."""

    totals: Doubles


Asked = (
    Stand
    | Count
    | Find
    | Describe
    | Sample
    | ReadVectors
    | ReadTexts
    | Search
    | CountHolding
    | SearchWords
    | AskTaught
    | SumUp
)
Given = Standing | Counts | Descriptions | VectorsOf | TextsOf | Near | Holding | NearByWords | Taught | Sums
