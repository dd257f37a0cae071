"""What speaks for each candidate of a question: the six parts that the rule mixes.

    entries     128 nearest by the whole vector, 128 nearest by its meaning, 64 that share the rarest words
    candidates  their answers
    parts       of each candidate, every one in [0, 1]:

        meaning    local solve over the near entries, by the cosines of their meaning        (local_solve)
        spelling   the same by 1/4 of these and 3/4 of the cosines of their spelling
        memory     cosine of the nearest of its entries, by the mix                          (equations 2, 5)
        lexical    the rarest words that one of its entries shares with the question, BM25   (lexical/bm25)
        words      how alike the words are, letter by letter                                 (equation 1, scn)
        weights    what the closed form over the whole context predicts for it               (equations 3, 10)

What is exact and what is not: the nearest entries and the products behind all cosines are decided in
integers. Cosines are rounded once to float64. The local solves and the predictions are floating
point: two machines can differ in their last digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.readable import Described, Index
from hurnet_stream.core.rule.comparing import solve_over, with_question
from hurnet_stream.core.rule.encoded_words import MOST_LETTERS, similarities
from hurnet_stream.core.rule.halves import Halves
from hurnet_stream.core.rule.local_solve import MOST_TAUGHT, ridges
from hurnet_stream.core.rule.mix import Factors, Mix, kinds_of, shares
from hurnet_stream.core.rule.neighbourhood import Neighbourhood

RARE = 64
"""How many entries with the question's rarest words become candidates too."""
COMPARED = 16
"""How many of the nearest entries have their words compared. They are fewer if they and the query are so long
that together they exceed the most letters."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_SYSTEMS = np.array([[1.0, 0.0], [0.25, 0.75]])
"""The shares of meaning and spelling in the local solve by meaning, and in that by spelling: spelling alone
holds a chance likeness for a near entry."""
_SYSTEM = np.ones((1, 1))
"""If there is but one half."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What speaks for the candidates of a question, before it is mixed: all but memory is (candidates,)."""

    answers: Integers  # their numbers in the index
    taught: Integers  # how many pairs teach each
    meaning: Floats
    spelling: Floats
    lexical: Floats
    words: Floats
    weights: Floats | None
    refuted: Floats
    """The share of the question that entries explain which refute the candidate. Nothing speaks for it there,
    so its evidence is less by this share."""
    shares: Floats
    """The share of each kind of answers (3,) near the question (`mix`)."""

    rows: Integers
    """The entries (m,) that support a candidate, in the order of (partition, offset)."""
    candidate: Integers  # (m,) of each entry
    by_meaning: Floats  # (m,) its cosine with the question
    by_spelling: Floats  # (m,)

    def mixed(self, mix: Mix) -> Mixed:
        """The candidates as the mix has them."""
        nearest = self.by_meaning.max(initial=0.0), self.by_spelling.max(initial=0.0)
        (row,) = mix.of(self.shares[None], *map(np.atleast_1d, nearest))
        factors = Factors(*row.tolist())
        memory = factors.meaning * self.by_meaning + (1 - factors.meaning) * self.by_spelling  # (m,)
        order = np.argsort(-memory, kind="stable")  # equal ones stay in the order of (partition, offset)
        first = np.full(len(self.answers), len(order))
        np.minimum.at(first, self.candidate[order], np.arange(len(order)))
        entries = order[first]  # (candidates,) the nearest of each
        best = np.clip(memory[entries], 0.0, 1.0)
        return Mixed(factors, best, self.rows[entries], self._evidence(factors, best))

    def squares(self) -> Floats:
        """What the evidence is made of but memory, each part as `weighed` takes it: (5, candidates)."""
        weights = np.zeros(len(self.answers)) if self.weights is None else self.weights
        return np.square([self.meaning, self.spelling, self.lexical, self.words, weights])

    def _evidence(self, f: Factors, memory: Floats) -> Floats:
        total = 1 + f.memory + f.lexical + f.words + (0.0 if self.weights is None else f.weights)
        root: Floats = np.sqrt(weighed(f.as_row(), self.squares(), memory) / total) * (1 - self.refuted)
        return root


def weighed(factors: Floats, squares: Floats, memory: Floats) -> Floats:
    """The sum of the parts of candidates (n,) by their factors, (5,) or (5, n) in the order of FACTORS: the
    numerator of evidence² (see `rule`). `squares` (5, n) are those of `Parts.squares`."""
    share, of_memory, of_lexical, of_words, of_weights = factors
    meaning, spelling, lexical, words, weights = squares
    solves = share * meaning + (1 - share) * spelling
    weighed: Floats = (
        solves + of_memory * memory + of_lexical * lexical + of_words * words + of_weights * weights
    )
    return weighed


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """The candidates of a question, each (candidates,), by the factors that count for it."""

    factors: Factors
    memory: Floats
    rows: Integers  # of each, the row of its nearest entry by the mix
    evidence: Floats

    @property
    def nearest(self) -> float:
        """The cosine of the nearest entry of all."""
        return float(self.memory.max())


