"""What a slice answers: its part of everything that the whole is made of.

    asked                                 of a slice, as far as its own rows go    the whole is
    the nearest rows                      its own nearest, with products           the best of all
    how many rows hold "lamp"             a count                                  the sum
    what BM25 says of rows                their scores under the whole's figures   the best of all
    how often "on" is taught              a count                                  the sum
    what the weights predict for "on"     what each of its rows adds               summed in one order

All but the last are integers. What a row adds is rounded once, and the same wherever it is: the coordinator
sums it as one index would (`group_sums`).

What is asked comes over a network, and kernels read memory at the rows they are given. So whatever is named
is looked at before it is used: ValueError for rows that there are not, and for arrays that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np

from hurnet_stream.core.index.attributes import TooCostly
from hurnet_stream.core.index.conditions import Condition, keys_of
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.index.readable import Matches
from hurnet_stream.core.index.teaching import MANY
from hurnet_stream.core.lexical import bm25
from hurnet_stream.core.lexical.lexicon import Figures
from hurnet_stream.core.lexical.question import MOST_ASKED
from hurnet_stream.core.lexical.terms import MOST_LENGTH
from hurnet_stream.core.search.passing import Passing
from hurnet_stream.core.slices.columns import NOBODY, Doubles, Integers
from hurnet_stream.core.slices.messages import (
    Asked,
    AskTaught,
    Count,
    CountHolding,
    Counts,
    Describe,
    Descriptions,
    Find,
    Given,
    Holding,
    Near,
    NearByWords,
    ReadTexts,
    ReadVectors,
    Reply,
    Request,
    Sample,
    Search,
    SearchWords,
    Stand,
    Standing,
    Sums,
    SumUp,
    Taught,
    TextsOf,
    VectorsOf,
)
from hurnet_stream.core.slots import EMPTY
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.stored.entries import EntryId, starts_of

MOST_ROWS: Final = 1 << 14
"""That are asked for at once for one question."""


KNOWN_FILTERS: Final = 64
"""As many as a turn has questions. What is known of one takes 8 bytes for each row that passes."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a slice is. `snapshot` is another one whenever a row of the context has come or gone, and in
    every process. The rest is as in `Standing`."""

    snapshot: str
    epoch: str = ""
    watermarks: Mapping[int, int] = field(default_factory=dict)
    deleting: Mapping[int, int] = field(default_factory=dict)


class SliceIndex:
    """Answers for one index in one state. It may be kept as long as that lasts: then the last KNOWN_FILTERS
    filters are looked up once."""

    def __init__(self, index: ContextIndex, state: State) -> None:
        self._index = index
        self._state = state
        self._known: dict[Condition, Passing | str] = {}
        self._ways: dict[type, Callable[[Any], Given]] = {
            Stand: self._standing,
            Count: self._counts,
            Find: self._found,
            Describe: lambda asked: self._described(self._held(asked.rows)),
            Sample: lambda asked: self._described(self._index.lowest_pairs(_some(asked.most))),
            ReadVectors: lambda asked: VectorsOf(self._index.vectors(self._held(asked.rows))),
            ReadTexts: self._texts,
            Search: self._near,
            CountHolding: lambda asked: Holding(self._index.lexicon.holding(asked.terms)),
            SearchWords: self._near_by_words,
            AskTaught: self._taught,
            SumUp: self._sums,
        }

    def answer(self, request: Request) -> Reply:
        """The reply to a request. Raises ValueError for one that asks for what there is not."""
        if request.snapshot not in ("", self._state.snapshot):
            return Reply(self._state.snapshot, (), "rows have come or gone since the conversation began")
        return Reply(self._state.snapshot, tuple(map(self._given, request.asked)))

    def _given(self, asked: Asked) -> Given:
        return self._ways[type(asked)](asked)

    def _standing(self, _: Stand) -> Standing:
        state, index = self._state, self._index
        return Standing(
            state.epoch,
            state.watermarks,
            state.deleting,
            len(index),
            index.longest_squared,
            index.teaching.sums.any_copies,
            *index.lexicon.figures,
        )

    # Which rows may answer.

    def _counts(self, asked: Count) -> Counts:
        known = [self._passing(condition) for condition in asked.conditions]
        return Counts(
            np.array([passing.count if isinstance(passing, Passing) else 0 for passing in known], np.int64),
            tuple(tuple(self._index.lacking(sorted(keys_of(each)))) for each in asked.conditions),
            tuple("" if isinstance(passing, Passing) else passing for passing in known),
        )

    def _passing(self, condition: Condition) -> Passing | str:
        """The rows that meet a condition, or why that can't be told."""
        if condition not in self._known:
            if len(self._known) >= KNOWN_FILTERS:
                del self._known[next(iter(self._known))]
            try:
                self._known[condition] = self._index.passing(condition)
            except TooCostly as error:
                self._known[condition] = str(error)
        return self._known[condition]

    def _within(self, conditions: Sequence[Condition], places: Integers, n: int) -> list[Passing | None]:
        """The rows that may answer each of n questions; none of a filter that `Counts` has refused."""
        if not conditions:
            return [None] * n
        known = [self._passing(condition) for condition in conditions]
        rows = [each if isinstance(each, Passing) else Passing(np.empty(0, np.int64), 0) for each in known]
        return [None if place == NOBODY else rows[place] for place in places.tolist()]

    # What rows are.

    def _held(self, rows: Integers) -> Integers:
        if not self._index.holds(rows):
            raise ValueError("rows are asked for that this slice does not hold")
        return rows

    def _found(self, asked: Find) -> Descriptions:
        rows = [self._index.find(entry) for entry in _entries(asked.ids) if entry]
        return self._described(np.array([row for row in rows if row is not None], np.int64))

    def _described(self, rows: Integers) -> Descriptions:
        partitions, offsets, timestamps_ms, copies, teaches, answers = self._index.columns(
            rows, "partitions", "offsets", "timestamps_ms", "copies", "teaches", "answers"
        )
        numbers, answer_of = np.unique(answers, return_inverse=True)
        names = tuple(map(self._index.answers.__getitem__, numbers.tolist()))
        return Descriptions(rows, partitions, offsets, timestamps_ms, copies, teaches, answer_of, names)

    def _texts(self, asked: ReadTexts) -> TextsOf:
        sizes = np.cumsum(self._index.text_bytes(self._held(asked.rows)))
        fitting = max(1, int(np.searchsorted(sizes, asked.most_bytes, "right")))
        rows = asked.rows[:fitting]
        return TextsOf(tuple(self._index.texts(rows)), tuple(self._index.metadata(rows)))

    # Which rows are near.

    def _near(self, asked: Search) -> Near:
        n, index = len(asked.vectors), self._index
        within, own = self._within(asked.conditions, asked.condition_of, n), _entries(asked.own)
        numbers = index.answers.find(asked.without)
        without = numbers[numbers != EMPTY] if len(numbers) else None
        found = [Matches(np.empty(0, np.int64), np.empty(0))] * n
        may_answer = np.array([len(index) if each is None else each.count for each in within], np.int64)
        for places, k in ((may_answer <= asked.whole, asked.whole), (may_answer > asked.whole, asked.k)):
            chosen = np.flatnonzero(places).tolist()
            filters = [within[i] for i in chosen] if any(within) else None
            own_of_chosen = [own[i] for i in chosen]
            if chosen:
                matches = index.search(asked.vectors[chosen], _some(k), own_of_chosen, without, filters)
                for i, match in zip(chosen, matches, strict=True):
                    found[i] = match
        rows, starts = _joined([match.rows for match in found])
        norms = index.norms(rows)
        wide = asked.vectors.astype(np.float64)
        lengths = np.repeat(np.sqrt(np.vecdot(wide, wide)), np.diff(starts))
        # A cosine is a product, rounded: far less than half of one is lost in it, so the product comes back.
        cosines = np.concatenate([np.empty(0), *(match.cosines for match in found)])
        dots = np.rint(cosines * np.sqrt(norms) * lengths).astype(np.int64)
        partitions, offsets = index.columns(rows, "partitions", "offsets")
        return Near(starts, rows, partitions, offsets, dots, norms)

    # Which rows share words.

    def _near_by_words(self, asked: SearchWords) -> NearByWords:
        damping, n = bm25.damping(*self._figures(asked)), len(asked.own)
        within, own = self._within(asked.conditions, asked.condition_of, n), _entries(asked.own)
        self._held(asked.scored)
        rows, scores, scored = [], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for i in range(n):
            terms = slice(asked.term_starts[i], asked.term_starts[i + 1])
            question = self._index.lexicon.asked(asked.terms[terms], asked.most[terms], damping)
            entry = own[i]
            except_row = None if entry is None else self._index.find(entry)
            best, of_best = self._index.lexicon.best(question, _some(asked.k), except_row, within[i])
            rows.append(best)
            scores.append(of_best)
            of_question = asked.scored[asked.scored_starts[i] : asked.scored_starts[i + 1]]
            scored.append(self._index.lexicon.scored(question, of_question))
        joined, starts = _joined(rows)
        return NearByWords(starts, np.concatenate(scores), self._described(joined), np.concatenate(scored))

    def _figures(self, asked: SearchWords) -> Figures:
        """Those of the whole, which are at least those of its part."""
        figures, own = Figures(asked.entries, asked.total, asked.longest), self._index.lexicon.figures
        if any(whole < part for whole, part in zip(figures, own, strict=True)) or asked.longest > MOST_LENGTH:
            raise ValueError(f"{figures} of the whole can't be, if a slice has {own}")
        if np.diff(asked.term_starts).max(initial=0) > MOST_ASKED:
            raise ValueError(f"more than {MOST_ASKED} terms of one question")
        return figures

    # What is taught.

    def _taught(self, asked: AskTaught) -> Taught:
        numbers, teaching = self._index.answers.find(asked.answers), self._index.teaching
        held = numbers != EMPTY
        rows, copies = np.zeros(len(numbers), np.int64), np.zeros(len(numbers), np.int64)
        rows[held], copies[held] = teaching.rows_teaching(numbers[held]), teaching.taught(numbers[held])
        if not len(asked.predictions):
            nothing = np.empty(0, np.int64)
            totals = np.empty((0, self._index.dimension))
            return Taught(rows, copies, np.empty(0), np.zeros(1, np.int64), nothing, totals)
        window = self._window(asked.half_life_ms, asked.pane)
        self._check(asked.predictions)
        summed = np.unique(asked.answer_of[rows[asked.answer_of] >= MANY])
        weighed = [
            self._weighed(numbers[asked.answer_of[first:end]], prediction, window)
            for (first, end), prediction in zip(pairwise(asked.starts), asked.predictions, strict=True)
        ]
        values, sizes = zip(*weighed, strict=True)
        starts = starts_of(np.concatenate(sizes))
        totals = self._totals(numbers[summed], window)
        return Taught(rows, copies, np.concatenate(values), starts, summed, totals)

    def _weighed(self, asked: Integers, prediction: Doubles, window: Window) -> tuple[Doubles, Integers]:
        """What each row adds (r,) that teaches one of the answers of a question (p,), answer by answer, and
        how many rows that is of each (p,): none of an answer that is not held, or that many rows teach."""
        few = asked[asked != EMPTY]
        few = np.unique(few[self._index.teaching.rows_teaching(few) < MANY])
        places, weighed = self._index.teaching.weighed(prediction, few, np.ones(len(few), np.bool_), window)
        order = np.argsort(asked, kind="stable")
        asked_at = order[np.searchsorted(asked, few[places], sorter=order)]  # (r,) which of the p
        return weighed[np.argsort(asked_at, kind="stable")], np.bincount(asked_at, minlength=len(asked))

    def _sums(self, asked: SumUp) -> Sums:
        window = self._window(asked.half_life_ms, asked.pane)
        return Sums(self._totals(self._index.answers.find(asked.answers), window))

    def _totals(self, numbers: Integers, window: Window) -> Doubles:
        totals = np.zeros((len(numbers), self._index.dimension))
        for total, number in zip(totals, numbers.tolist(), strict=True):
            if number != EMPTY:
                total[:] = self._index.teaching.total(number, window)
        return totals

    def _window(self, half_life_ms: int, pane: int) -> Window:
        """How rows count. Sums that are kept follow those who ask, as far as these go on: who lags behind the
        others, whose weights are older, is answered from the rows themselves."""
        known, window = self._index.teaching.sums.window, Window(half_life_ms, pane)
        if half_life_ms != known.half_life_ms:
            raise ValueError(f"a half-life of {half_life_ms} ms, and this slice has {known.half_life_ms}")
        if half_life_ms and pane > known.now:
            self._index.age_to(window)
        return window

    def _check(self, predictions: Doubles) -> None:
        if predictions.shape[1] != self._index.dimension:
            raise ValueError(f"{predictions.shape[1]} dimensions, and this slice has {self._index.dimension}")


def _entries(ids: Integers) -> list[EntryId | None]:
    return [None if partition == NOBODY else (partition, offset) for partition, offset in ids.tolist()]


def _joined(parts: Sequence[Integers]) -> tuple[Integers, Integers]:
    """All of them one behind the other, and their starts."""
    sizes = np.array(list(map(len, parts)), np.int64)
    return np.concatenate([np.empty(0, np.int64), *parts]), starts_of(sizes)


def _some(k: int) -> int:
    if not 0 <= k <= MOST_ROWS:
        raise ValueError(f"{k} rows are asked for, and {MOST_ROWS} are the most")
    return k
