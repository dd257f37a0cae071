"""Which answer, and how sure: the rule that mixes what speaks for each candidate.

    evidence² = (μ meaning² + (1 - μ) spelling² + g memory + x lexical² + w words² + v weights²)
                / (1 + g + x + w + v)
    combined  = (evidence + nearest) / 2

The parts are those of `parts`, and the factors μ, g, x, w, v those of `mix`: they follow the kinds of answers
near the question, and what the context's own pairs say if they are left out (`rehearsal`). `nearest` is the
highest memory of all candidates. "please switch the lamp on", for example, where answers have many phrasings
(μ = 0.35, g = 0.1, x = 0.5, w = 0, v = 0.25):

           meaning  spelling  memory  lexical  weights     evidence    combined
    on      0.85      0.90     0.90    0.60     0.80         0.81        0.85       the answer
    off     0.15      0.10     0.88    0.55     0.20         0.38        0.64       the runner-up

Why this form (measured: docs/decisions):

- The local solves lead. They hold both where many phrasings share an answer and in a store that mixes many
  kinds of texts, and they need no solved weights.
- There are two of them, since a question in somebody's own words is near by its meaning alone, and one with
  typos by its spelling. Each is squared: the one that is sure counts, and the one that knows little hardly.
  So is what else is only worth something if it is sure.
- `nearest` is the same for all candidates, so it orders nothing. It says how far the question is from
  anything known, which is what the threshold for abstaining needs.
- Entries that refute an answer take part in the local solves. By the share of the question that they explain
  the answer's evidence is less: next to nothing is left of it for the question that was refuted, and nearly
  all for another one.
- While a context has no weights, their term is left out of the sum and of what it is divided by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import overload

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.readable import Allowed, Index
from hurnet_stream.core.rule.deepening import deepened
from hurnet_stream.core.rule.halves import Halves, undivided
from hurnet_stream.core.rule.mix import PRIOR, Factors, Mix
from hurnet_stream.core.rule.neighbourhood import Neighbourhood, neighbourhoods
from hurnet_stream.core.rule.parts import Mixed, Parts, parts_of
from hurnet_stream.core.solve.weights import predict
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import EntryId

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PARTS = ("meaning", "spelling", "memory", "lexical", "words", "weights")


@dataclass(frozen=True, slots=True)
class Scores:
    """The six parts of a candidate, in [0, 1]. `weights` is None if the context has no weights yet."""

    meaning: float
    spelling: float
    memory: float
    lexical: float
    words: float
    weights: float | None
    refuted: float | None = None
    """The share of the question that entries explain which refute the candidate. None if none does."""


@dataclass(frozen=True, slots=True)
class RankedAnswer:
    """A candidate: an answer, the row of its entry that is nearest to the query, and its scores."""

    answer: str
    row: int
    scores: Scores
    evidence: float
    combined: float


class Candidates(Sequence[RankedAnswer]):
    """Candidates in the order of their combined scores, each made when it is looked at: of a hundred, most
    never are. Good until entries are next removed from the index."""

    def __init__(self, parts: Parts, mixed: Mixed, nearest: float, index: Index) -> None:
        self._parts, self._mixed, self._index = parts, mixed, index
        self._combined = (mixed.evidence + nearest) / 2
        held = index.described(mixed.rows)
        self._order = np.lexsort((held.offsets, held.partitions, -self._combined))

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, place: int) -> RankedAnswer: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[RankedAnswer, ...]: ...

    def __getitem__(self, place: int | slice) -> RankedAnswer | tuple[RankedAnswer, ...]:
        if isinstance(place, slice):
            return tuple(map(self._made, self._order[place].tolist()))
        return self._made(self._order.item(place))

    def _made(self, i: int) -> RankedAnswer:
        parts, mixed = self._parts, self._mixed
        scores = Scores(
            parts.meaning.item(i),
            parts.spelling.item(i),
            mixed.memory.item(i),
            parts.lexical.item(i),
            parts.words.item(i),
            None if parts.weights is None else parts.weights.item(i),
            parts.refuted.item(i) or None,
        )
        answer, row = self._index.answers[parts.answers.item(i)], mixed.rows.item(i)
        return RankedAnswer(answer, row, scores, mixed.evidence.item(i), self._combined.item(i))


@dataclass(frozen=True, slots=True)
class Ranking:
    """The candidates of one query, best first. Equal ones stand in the order of (partition, offset) of their
    nearest entries."""

    candidates: Sequence[RankedAnswer]
    factors: Factors | None = None
    """How much each part counted. None if there are no candidates."""
    nearest: float | None = None
    """Cosine of the nearest entry of all by the mix, which is half of each combined score. None if there are
    no candidates."""
    further: Callable[[int], Sequence[RankedAnswer]] | None = field(default=None, repr=False, compare=False)
    """The next answers of the context, as many as are asked for, if it has them (`deepening`)."""

    def top(self, k: int) -> Sequence[RankedAnswer]:
        """The k best answers: the candidates, and behind them what a deeper search finds if they are too few.
        Good until entries are next appended to the index or removed."""
        missing = k - len(self.candidates)
        if missing <= 0 or self.further is None:
            return self.candidates[:k]
        return (*self.candidates, *self.further(missing))

    @property
    def best(self) -> RankedAnswer | None:
        """The answer. None if the context is empty, or the query has no vector."""
        return self.candidates[0] if self.candidates else None

    @property
    def runner_up(self) -> RankedAnswer | None:
        """The second best candidate, or None."""
        return self.candidates[1] if len(self.candidates) > 1 else None

    @property
    def margin(self) -> float | None:
        """Combined score of the best candidate minus that of the runner-up. None if either is missing."""
        best, second = self.best, self.runner_up
        return best.combined - second.combined if best and second else None

    def by(self, score: str) -> RankedAnswer | None:
        """The candidate that is best by one of the `PARTS` alone, or by "combined". None if there are no
        candidates, or they don't have this score."""
        scored = [
            (c.combined if score == "combined" else getattr(c.scores, score), c) for c in self.candidates
        ]
        known = [(value, candidate) for value, candidate in scored if value is not None]
        return max(known, key=lambda pair: pair[0])[1] if known else None