def parts_of(
    text: str,
    near: Neighbourhood,
    index: Index,
    halves: Halves,
    without: int | None = None,
    most_letters: int = MOST_LETTERS,
) -> Parts | None:
    """What speaks for the candidates of a question; None if there are none, or the question has no vector.

    `without` is an answer, by its number, all entries of which are left out: what the other near entries
    would say if it had never been taught. `most_letters` bounds how long words are compared."""
    if not near.vector.any():
        return None
    rare, _ = index.lexical_search(text, RARE, near.exclude, near.within)
    rows = np.union1d(near.rows, rare)
    held = index.described(rows)
    order = np.lexsort((held.offsets, held.partitions))
    order = order[_of_candidates(held, without)[order]]
    if not len(order):
        return None
    return _Entries(near, rows[order], held.part(order), index, halves).parts(text, most_letters)


def _of_candidates(held: Described, without: int | None) -> NDArray[np.bool_]:
    """Which entries (m,) have an answer that one of them supports: what is only refuted is no candidate, and
    neither is the answer `without`."""
    kept = held.supports
    if not kept.all():
        kept = kept | np.isin(held.answers, held.answers[kept])
    return kept if without is None else kept & (held.answers != without)


class _Entries:
    """The entries of one question, (m,), as they are compared with it and with each other."""

    def __init__(
        self, near: Neighbourhood, rows: Integers, held: Described, index: Index, halves: Halves
    ) -> None:
        self._near, self._index, self._halves = near, index, halves
        self.rows = rows
        self._solved = np.isin(rows, near.rows)  # those found by their words alone are not solved over
        self._cosines = with_question(index, rows, near.vector, halves.distinct)  # (halves, m)
        self.meaning, self.spelling = self._cosines[0], self._cosines[-1]  # (m,)
        self.answers, self._first, self.candidate = np.unique(
            held.answers, return_index=True, return_inverse=True
        )  # (candidates,), the place of an entry of each, and the candidate of each entry (m,)
        self.taught = index.taught(self.answers, near.exclude)  # (candidates,)
        self._supports = held.supports  # (m,) the others refute: they take part in the local solves alone

    def parts(self, text: str, most_letters: int) -> Parts:
        whole = (self.meaning + self.spelling) / 2
        meaning, spelling, refuted = self._local_scores()
        supports = self._supports
        predict = self._near.predict
        return Parts(
            self.answers,
            self.taught,
            meaning,
            spelling,
            lexical=self._best(self._index.lexical_scores(text, self.rows)),
            words=self._words(text, np.argsort(-whole, kind="stable"), most_letters),
            # All entries of an answer have the same prediction: that of the answer.
            weights=None if predict is None else _clipped(predict(self.rows[self._first])),
            refuted=refuted,
            shares=shares(kinds_of(self.taught), self._best(whole)),
            rows=self.rows[supports],
            candidate=self.candidate[supports],
            by_meaning=self.meaning[supports],
            by_spelling=self.spelling[supports],
        )

    def _best(self, of_entries: Floats) -> Floats:
        """The highest score among the entries that speak for each candidate, at least 0."""
        best = np.zeros(len(self.answers))
        np.maximum.at(best, self.candidate, of_entries * self._supports)
        return best

    def _local_scores(self) -> tuple[Floats, Floats, Floats]:
        """Of each candidate, the sum of its entries' α by meaning, and by spelling; and that of the entries
        that refute it, by whichever is more."""
        rows, candidate = self.rows[self._solved], self.candidate[self._solved]
        cosines, supports = self._cosines[:, self._solved], self._supports[self._solved]
        taught = self.taught[candidate]
        taught = np.where(supports, taught, taught[supports].min(initial=MOST_TAUGHT))
        ridge = ridges(taught, cosines[0, supports].max(initial=0.0), self._index.counts(rows))
        distinct = self._halves.distinct
        systems = _SYSTEMS if len(distinct) > 1 else _SYSTEM
        alphas = solve_over(self._index, rows, distinct, systems, cosines, ridge)  # (systems, m)
        scores = [self._summed(alpha * supports) for alpha in alphas]
        refuted = [self._summed(alpha * ~supports) for alpha in alphas]
        return scores[0], scores[-1], np.maximum(refuted[0], refuted[-1])

    def _summed(self, alpha: Floats) -> Floats:
        """The sum of the α of each candidate's entries, cut to [0, 1]."""
        sums = np.bincount(self.candidate[self._solved], alpha, len(self.answers))
        return _clipped(sums.astype(np.float64))

    def _words(self, text: str, order: Integers, most_letters: int) -> Floats:
        """Equation 1, (candidates,): of the entries of each candidate, the one that is most alike. 0 if none
        of them is among those that are compared, the first ones in this order (m,)."""
        compared = order[self._supports[order]][:COMPARED]
        # Of the first ones that `most_letters` allows.
        alike = similarities(text, self._index.texts(self.rows[compared]), most_letters)
        words = np.zeros(len(self.answers))
        np.maximum.at(words, self.candidate[compared[: len(alike)]], alike)
        return words


def _clipped(scores: Floats) -> Floats:
    """`scores` cut to [0, 1]: least squares may predict a little less or more."""
    clipped: Floats = np.clip(scores, 0.0, 1.0)
    return clipped
