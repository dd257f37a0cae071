"""Which answer, and how sure: the one rule that puts the parts together.

Each candidate is an answer of the 256 nearest entries. Four parts speak for it, each in [0, 1]:

    memory   cosine of its nearest entry                                                       (eq. 2, 5)
    weights  ⟨Px, B_a⟩, what the closed form over the whole context predicts                   (eq. 3, 10)
    local    the sum of its entries' α, the closed form over the neighbourhood             (local_solve.py)
    words    likeness of the words to its entries among the 64 nearest                         (eq. 1)

    evidence = (4 local + 2 weights² + memory + words²) / 8
    combined = (evidence + nearest) / 2,      nearest = cosine of the nearest entry of all

The local solve leads because it holds both where many phrasings share an answer and in a store of many
kinds. The global weights and the words enter squared: a sure prediction and a nearly literal match count,
weak ones, which the weights give to frequent answers in a mixed store, and chance gives to any two texts,
hardly do. `nearest` is the same for all candidates and so orders nothing; it says how far the question is
from anything known, which is what a threshold for abstaining needs. Without weights their term is left out
and the rest scaled up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hurnet.core.index.index import ContextIndex, EntryId, Matches
from hurnet.core.paper.feature_sums import FeatureSums
from hurnet.core.paper.lp import EUCLIDEAN, mapped_queries
from hurnet.core.rule.encoded_words import similarities
from hurnet.core.rule.local_solve import NEIGHBOURS, local_coefficients
from hurnet.core.solve.weights import predict
from hurnet.core.stored.batch import Vectors

COMPARED = 64
"""Nearest entries whose words are compared; fewer where they and the query are so long that together they
go beyond `MOST_LETTERS`."""

_LOCAL, _WEIGHTS, _MEMORY, _WORDS = 4.0, 2.0, 1.0, 1.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scores:
    """What each part says of a candidate, in [0, 1]; `weights` is None while there are none."""

    memory: float
    weights: float | None
    local: float
    words: float


@dataclass(frozen=True, slots=True)
class RankedAnswer:
    """An answer, the row of its entry nearest to the query, and its scores."""

    answer: str
    row: int
    scores: Scores
    combined: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates, best first: ties go to the one with the nearer entry, then to the lowest (partition,
    offset)."""

    candidates: tuple[RankedAnswer, ...]

    @property
    def best(self) -> RankedAnswer | None:
        """The answer; None for an empty context, or a query without a vector."""
        return self.candidates[0] if self.candidates else None

    @property
    def runner_up(self) -> RankedAnswer | None:
        """The second best answer, where there is one."""
        return self.candidates[1] if len(self.candidates) > 1 else None

    @property
    def margin(self) -> float | None:
        """Combined score of the best minus the runner-up's; None where either is missing."""
        best, second = self.best, self.runner_up
        return best.combined - second.combined if best and second else None

    def by(self, part: str) -> RankedAnswer | None:
        """The best candidate by one part alone ("memory", "weights", "local", "words"), or by "combined";
        None without candidates or where the part is missing."""
        scored = [(c.combined if part == "combined" else getattr(c.scores, part), c) for c in self.candidates]
        known = [(score, c) for score, c in scored if score is not None]
        return max(known, key=lambda pair: pair[0])[1] if known else None


@dataclass(frozen=True, slots=True)
class Scoring:
    """How likeness is taken: weights on kernel features (equations 7, 8) need the context's `sums` of them;
    with `p` other than 2 entries are compared in ℓp (equation 12), which does not touch the weights."""

    sums: FeatureSums | None = None
    p: float = EUCLIDEAN


