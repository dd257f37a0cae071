"""What the rule will look at, fetched from the slices for many questions at once, in three rounds.

    round 1    the nearest rows of each slice, how many rows hold each word, and pass each filter
               known: the nearest rows of all, and which words are rare
    round 2    what these rows are, and the rows with the rarest words
               known: all entries in play, and their answers
    round 3    their vectors and texts, how often their answers are taught, what the weights predict
               (and once more the sums of answers that MANY rows teach, if no slice alone has so many)

Then `nearest` and `ranked` find everything there. What they do not, such as the further answers of a question
that asks for many (`deepening`), the index asks for by itself.

Vectors are most of what is sent: 320 rows of 512 dimensions are 330 kB a question. So only as many questions
go together as stay within PORTION_BYTES.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.conditions import Condition
from hurnet_stream.core.rule.halves import Halves
from hurnet_stream.core.rule.neighbourhood import NEIGHBOURS
from hurnet_stream.core.rule.parts import RARE
from hurnet_stream.core.slices.conversation import Conversation, by_slice
from hurnet_stream.core.slices.gathered import GatheredIndex
from hurnet_stream.core.slices.messages import (
    Count,
    CountHolding,
    Counts,
    Describe,
    Descriptions,
    Find,
    Holding,
    Near,
    NearByWords,
    Stand,
    Standing,
    Taught,
    TextsOf,
    VectorsOf,
)
from hurnet_stream.core.slices.near import Merged, Query, ids_of, request
from hurnet_stream.core.slices.taught import Prediction
from hurnet_stream.core.slices.words import NO_ROWS, AskedText, joined
from hurnet_stream.core.solve.weights import predict
from hurnet_stream.core.solve.window import NOTHING_AGES, Window
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import EntryId

PORTION_BYTES: Final = 1 << 24
"""Of the vectors of all rows in play of the questions that go together."""
TEXT_BYTES: Final = 1 << 16
"""Of the texts of one question: those of the nearest rows. Others are asked for if they are looked at."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A question as it will be asked: its text and vector (d,), the asker's own entry, which must not answer
    it, and what entries must meet to answer."""

    text: str
    vector: Vectors
    own: EntryId | None = None
    condition: Condition | None = None


def gathered(
    conversation: Conversation,
    questions: Sequence[Question],
    halves: Halves,
    projection: Floats | None = None,
    window: Window = NOTHING_AGES,
) -> GatheredIndex:
    """The index over all slices that has at hand what `nearest` and `ranked` look at for these questions. It
    gives the same for all others, more slowly.

    Rows count as in `window`. Raises Moved and Away: then begin again with another conversation."""
    index = GatheredIndex(conversation, halves.dimension, window)
    size = max(1, PORTION_BYTES // ((NEIGHBOURS + RARE) * 2 * halves.dimension))
    for first in range(0, len(questions), size):
        _Portion(index, questions[first : first + size], halves, projection).gather()
    return index


class _Portion:
    """Questions that are asked together."""

    def __init__(
        self, index: GatheredIndex, questions: Sequence[Question], halves: Halves, projection: Floats | None
    ) -> None:
        self._index, self._questions = index, questions
        vectors = np.stack([question.vector for question in questions])
        searches = [vectors] if halves.one else [vectors, halves.only_meaning(vectors)]
        self._k = NEIGHBOURS // len(searches)
        self._queries = [  # of each question, one for each search
            [Query(vector.tobytes(), question.own, question.condition) for vector in of_question]
            for of_question, question in zip(zip(*searches, strict=True), questions, strict=True)
        ]
        self._texts = [AskedText(each.text, each.own, each.condition) for each in questions]
        self._predictions = None if projection is None else predict(projection, vectors)

    def gather(self) -> None:
        """The three rounds."""
        near = self._first_round()
        self._second_round(near)
        in_play = [self._in_play(i, of_question) for i, of_question in enumerate(near)]
        self._third_round(in_play)

    def _first_round(self) -> list[list[Merged]]:
        """The nearest rows of each question, by each search."""
        index, questions = self._index, self._questions
        queries = list(dict.fromkeys(query for each in self._queries for query in each))
        count = Count(tuple(dict.fromkeys(q.condition for q in questions if q.condition is not None)))
        own = list(dict.fromkeys(q.own for q in questions if q.own is not None))
        terms = index.words.unread([question.text for question in questions])
        asked = Stand(), count, Find(ids_of(own)), CountHolding(joined(terms.values()))
        given = index.conversation.all(*asked, request(queries, self._k, NEIGHBOURS))
        index.take_standings(by_slice(Standing, given, 0))
        index.take_counts(count, list(by_slice(Counts, given, 1).values()))
        index.take_found(own, by_slice(Descriptions, given, 2))
        index.words.take_holding(terms, list(by_slice(Holding, given, 3).values()))
        wanted = [self._wanted(query) for query in queries]
        found = index.nearest.take(queries, by_slice(Near, given, 4), wanted)
        of_query = dict(zip(queries, found, strict=True))
        return [[of_query[query] for query in each] for each in self._queries]

    def _wanted(self, query: Query) -> int:
        """How many rows the rule takes of this search: all that may answer, if they are so few."""
        return NEIGHBOURS if self._index.may_answer(query.condition) <= NEIGHBOURS else self._k

    def _second_round(self, near: Sequence[Sequence[Merged]]) -> None:
        index, slices = self._index, self._index.conversation.slices
        every = [each for of_question in near for each in of_question]
        slice_of = np.concatenate([each.slices for each in every])
        unmet = index.rows.unmet(slice_of, np.concatenate([each.numbers for each in every]))
        scored = {number: [_numbers_in(number, each) for each in near] for number in slices}
        asked = {
            number: (
                Describe(unmet.get(number, NO_ROWS)),
                index.words.request(self._texts, RARE, scored[number]),
            )
            for number in slices
        }
        given = index.conversation.each(asked)
        for number, described in by_slice(Descriptions, given, 0).items():
            index.rows.add(number, described)
        index.words.take(self._texts, RARE, by_slice(NearByWords, given, 1), scored)

    def _in_play(self, place: int, near: Sequence[Merged]) -> Integers:
        """The rows of one question, the nearest first: some may be named twice."""
        index, question = self._index, self._questions[place]
        rows = [index.rows.of(each.slices, each.numbers) for each in near]
        rare, _ = index.words.search(self._texts[place], RARE)
        own = None if question.own is None else index.find(question.own)
        return np.concatenate([*rows, rare, NO_ROWS if own is None else np.array([own])])

    def _third_round(self, in_play: Sequence[Integers]) -> None:
        index, rows = self._index, self._index.rows
        every = _by_rank(in_play)
        vectors, texts = rows.without_vector(every), rows.without_text(every)
        predictions = self._wanted_predictions(in_play)
        teach = index.teaching.request(np.unique(rows.columns.answers[every]), predictions)
        nothing, most_bytes = NO_ROWS, TEXT_BYTES * len(in_play)
        asked = {
            number: (
                teach,
                rows.read_vectors(vectors.get(number, nothing)),
                rows.read_texts(texts.get(number, nothing), most_bytes),
            )
            for number in index.conversation.slices
        }
        given = index.conversation.each(asked)
        for number, of_slice in by_slice(VectorsOf, given, 1).items():
            rows.take_vectors(vectors.get(number, nothing), of_slice)
        for number, of_slice_texts in by_slice(TextsOf, given, 2).items():
            rows.take_texts(texts.get(number, nothing), of_slice_texts)
        index.teaching.take(teach, predictions, by_slice(Taught, given, 0))

    def _wanted_predictions(self, in_play: Sequence[Integers]) -> list[Prediction]:
        if self._predictions is None:
            return []
        answers = self._index.rows.columns.answers
        pairs = zip(self._predictions, in_play, strict=True)
        return [Prediction(vector, np.unique(answers[rows])) for vector, rows in pairs]


def _numbers_in(number: int, near: Sequence[Merged]) -> Integers:
    """The rows of a slice that are near a question, each once."""
    return np.unique(np.concatenate([each.numbers[each.slices == number] for each in near]))


def _by_rank(in_play: Sequence[Integers]) -> Integers:
    """All rows of all questions, each once: first the first of each question, then the second."""
    ranks = np.concatenate([np.arange(len(rows)) for rows in in_play])
    rows = np.concatenate(in_play)[np.argsort(ranks, kind="stable")]
    _, first = np.unique(rows, return_index=True)
    return rows[np.sort(first)]
