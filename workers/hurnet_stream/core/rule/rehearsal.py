"""Rehearsal: a context's own pairs say how its questions should be answered.

Some taught pairs are left out, one at a time, and asked by the code that answers questions. What comes back
is compared with what was taught:

    left out                     asked                               says
    the pair alone               the other phrasings must answer     which factors give most right answers
    all pairs of its answer      nothing can answer rightly          how sure a wrong answer looks

For example, of an answer with the phrasings "lights on", "turn on the lights" and "make it bright", the third
is left out. Meaning finds the first two, spelling finds another answer: one vote for meaning, among the
answers that have few phrasings.

Nothing is trained: each question meets the whole context without the pair. What is counted over all pairs
alone, the products behind the weights and how rare a word is, still has it in. The result depends on what the
context holds and not on the order in which it came. The sample is made of the pairs with
the lowest hashes of their identities. A pair of weight w is as likely as w pairs, so corrections count for
more.

Memory and words are not learned. They recognise a text that was taught, and that is what was left out: a
rehearsal would always find them useless.

An answer that is taught once can't be rehearsed, since nothing is left that could answer. Its factors remain
those of the prior, and so do all factors whose change would not be clearly better: a change is taken if the
answers that it gains outnumber those that it loses by 1.64 standard errors (McNemar's test of the pairs in
which the two differ). The copies of a pair are right or wrong together: one heavy pair is not clear.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.readable import Index
from hurnet_stream.core.rule.confidence import Outcomes, fit, joined
from hurnet_stream.core.rule.halves import Halves
from hurnet_stream.core.rule.mix import FACTORS, KINDS, PRIOR, Mix, kinds_of
from hurnet_stream.core.rule.neighbourhood import Neighbourhood
from hurnet_stream.core.rule.parts import Parts, parts_of, weighed
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import EntryId

SAMPLE: Final = 1024
"""Most pairs that are rehearsed in one round."""
ENOUGH: Final = 30
"""Fewest pairs of one kind from which its factors are learned."""

REHEARSABLE: Final = 0.5
"""The share of the sample that a calibration must be learned from to hold for all of the context. The others
teach an answer alone: a question for it finds that very text, and what that is like no rehearsal has seen."""

MOST_LETTERS: Final = 1 << 21
"""Pairs of letters that are compared for a pair, some 15 ms: a thirtieth of what a question may have, so that
long texts don't keep questions waiting."""
PORTION: Final = 256
"""Pairs whose outcomes are looked at in one step."""
IN_VAIN: Final = 5
"""One pair in so many is also asked without its answer: as many as a calibration counts."""

_GRID: Final[dict[str, Sequence[float]]] = {
    "meaning": (0.15, 0.25, 0.35, 0.5, 0.65, 0.75, 0.85, 1.0),
    "lexical": (0.0, 0.25, 0.5, 1.0, 2.0, 4.0),
    "weights": (0.0, 0.05, 0.1, 0.25, 0.5, 1.0),
}
"""The values that a factor can take, and the order in which factors are learned."""
_SWEEPS: Final = 2
_CLEARLY: Final = 1.64

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Nearest = Callable[[Vectors, Sequence[EntryId | None]], list[Neighbourhood]]


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsed:
    """A pair that was left out and asked."""

    parts: Parts | None
    """What speaks for the candidates without the pair. None: there are none."""
    without_answer: Parts | None
    """The same without any pair of its answer, if it was asked so."""
    answer: int
    """The right one, by its number in the index."""
    taught: int
    """How many pairs still teach it, copies counted. 0: nothing can answer rightly."""
    copies: int
    in_vain: bool
    """Whether it was asked without any pair of its answer."""


def sample(index: Index, most: int = SAMPLE) -> list[EntryId]:
    """The pairs to rehearse: those with the lowest hashes of their identities, divided by their copies."""
    rows = index.lowest_pairs(most)
    partitions, offsets = index.partitions(rows), index.offsets(rows)
    return list(zip(partitions.tolist(), offsets.tolist(), strict=True))