def rank(
    texts: Sequence[str],
    vectors: Vectors,
    index: ContextIndex,
    projection: Floats | None = None,
    exclude: Sequence[EntryId | None] | None = None,
    scoring: Scoring | None = None,
) -> list[Ranking]:
    """Rank the answers of a context for each query, given its text and its grid row (n, d).

    `projection` is P (d, d) of equation 3, where it has been solved; `exclude` names, for each query, the
    entry that is the asker's own and must not answer it (equation 5)."""
    return list(ranked(texts, vectors, index, projection, exclude, scoring))


def ranked(
    texts: Sequence[str],
    vectors: Vectors,
    index: ContextIndex,
    projection: Floats | None = None,
    exclude: Sequence[EntryId | None] | None = None,
    scoring: Scoring | None = None,
) -> Iterator[Ranking]:
    """As `rank`, one by one: the search is made for all together, but the words of one query may take half a
    second, and whoever has not that much time for each can stop."""
    scoring = scoring or Scoring()
    sums = scoring.sums
    known = vectors if sums is None else sums.features(vectors)
    predictions = None if projection is None else predict(projection, known)
    here = predictions if sums is None else None
    found = index.search(mapped_queries(vectors, scoring.p), NEIGHBOURS, here, exclude)
    if predictions is not None and sums is not None:
        found = sums.weigh(found, index, predictions, exclude)
    for text, matches in zip(texts, found, strict=True):
        yield _rank(text, matches, index)


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """The parts of all candidates at once, each (answers,), in the order of their nearest entries."""

    memory: Floats
    weights: Floats | None
    local: Floats
    words: Floats

    def at(self, i: int) -> Scores:
        weights = None if self.weights is None else float(self.weights[i])
        return Scores(float(self.memory[i]), weights, float(self.local[i]), float(self.words[i]))

    def combined(self) -> Floats:
        evidence = _LOCAL * self.local + _MEMORY * self.memory + _WORDS * self.words**2
        total = _LOCAL + _MEMORY + _WORDS
        if self.weights is not None:
            evidence, total = evidence + _WEIGHTS * self.weights**2, total + _WEIGHTS
        combined: Floats = (evidence / total + self.memory[0]) / 2
        return combined


def _rank(text: str, matches: Matches, index: ContextIndex) -> Ranking:
    if not len(matches.rows):
        return Ranking(())
    ids = index.answer_ids(matches.rows)
    first, numbers = _by_first_place(ids)
    words = _words(text, matches, index, numbers)
    columns = _columns(matches, index, numbers, words)
    combined = columns.combined()
    return Ranking(
        tuple(
            RankedAnswer(
                index.answers[ids[first[i]]], int(matches.rows[first[i]]), columns.at(i), float(combined[i])
            )
            for i in np.argsort(-combined, kind="stable").tolist()
        )
    )


def _by_first_place(ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each distinct id comes first, ascending; for every element, its id's number in that order."""
    _, places, inverse = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(places)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return places[order], number[inverse]


def _words(text: str, matches: Matches, index: ContextIndex, numbers: NDArray[np.int64]) -> Floats:
    """Equation 1 by answer, given for every match the number of its answer."""
    compared = [index.text(row) for row in matches.rows[:COMPARED].tolist()]
    alike = similarities(text, compared)
    words = np.zeros(numbers.max() + 1)
    np.maximum.at(words, numbers[: len(alike)], alike)
    return words


def _columns(
    matches: Matches,
    index: ContextIndex,
    numbers: NDArray[np.int64],
    words: Floats,
) -> _Columns:
    """The parts of each answer, given for every match the number of its answer."""
    _, first = np.unique(numbers, return_index=True)
    alpha = local_coefficients(index.vectors(matches.rows), matches.cosines, index.counts(matches.rows))
    return _Columns(
        memory=_unit(matches.cosines[first]),
        weights=None if matches.predicted is None else _unit(matches.predicted[first]),
        local=_unit(np.bincount(numbers, weights=alpha).astype(np.float64)),
        words=words,
    )


def _unit(x: Floats) -> Floats:
    unit: Floats = np.clip(x, 0.0, 1.0)
    return unit