def nearest(
    vectors: Vectors,
    index: Index,
    projection: Floats | None = None,
    exclude: Sequence[EntryId | None] | None = None,
    halves: Halves | None = None,
    within: Sequence[Allowed | None] | None = None,
) -> list[Neighbourhood]:
    """The nearest entries of each query (n, d), by exact search, and how the weights predict for them.

    `projection` is P (d, d) of equation 3; without it nothing is predicted. `exclude` names, for each query,
    the asker's own entry, which must not answer it (equation 5). `halves` None: the vectors have one half.
    `within` has, for each query, the only rows that may answer it. Raises ValueError if the vectors do not
    fit the index or leave the grid."""
    own = exclude or [None] * len(vectors)
    predicts = predictors(index.predicted, projection, vectors, own)
    return neighbourhoods(vectors, index, halves or undivided(index.dimension), predicts, own, within)


def predictors(
    predicted: Callable[..., Floats],
    projection: Floats | None,
    vectors: Vectors,
    own: Sequence[EntryId | None],
) -> Sequence[Callable[[Integers], Floats] | None]:
    """Of each query (n, d), what the weights predict for rows: `predicted` of its Px (equation 3), without
    the asker's own entry. None of each if there is no `projection`."""
    if projection is None:
        return [None] * len(vectors)
    predictions = predict(projection, vectors)
    return [partial(predicted, p, exclude=entry) for p, entry in zip(predictions, own, strict=True)]


def ranked(
    texts: Sequence[str],
    near: Sequence[Neighbourhood],
    index: Index,
    halves: Halves | None = None,
    mix: Mix = PRIOR,
) -> Iterator[Ranking]:
    """The ranking of each query, given its text and its nearest entries.

    They come one by one: to compare the words of one query may take half a second, and a caller that has not
    that much time for each of them can stop."""
    for text, neighbourhood in zip(texts, near, strict=True):
        yield _Question(text, neighbourhood, index, halves or undivided(index.dimension), mix).ranking()


@dataclass(frozen=True, slots=True)
class _Question:
    text: str
    near: Neighbourhood
    index: Index
    halves: Halves
    mix: Mix

    def ranking(self) -> Ranking:
        parts = parts_of(self.text, self.near, self.index, self.halves)
        if parts is None:
            return Ranking(())
        mixed = parts.mixed(self.mix)
        candidates = Candidates(parts, mixed, mixed.nearest, self.index)
        return Ranking(candidates, mixed.factors, mixed.nearest, partial(self._further, parts, mixed.nearest))

    def _further(self, parts: Parts, nearest: float, wanted: int) -> Sequence[RankedAnswer]:
        deeper = deepened(self.text, self.near, parts, self.index, self.halves, wanted)
        return () if deeper is None else Candidates(deeper, deeper.mixed(self.mix), nearest, self.index)
