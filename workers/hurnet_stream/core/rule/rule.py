"""Which answer, and how sure: the rule that blends four scores.

The candidates of a query are the answers of its 256 nearest entries. Each gets four scores, all in [0, 1]:

    memory   cosine of the query with the candidate's nearest entry                     (eq. 2, 5)
    weights  what the closed form over the whole context predicts for the answer        (eq. 3, 10)
    local    what the closed form over the 256 nearest entries alone predicts for it    (local_solve.py)
    words    how alike the words of the query and of the candidate's entries are        (eq. 1, scn.py)

    evidence = (4 local + 2 weights² + memory + words²) / 8
    combined = (evidence + nearest) / 2,      nearest = cosine of the nearest entry of all

"please switch the lamp on", for example, in a context that knows two answers:

           memory  weights  local  words      evidence                                   combined
    on      0.90    0.80    0.85   0.80      (3.40 + 1.28 + 0.90 + 0.64) / 8 = 0.78      0.84    the answer
    off     0.88    0.20    0.15   0.85      (0.60 + 0.08 + 0.88 + 0.72) / 8 = 0.29      0.59    the runner-up

Why this blend (measured: docs/decisions):

- The local score leads. It holds both where many phrasings share an answer and in a store that mixes many
  kinds of texts, and it needs no solved weights.
- Weights and words are squared. A sure prediction or a nearly literal match should count, and a weak one
  hardly: in a mixed store the weights predict a little of every frequent answer, and any two texts have some
  letters in common.
- `nearest` is the same for all candidates, so it orders nothing. It says how far the query is from anything
  known, which is what the threshold for abstaining needs.
- While a context has no weights, their term is left out and the evidence is divided by 6.

What is exact and what is not: the nearest entries, their order and the ties between them are decided in
integers, and are the same on every machine. The cosines are the exact ones, rounded once to float64. The
weights' predictions, the local solve (a float32 product, then LAPACK) and the blend are floating point: two
machines can differ in the last digits, and so in the answer if two candidates nearly tie. The margin in the
receipt says how near they were.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.index import ContextIndex, EntryId, Matches
from hurnet_stream.core.rule.encoded_words import similarities
from hurnet_stream.core.rule.local_solve import NEIGHBOURS, local_coefficients
from hurnet_stream.core.solve.weights import predict
from hurnet_stream.core.stored.batch import Vectors

COMPARED = 64
"""How many of the nearest entries have their words compared. They are fewer if they and the query are so long
that together they exceed `MOST_LETTERS`."""

_LOCAL, _WEIGHTS, _MEMORY, _WORDS = 4.0, 2.0, 1.0, 1.0
"""The factors of the blend."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scores:
    """The four scores of a candidate, in [0, 1]. `weights` is None if the context has no weights yet."""

    memory: float
    weights: float | None
    local: float
    words: float


@dataclass(frozen=True, slots=True)
class RankedAnswer:
    """A candidate: an answer, the row of its entry that is nearest to the query, and its scores."""

    answer: str
    row: int
    scores: Scores
    combined: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The candidates of one query, best first. Equal ones stand in the order of their nearest entries, and
    equally near entries in that of (partition, offset)."""

    candidates: tuple[RankedAnswer, ...]

    @property
    def best(self) -> RankedAnswer | None:
        """The answer. None if the context is empty, or the query has no vector."""
        return self.candidates[0] if self.candidates else None

    @property
    def nearest(self) -> float | None:
        """Cosine of the nearest entry of all, which is half of each combined score. None if there are no
        candidates."""
        return max((candidate.scores.memory for candidate in self.candidates), default=None)

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
        """The candidate that is best by "memory", "weights", "local" or "words" alone, or by "combined". None
        if there are no candidates, or they don't have this score."""
        scored = [
            (c.combined if score == "combined" else getattr(c.scores, score), c) for c in self.candidates
        ]
        known = [(value, candidate) for value, candidate in scored if value is not None]
        return max(known, key=lambda pair: pair[0])[1] if known else None


def nearest(
    vectors: Vectors,
    index: ContextIndex,
    projection: Floats | None = None,
    exclude: Sequence[EntryId | None] | None = None,
) -> list[Matches]:
    """The 256 nearest entries of each query (n, d), by exact search, and what the weights predict for them.

    `projection` is P (d, d) of equation 3; without it nothing is predicted. `exclude` names, for each query,
    the asker's own entry, which must not answer it (equation 5). Raises ValueError if the vectors do not fit
    the index or leave the grid."""
    predictions = None if projection is None else predict(projection, vectors)
    return index.search(vectors, NEIGHBOURS, predictions, exclude)