def rehearse(
    pair: EntryId, index: Index, halves: Halves, nearest: Nearest, in_vain: bool
) -> Rehearsed | None:
    """Leave out a pair and ask it, and if `in_vain`, without its answer too; None if the context does not
    hold it any more."""
    row = index.find(pair)
    if row is None:
        return None
    rows = np.array([row])
    answer = int(index.answer_ids(rows)[0])
    (near,) = nearest(index.vectors(rows), [pair])
    taught = int(index.taught(np.array([answer]), pair)[0])
    text = index.text(row)
    parts = parts_of(text, near, index, halves, most_letters=MOST_LETTERS)
    if not taught:  # it was the only one
        return Rehearsed(parts, parts, answer, 0, index.entry(row).copies, in_vain=True)
    without = parts_of(text, near, index, halves, answer, MOST_LETTERS) if in_vain else None
    return Rehearsed(parts, without, answer, taught, index.entry(row).copies, in_vain)


class Rehearsal:
    """One round: a sample is rehearsed pair by pair, then the factors are learned. Each step is short, so
    that a worker can do it between questions; entries may come and go meanwhile, and the index of the context
    may be another one at each step."""

    def __init__(self, index: Index, halves: Halves) -> None:
        self._halves = halves
        self._pairs = sample(index)
        self._rehearsed: list[Rehearsed] = []
        self._search: Iterator[Mix] | None = None
        self.mix: Mix | None = None
        """What was learned; None before the round is over."""

    @property
    def rehearsed(self) -> Sequence[Rehearsed]:
        """The pairs that have been asked."""
        return self._rehearsed

    def step(self, index: Index, nearest: Nearest) -> bool:
        """Ask one pair, try one value of a factor, or look at some outcomes. False: the round is over."""
        if self._pairs:
            in_vain = len(self._rehearsed) % IN_VAIN == 0
            if asked := rehearse(self._pairs.pop(0), index, self._halves, nearest, in_vain):
                self._rehearsed.append(asked)
            return True
        self._search = self._search or learned(self._rehearsed)
        found = next(self._search, None)
        self.mix = found or self.mix
        return found is not None


def learned(rehearsed: Sequence[Rehearsed], start: Mix = PRIOR) -> Iterator[Mix]:
    """The mix so far, after each short portion of the work; the last one is the result."""
    table = _Table([pair for pair in rehearsed if pair.taught and pair.parts])
    counts = np.bincount(table.kinds, minlength=len(KINDS))
    mix = replace(start, rehearsed=dict(zip(KINDS, counts.tolist(), strict=True)))
    yield mix
    for name in [*_GRID] * _SWEEPS:
        for kind in np.flatnonzero(counts >= ENOUGH).tolist():
            mix = yield from table.better(mix, KINDS[kind], name)
    mix = replace(mix, right=table.right_by_kind(mix))
    seen = [outcomes((), mix)]
    for first in range(0, len(rehearsed), PORTION):
        seen.append(outcomes(rehearsed[first : first + PORTION], mix))
        yield mix
    told = len([pair for pair in rehearsed if pair.taught]) >= REHEARSABLE * len(rehearsed)
    yield replace(mix, calibration=fit(joined(seen)) if told else None)


def outcomes(rehearsed: Sequence[Rehearsed], mix: Mix) -> Outcomes:
    """How sure each answer looked under a mix, and whether it was right: what a calibration is learned from.
    First all pairs that were left out alone, then those that were left out with their answers."""
    answerable = [pair for pair in rehearsed if pair.taught]
    in_vain = [pair for pair in rehearsed if pair.in_vain]
    rows = [_figures(pair.parts, mix, pair.answer) for pair in answerable]
    rows += [_figures(pair.without_answer, mix, None) for pair in in_vain]
    table = np.array(rows, np.float64).reshape(-1, 4)  # (n, 4)
    is_answerable = np.arange(len(table)) < len(answerable)
    return Outcomes(table[:, 0], table[:, 1], table[:, 2], table[:, 3] > 0, is_answerable)


def _figures(parts: Parts | None, mix: Mix, answer: int | None) -> tuple[float, float, float, bool]:
    """Evidence and margin of the best candidate, the cosine of the nearest entry, and whether it is right."""
    if parts is None:
        return 0.0, 0.0, 0.0, False
    mixed = parts.mixed(mix)
    best = int(mixed.evidence.argmax())
    others = np.delete(mixed.evidence, best)
    evidence, second = float(mixed.evidence[best]), float(others.max(initial=0.0))
    # Of two that are equal neither is right: which of them comes first, the numbers of answers would decide.
    is_right = answer is not None and int(parts.answers[best]) == answer and evidence > second
    return evidence, evidence - second, mixed.nearest, is_right


