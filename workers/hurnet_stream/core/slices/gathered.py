"""A context that several slices hold, as the rule reads it: what `ContextIndex` is to a context in memory.

Whatever the rule asks for, and is not known yet, the slices are asked for. Nearly all of it can be foreseen
(`rule/gathering`), so that three rounds bring it for many questions at once. What is asked for late is only
slower.

An index is good for one conversation. When a slice has moved on or gone away, any method may raise `Moved` or
`Away`. Then all begins again with a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.index.attributes import TooCostly
from hurnet_stream.core.index.conditions import Condition, Has, keys_of
from hurnet_stream.core.index.readable import Described, Matches
from hurnet_stream.core.index.sampling import hashes
from hurnet_stream.core.lexical.lexicon import Figures
from hurnet_stream.core.native import local_solve
from hurnet_stream.core.native import taught as kernels
from hurnet_stream.core.slices.conversation import Conversation, by_slice
from hurnet_stream.core.slices.messages import (
    Count,
    Counts,
    Descriptions,
    Find,
    Sample,
    Stand,
    Standing,
)
from hurnet_stream.core.slices.near import Nearest, Query, ids_of
from hurnet_stream.core.slices.rows import NumberedStrings, Rows
from hurnet_stream.core.slices.taught import GatheredTeaching
from hurnet_stream.core.slices.words import AskedText, Words
from hurnet_stream.core.solve.window import NOTHING_AGES, Window
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import Entry, EntryId

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Meeting:
    """The rows of all slices that meet a condition: how many they are."""

    condition: Condition
    count: int


class GatheredIndex:
    """The rows of a context over all slices of one conversation. Its methods give what those of the same name
    of `ContextIndex` give, to the last bit."""

    def __init__(self, conversation: Conversation, dimension: int, window: Window = NOTHING_AGES) -> None:
        self.conversation = conversation
        self.dimension = dimension
        self.rows = Rows(conversation, dimension)
        self.nearest = Nearest(conversation, self.rows)
        self.words = Words(conversation, self.rows)
        self.teaching = GatheredTeaching(conversation, self.rows.answers, dimension, window)
        self._standings: Mapping[int, Standing] = {}
        self._meeting: dict[Condition, Meeting | str] = {}
        self._lacking: dict[str, bool] = {}  # by key, whether no row of any slice has it
        self._found: dict[EntryId, int | None] = {}

    # What the slices say of themselves.

    @property
    def standings(self) -> Mapping[int, Standing]:
        """Where each slice is, by its number."""
        self._stand()
        return self._standings

    def _stand(self) -> None:
        """Ask the slices where they are, unless that is known."""
        if not self._standings:
            self.take_standings(by_slice(Standing, self.conversation.all(Stand())))

    def take_standings(self, standings: Mapping[int, Standing]) -> None:
        """The slices have said where they are."""
        self._standings = standings
        each = standings.values()
        self.words.take_figures([Figures(s.entries, s.total, s.longest) for s in each])

    def take_counts(self, asked: Count, given: Sequence[Counts]) -> None:
        """So many rows of each slice meet these conditions."""
        for i, condition in enumerate(asked.conditions):
            refused = next((counts.refused[i] for counts in given if counts.refused[i]), "")
            count = sum(int(counts.rows[i]) for counts in given)
            self._meeting[condition] = refused or Meeting(condition, count)
            for key in keys_of(condition):
                self._lacking[key] = all(key in counts.lacking[i] for counts in given)

    def take_found(self, asked: Sequence[EntryId], given: Mapping[int, Descriptions]) -> None:
        """The slices found these entries, or not."""
        self._found |= dict.fromkeys(asked)
        for number, described in given.items():
            rows = self.rows.add(number, described)
            ids = zip(described.partitions.tolist(), described.offsets.tolist(), strict=True)
            self._found |= zip(ids, rows.tolist(), strict=True)

    # What the rule reads.

    def __len__(self) -> int:
        return sum(standing.rows for standing in self.standings.values())

    @property
    def answers(self) -> NumberedStrings:
        return self.rows.answers

    def passing(self, condition: Condition) -> Meeting:
        """The rows that meet the condition. Raises TooCostly, a ValueError, for one that takes too long to
        tell."""
        if condition not in self._meeting:
            self._count(condition)
        meeting = self._meeting[condition]
        if isinstance(meeting, str):
            raise TooCostly(meeting)
        return meeting

    def may_answer(self, condition: Condition | None) -> int:
        """How many rows meet a condition; 0 if that can't be told. None: all rows."""
        if condition is None:
            return len(self)
        meeting = self._meeting.get(condition)
        return meeting.count if isinstance(meeting, Meeting) else 0

    def lacking(self, keys: Iterable[str]) -> list[str]:
        keys = list(keys)
        for key in keys:
            if key not in self._lacking:
                self._count(Has(key))
        return [key for key in keys if self._lacking[key]]

    def _count(self, condition: Condition) -> None:
        asked = Count((condition,))
        self.take_counts(asked, list(by_slice(Counts, self.conversation.all(asked)).values()))

    def find(self, entry_id: EntryId) -> int | None:
        if entry_id not in self._found:
            given = self.conversation.all(Find(ids_of([entry_id])))
            self.take_found([entry_id], by_slice(Descriptions, given))
        return self._found[entry_id]

    def entry(self, row: int) -> Entry:
        columns = self.rows.columns
        ((text, metadata),) = self.rows.texts(np.array([row]))
        copies = columns.copies.item(row)
        has_answer = columns.teaches[row] or copies < 0
        answer = self.answers[columns.answers.item(row)] if has_answer else None
        ids = columns.offsets.item(row), columns.timestamps_ms.item(row)
        return Entry(*ids, self.conversation.context, text, answer, metadata, copies)

    def text(self, row: int) -> str:
        return self.texts(np.array([row]))[0]

    def texts(self, rows: Integers) -> list[str]:
        return [text for text, _ in self.rows.texts(rows)]

    def entry_id(self, row: int) -> EntryId:
        columns = self.rows.columns
        return columns.partitions.item(row), columns.offsets.item(row)

    def partitions(self, rows: Integers) -> Integers:
        return self.rows.columns.partitions[rows]

    def offsets(self, rows: Integers) -> Integers:
        return self.rows.columns.offsets[rows]

    def answer_ids(self, rows: Integers) -> Integers:
        return self.rows.columns.answers[rows]

    def described(self, rows: Integers) -> Described:
        columns = self.rows.columns.part(rows)
        return Described(columns.offsets, columns.partitions, columns.answers, columns.copies > 0)

    def vectors(self, rows: Integers) -> Vectors:
        return self.rows.vectors(rows)

    def addresses(self, rows: Integers) -> Integers | None:
        longest = max(standing.longest_squared for standing in self.standings.values())
        usable = local_solve.available() and longest < local_solve.MOST_SQUARED
        return self.rows.addresses(rows) if usable else None

    @property
    def _any_copies(self) -> bool:
        return any(standing.any_copies for standing in self.standings.values())

    def counts(self, rows: Integers) -> Floats | None:
        window, columns = self.teaching.window, self.rows.columns
        if not (self._any_copies or window.half_life_ms):
            return None
        return window.recency(columns.timestamps_ms[rows]) * columns.copies[rows]

    def taught(self, answers: Integers, exclude: EntryId | None = None) -> Integers:
        taught = self.teaching.copies(answers)
        own = None if exclude is None else self.find(exclude)
        columns = self.rows.columns
        if own is not None and columns.teaches[own]:
            taught[answers == columns.answers[own]] -= columns.copies.item(own)
        return taught

    def predicted(self, prediction: Floats, rows: Integers, exclude: EntryId | None = None) -> Floats:
        distinct, back = np.unique(self.answer_ids(rows), return_inverse=True)
        scores = self.teaching.scores(prediction, distinct)
        own = None if exclude is None else self.find(exclude)
        if own is not None:
            row = np.array([own])
            columns = self.rows.columns.part(row)
            scores -= (columns.teaches & (columns.answers == distinct)) * self._adds(row, prediction)
        predicted: Floats = scores[back]
        return predicted

    def _adds(self, rows: Integers, prediction: Floats) -> Floats:
        """What each row (n,) adds to the score of its answer, as `Teaching` has it."""
        if kernels.available():
            adds = kernels.weigh(self.rows.addresses(rows), prediction) / SCALE
        else:
            adds = np.vecdot(self.rows.vectors(rows).astype(np.float64), prediction) / SCALE
        window, columns = self.teaching.window, self.rows.columns.part(rows)
        if window.half_life_ms:
            adds = adds * (window.shares(columns.timestamps_ms) * columns.copies)
        elif self._any_copies:
            adds = adds * columns.copies
        return adds

    def search(
        self,
        queries: Vectors,
        k: int,
        exclude: Sequence[EntryId | None] | None = None,
        without: Integers | None = None,
        within: Sequence[Meeting | None] | None = None,
    ) -> list[Matches]:
        own, met = exclude or [None] * len(queries), within or [None] * len(queries)
        asked = [
            Query(query.tobytes(), entry, _condition(each))
            for query, entry, each in zip(queries, own, met, strict=True)
        ]
        if without is None:
            return self.nearest.search(asked, k)
        names = [self.answers[number] for number in without.tolist()]
        return self.nearest.search_others(asked, k, names)

    def lexical_search(
        self, text: str, k: int, exclude: EntryId | None = None, within: Meeting | None = None
    ) -> tuple[Integers, Floats]:
        self._stand()
        return self.words.search(AskedText(text, exclude, _condition(within)), k)

    def lexical_scores(self, text: str, rows: Integers) -> Floats:
        self._stand()
        return self.words.scores(text, rows)

    def lowest_pairs(self, most: int) -> Integers:
        rows, numbers = [], []
        for number, pairs in by_slice(Descriptions, self.conversation.all(Sample(most))).items():
            rows.append(self.rows.add(number, pairs))
            numbers.append(hashes(pairs.partitions, pairs.offsets, pairs.copies))
        all_rows, all_numbers = np.concatenate(rows), np.concatenate(numbers)
        columns = self.rows.columns.part(all_rows)
        sampled: Integers = all_rows[np.lexsort((columns.offsets, columns.partitions, all_numbers))[:most]]
        return sampled


def _condition(meeting: Meeting | None) -> Condition | None:
    return None if meeting is None else meeting.condition