def ranked(texts: Sequence[str], matches: Sequence[Matches], index: ContextIndex) -> Iterator[Ranking]:
    """The ranking of each query, given its text and its nearest entries.

    They come one by one: to compare the words of one query may take half a second, and a caller that has not
    that much time for each of them can stop."""
    for text, text_matches in zip(texts, matches, strict=True):
        yield _rank(text, text_matches, index)


@dataclass(frozen=True, slots=True, eq=False)
class _CandidateScores:
    """The scores of all candidates of a query, each (candidates,), in the order of their nearest entries."""

    memory: Floats
    weights: Floats | None
    local: Floats
    words: Floats

    def of(self, candidate: int) -> Scores:
        weights = None if self.weights is None else float(self.weights[candidate])
        return Scores(
            float(self.memory[candidate]), weights, float(self.local[candidate]), float(self.words[candidate])
        )

    def combined(self) -> Floats:
        evidence = _LOCAL * self.local + _MEMORY * self.memory + _WORDS * self.words**2
        factors = _LOCAL + _MEMORY + _WORDS
        if self.weights is not None:
            evidence, factors = evidence + _WEIGHTS * self.weights**2, factors + _WEIGHTS
        # Candidate 0 is the answer of the nearest entry, so its memory is the cosine of the nearest of all.
        combined: Floats = (evidence / factors + self.memory[0]) / 2
        return combined


def _rank(text: str, matches: Matches, index: ContextIndex) -> Ranking:
    if not len(matches.rows):
        return Ranking(())
    answer_ids = index.answer_ids(matches.rows)  # (matches,)
    first, candidate_of = _candidates(answer_ids)
    scores = _scores(text, matches, index, first, candidate_of)
    combined = scores.combined()
    # The sort is stable: equal candidates stay in the order of their nearest entries.
    order = np.argsort(-combined, kind="stable").tolist()
    answers = (index.answers[answer_ids[first[i]]] for i in order)
    rows = matches.rows[first].tolist()
    return Ranking(
        tuple(
            RankedAnswer(answer, rows[i], scores.of(i), float(combined[i]))
            for i, answer in zip(order, answers, strict=True)
        )
    )


def _candidates(answer_ids: Integers) -> tuple[Integers, Integers]:
    """Number the distinct answers in the order in which they first occur among the matches.

    Returns the match at which each candidate occurs first, which is its nearest, (candidates,) ascending; and
    the candidate of each match, (matches,). For the ids 7 3 7 9: (0 1 3) and (0 1 0 2)."""
    _, first_places, by_id = np.unique(answer_ids, return_index=True, return_inverse=True)
    order = np.argsort(first_places)  # np.unique sorts by id; candidates are sorted by nearness
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return first_places[order], number[by_id]


def _scores(
    text: str, matches: Matches, index: ContextIndex, first: Integers, candidate_of: Integers
) -> _CandidateScores:
    alpha = local_coefficients(  # (matches,)
        index.vectors(matches.rows), matches.cosines, index.counts(matches.rows)
    )
    return _CandidateScores(
        memory=_clipped(matches.cosines[first]),
        # All entries of an answer have the same prediction: that of the answer.
        weights=None if matches.predicted is None else _clipped(matches.predicted[first]),
        local=_clipped(np.bincount(candidate_of, weights=alpha).astype(np.float64)),
        words=_words(text, matches, index, candidate_of),
    )


def _words(text: str, matches: Matches, index: ContextIndex, candidate_of: Integers) -> Floats:
    """Equation 1, (candidates,): of the entries of each candidate, the one that is most alike. 0 if none of
    them was compared."""
    compared = [index.text(row) for row in matches.rows[:COMPARED].tolist()]
    alike = similarities(text, compared)  # of the first ones that MOST_LETTERS allows
    words = np.zeros(candidate_of.max() + 1)
    np.maximum.at(words, candidate_of[: len(alike)], alike)
    return words


def _clipped(scores: Floats) -> Floats:
    """`scores` cut to [0, 1]: least squares may predict a little less or more."""
    clipped: Floats = np.clip(scores, 0.0, 1.0)
    return clipped