class _Table:
    """All candidates of all rehearsed pairs side by side, so that a mix is tried on all of them at once."""

    def __init__(self, pairs: Sequence[Rehearsed]) -> None:
        parts = [pair.parts for pair in pairs if pair.parts]
        self._sizes = np.array([len(p.answers) for p in parts], np.int64)  # (pairs,) candidates of each
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._shares = np.array([p.shares for p in parts]).reshape(-1, len(KINDS))
        by_halves = [(p.by_meaning.max(initial=0.0), p.by_spelling.max(initial=0.0)) for p in parts]
        self._nearest = np.array(by_halves).reshape(-1, 2).T  # (halves, pairs)
        self._squares = np.concatenate([np.empty((5, 0)), *(p.squares() for p in parts)], axis=1)
        self._left = np.concatenate([np.empty(0), *((1 - p.refuted) ** 2 for p in parts)])
        self._entries = _Entries(parts, self._starts)
        matches = [np.flatnonzero(p.answers == pair.answer) for p, pair in zip(parts, pairs, strict=True)]
        self._right = np.array([match[0] if len(match) else -1 for match in matches], np.int64)
        self._copies = np.array([pair.copies for pair in pairs], np.float64)
        self.kinds = kinds_of(np.array([pair.taught for pair in pairs], np.int64))

    def better(self, mix: Mix, kind: str, name: str) -> Generator[Mix, None, Mix]:
        """Returns the mix with the value of one factor of one kind that is clearly best; the mix itself if
        none is. After each value that is tried it yields the mix."""
        now, best, most = self._is_right(mix), mix, 0.0
        for value in _GRID[name]:
            tried = replace(mix, **{kind: replace(getattr(mix, kind), **{name: value})})
            change = self._copies * (self._is_right(tried).astype(np.int64) - now)  # (pairs,) gained or lost
            gain, error = change.sum(), np.sqrt((change**2).sum())
            if gain > most and gain > _CLEARLY * error:
                best, most = tried, gain
            yield mix
        return best

    def right_by_kind(self, mix: Mix) -> dict[str, float]:
        """The share of right answers of each kind of which there are pairs, copies counted."""
        right = np.bincount(self.kinds, self._copies * self._is_right(mix), len(KINDS))
        every = np.bincount(self.kinds, self._copies, len(KINDS))
        return {name: float(right[i] / every[i]) for i, name in enumerate(KINDS) if every[i]}

    def _is_right(self, mix: Mix) -> NDArray[np.bool_]:
        """Whether the right answer of each pair (pairs,) has more evidence than any other."""
        if not len(self._sizes):
            return np.zeros(0, np.bool_)
        factors = mix.of(self._shares, *self._nearest)  # (pairs, factors)
        memory = self._entries.memory(factors[:, FACTORS.index("meaning")])
        evidence = weighed(np.repeat(factors, self._sizes, axis=0).T, self._squares, memory) * self._left
        known = self._right >= 0
        right = (self._starts + self._right)[known]
        of_right = np.full(len(self._sizes), -1.0)
        of_right[known] = evidence[right]
        evidence[right] = -1.0
        is_right: NDArray[np.bool_] = of_right > np.maximum.reduceat(evidence, self._starts)
        return is_right


class _Entries:
    """The cosines of all entries of all candidates, of one candidate after another."""

    def __init__(self, parts: Sequence[Parts], starts: Integers) -> None:
        empty = np.empty(0, np.int64)
        candidate = np.concatenate([empty, *(p.candidate + s for p, s in zip(parts, starts, strict=True))])
        order = np.argsort(candidate, kind="stable")
        pair = np.repeat(np.arange(len(parts)), [len(p.rows) for p in parts])
        self._pair = pair[order]
        self._by_meaning = np.concatenate([np.empty(0), *(p.by_meaning for p in parts)])[order]
        self._by_spelling = np.concatenate([np.empty(0), *(p.by_spelling for p in parts)])[order]
        self._starts = np.flatnonzero(np.diff(candidate[order], prepend=-1))

    def memory(self, meaning: Floats) -> Floats:
        """The memory of each candidate, given the share of meaning (pairs,)."""
        share = meaning[self._pair]
        cosines = share * self._by_meaning + (1 - share) * self._by_spelling
        best: Floats = np.clip(np.maximum.reduceat(cosines, self._starts), 0.0, 1.0)
        return best
