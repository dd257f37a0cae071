"""What BM25 says over all slices: how rare a term is follows from the sums of what each slice counts.

    "the lamp"    slice 0    slice 1    all       rarest first    can add
    entries       120        80         200
    hold "the"    110        75         185       second          0.2
    hold "lamp"   2          5          7         first           7.2

Scores are integers, so it is the same which process made them; the best of all are those of one index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.conditions import Condition
from hurnet_stream.core.lexical.alphabet import distinct_records
from hurnet_stream.core.lexical.lexicon import Figures
from hurnet_stream.core.lexical.question import Chosen, choose
from hurnet_stream.core.lexical.terms import RECORD_SHAPE, Records
from hurnet_stream.core.slices.conversation import Conversation, by_slice
from hurnet_stream.core.slices.messages import CountHolding, Holding, NearByWords, SearchWords
from hurnet_stream.core.slices.near import conditions_of, ids_of
from hurnet_stream.core.slices.rows import Rows
from hurnet_stream.core.stored.entries import EntryId, starts_of

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
NO_ROWS = np.empty(0, np.int64)


def joined(terms: Iterable[Records]) -> Records:
    """The terms of many texts, one behind the other."""
    return np.concatenate([np.empty((0, *RECORD_SHAPE), np.uint64), *terms])


class AskedText(NamedTuple):
    """A text that is searched for, the entry that must not answer it, and what rows must meet."""

    text: str
    own: EntryId | None
    condition: Condition | None


class Best(NamedTuple):
    """The best rows (n,) and their scores (n,). So many were asked for."""

    rows: Integers
    scores: Integers
    asked: int


class Words:
    """The words of the texts that were asked in one conversation."""

    def __init__(self, conversation: Conversation, rows: Rows) -> None:
        self._conversation = conversation
        self._rows = rows
        self._figures: Figures | None = None
        self._chosen: dict[str, tuple[Records, Chosen]] = {}
        self._scores: dict[str, dict[int, int]] = {}  # by text and row
        self._best: dict[AskedText, Best] = {}

    def take_figures(self, figures: Sequence[Figures]) -> None:
        """These are the slices' own."""
        entries, totals, longest = zip(*figures, strict=True)
        self._figures = Figures(sum(entries), sum(totals), max(longest))

    def unread(self, texts: Sequence[str]) -> dict[str, Records]:
        """The terms of those texts of which it is not known how rare they are."""
        return {text: distinct_records(text) for text in dict.fromkeys(texts) if text not in self._chosen}

    def take_holding(self, terms: Mapping[str, Records], given: Sequence[Holding]) -> None:
        """So many rows of each slice hold the terms of these texts, one behind the other."""
        holding: Integers = np.stack([each.rows for each in given]).sum(axis=0)
        starts = starts_of(np.array(list(map(len, terms.values())), np.int64))
        for text, first, end in zip(terms, starts.tolist(), starts[1:].tolist(), strict=False):
            chosen = choose(holding[first:end], self.figures.entries)
            self._chosen[text] = terms[text][chosen.places], chosen

    @property
    def figures(self) -> Figures:
        """Those of all slices together."""
        if self._figures is None:
            raise ValueError("the slices have not said yet what they hold")
        return self._figures

    def request(self, asked: Sequence[AskedText], k: int, scored: Sequence[Integers]) -> SearchWords:
        """Asks a slice for its k best rows of each text, and for the scores of its rows with these numbers,
        (m,) of each text."""
        chosen = [self._chosen[each.text] for each in asked]
        conditions, condition_of = conditions_of([each.condition for each in asked])
        return SearchWords(
            joined(terms for terms, _ in chosen),
            np.concatenate([NO_ROWS, *(each.most for _, each in chosen)]),
            starts_of(np.array([len(terms) for terms, _ in chosen], np.int64)),
            *self.figures,
            k,
            ids_of([each.own for each in asked]),
            np.concatenate([NO_ROWS, *scored]),
            starts_of(np.array(list(map(len, scored)), np.int64)),
            conditions,
            condition_of,
        )

    def take(
        self,
        asked: Sequence[AskedText],
        k: int,
        given: Mapping[int, NearByWords],
        scored: Mapping[int, Sequence[Integers]],
    ) -> None:
        """The slices gave this for these texts. `scored` are the numbers whose scores each was asked for; the
        rows have been met."""
        found: list[list[tuple[Integers, Integers]]] = [[] for _ in asked]
        for number, near in given.items():
            best = self._rows.add(number, near.described)
            of_text = np.split(near.of_scored, np.cumsum(list(map(len, scored[number])))[:-1])
            for i, each in enumerate(asked):
                part = slice(near.starts[i], near.starts[i + 1])
                found[i].append((best[part], near.scores[part]))
                numbers = scored[number][i]
                rows = self._rows.of(np.full(len(numbers), number), numbers)
                self._remember(each.text, rows, of_text[i])
        for each, parts in zip(asked, found, strict=True):
            rows, scores = map(np.concatenate, zip(*parts, strict=True))
            self._remember(each.text, rows, scores)
            if k:
                self._take_best(each, k, rows, scores)

    def _remember(self, text: str, rows: Integers, scores: Integers) -> None:
        self._scores.setdefault(text, {}).update(zip(rows.tolist(), scores.tolist(), strict=True))

    def _take_best(self, asked: AskedText, k: int, rows: Integers, scores: Integers) -> None:
        columns = self._rows.columns
        best = np.lexsort((columns.offsets[rows], columns.partitions[rows], -scores))[:k]
        self._best[asked] = Best(rows[best], scores[best], k)

    def search(self, asked: AskedText, k: int) -> tuple[Integers, Floats]:
        """The k best rows for a text, and their scores as shares of what the text could score."""
        found = self._best.get(asked)
        if found is None or (found.asked < k and len(found.rows) == found.asked):
            self._ask(asked, k, NO_ROWS)
            found = self._best[asked]
        return found.rows[:k], self._shares(asked.text, found.scores[:k])

    def scores(self, text: str, rows: Integers) -> Floats:
        """The score of each row (n,) as such a share."""
        known = self._scores.setdefault(text, {})
        missing = np.array([row for row in rows.tolist() if row not in known], np.int64)
        if len(missing) or text not in self._chosen:
            self._ask(AskedText(text, None, None), 0, missing)
        return self._shares(text, np.array([known[row] for row in rows.tolist()], np.int64))

    def _shares(self, text: str, scores: Integers) -> Floats:
        _, chosen = self._chosen[text]
        shares: Floats = scores / max(chosen.whole, 1)
        return shares

    def _ask(self, asked: AskedText, k: int, scored: Integers) -> None:
        if terms := self.unread([asked.text]):
            given = self._conversation.all(CountHolding(terms[asked.text]))
            self.take_holding(terms, list(by_slice(Holding, given).values()))
        held_by = self._rows.by_slice(scored)
        there = self._rows.columns.numbers
        numbers = {n: [there[held_by.get(n, NO_ROWS)]] for n in self._conversation.slices}
        requests = {n: (self.request([asked], k, own),) for n, own in numbers.items()}
        given = self._conversation.each(requests)
        self.take([asked], k, by_slice(NearByWords, given), numbers)
