"""What all slices together teach: counts are added up, and predictions made as one index makes them.

    "on"     slice 0    slice 1    all
    rows     40         30         70: MANY or more, so its sum counts, B_a, which the slices add up
    "off"
    rows     2          1          3: what each of them adds, 0.1 0.7 and 0.2, in ascending order

An index decides between these two ways by how many rows it has, since both round differently. So the slices
are asked for what each row adds, and once it is known that they are MANY together, for the sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.teaching import MANY, scores_of
from hurnet_stream.core.slices.conversation import Conversation, by_slice
from hurnet_stream.core.slices.messages import AskTaught, Sums, SumUp, Taught
from hurnet_stream.core.slices.rows import NumberedStrings
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.stored.entries import starts_of

Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]

_UNKNOWN = -1


class Weighed(NamedTuple):
    """What rows add to the scores of some answers, under one prediction: the answers that are known (a,),
    and of each row (w,) its answer and what it adds."""

    answers: Integers
    of_row: Integers
    adds: Doubles


_NOTHING = Weighed(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


class Prediction(NamedTuple):
    """Px (d,) of one question, and the answers (n,) whose scores under it are wanted."""

    vector: Doubles
    answers: Integers


class GatheredTeaching:
    """What was said of the answers of one conversation."""

    def __init__(
        self, conversation: Conversation, answers: NumberedStrings, dimension: int, window: Window
    ) -> None:
        self._conversation = conversation
        self._answers = answers
        self._dimension = dimension
        self.window = window
        self._rows = np.empty(0, np.int64)  # by answer: how many rows teach it
        self._copies = np.empty(0, np.int64)  # by answer: the same with their copies
        self._totals: dict[int, Doubles] = {}  # by answer
        self._weighed: dict[bytes, Weighed] = {}  # by the bytes of a prediction

    def request(self, answers: Integers, predictions: Sequence[Prediction]) -> AskTaught:
        """Asks a slice how often it teaches these answers (n,) and those of the predictions."""
        asked = np.unique(np.concatenate([answers, *(each.answers for each in predictions)]))
        wanted = [self._without_total(each.answers) for each in predictions]
        vectors = [each.vector for each in predictions]
        return AskTaught(
            tuple(self._answers[number] for number in asked.tolist()),
            np.stack(vectors) if vectors else np.empty((0, self._dimension)),
            np.searchsorted(asked, np.concatenate([answers[:0], *wanted])),
            starts_of(np.array(list(map(len, wanted)), np.int64)),
            self.window.half_life_ms,
            self.window.now,
        )

    def _without_total(self, answers: Integers) -> Integers:
        return np.array([answer for answer in answers.tolist() if answer not in self._totals], np.int64)

    def take(self, asked: AskTaught, predictions: Sequence[Prediction], given: Mapping[int, Taught]) -> None:
        """The slices gave this. What is still missing, the sums of answers that many rows of all of them
        teach, is asked for."""
        answers = self._answers.number(asked.answers)
        self._take_counts(answers, list(given.values()))
        for prediction, (first, end) in zip(predictions, pairwise(asked.starts), strict=True):
            of_pairs = answers[asked.answer_of[first:end]]
            self._take_weighed(prediction.vector, of_pairs, slice(first, end), list(given.values()))
        self._sum_up(answers, np.unique(asked.answer_of), given)

    def _take_counts(self, answers: Integers, given: Sequence[Taught]) -> None:
        more = np.full(len(self._answers) - len(self._rows), _UNKNOWN)
        self._rows, self._copies = (np.concatenate([each, more]) for each in (self._rows, self._copies))
        self._rows[answers] = np.sum([each.rows for each in given], axis=0, dtype=np.int64)
        self._copies[answers] = np.sum([each.copies for each in given], axis=0, dtype=np.int64)

    def _take_weighed(
        self, prediction: Doubles, answers: Integers, pairs: slice, given: Sequence[Taught]
    ) -> None:
        """Each slice gave for these answers (p,), its `pairs`, what its rows add under one prediction."""
        known = self._weighed.get(prediction.tobytes(), _NOTHING)
        new = ~np.isin(answers, known.answers)  # the same question may be asked twice at once
        of_row, adds = [known.of_row], [known.adds]
        for each in given:
            starts = each.weighed_starts[pairs.start : pairs.stop + 1]
            of_row.append(np.repeat(answers[new], np.diff(starts)[new]))
            adds.append(each.weighed[starts[0] : starts[-1]][np.repeat(new, np.diff(starts))])
        all_known = np.concatenate([known.answers, answers[new]])
        weighed = Weighed(all_known, np.concatenate(of_row), np.concatenate(adds))
        self._weighed[prediction.tobytes()] = weighed

    def _sum_up(self, answers: Integers, asked: Integers, given: Mapping[int, Taught]) -> None:
        """Of the places among these answers (n,) that were asked for (m,), those that MANY rows of all slices
        teach get their sums."""
        many = [place for place in asked.tolist() if self._rows[answers[place]] >= MANY]
        totals = {place: np.zeros(self._dimension) for place in many}
        missing: dict[int, list[int]] = {}
        for number, each in given.items():
            summed = dict(zip(each.summed.tolist(), each.totals, strict=True))
            for place in many:
                if place in summed:
                    totals[place] += summed[place]
                elif each.rows[place]:
                    missing.setdefault(number, []).append(place)
        for number, sums in self._asked_for_sums(answers, missing).items():
            for place, total in zip(missing[number], sums.totals, strict=True):
                totals[place] += total
        self._totals.update((answers.item(place), total) for place, total in totals.items())

    def _asked_for_sums(self, answers: Integers, places: Mapping[int, Sequence[int]]) -> dict[int, Sums]:
        window = self.window.half_life_ms, self.window.now
        names = {n: tuple(self._answers[answers.item(place)] for place in each) for n, each in places.items()}
        asked = {n: (SumUp(each, *window),) for n, each in names.items()}
        return by_slice(Sums, self._conversation.each(asked))

    def copies(self, answers: Integers) -> Integers:
        """How many copies teach each answer (n,), over all slices."""
        known = answers < len(self._copies)
        if not known.all() or (self._copies[answers] == _UNKNOWN).any():
            self._ask(answers, [])
        return self._copies[answers]

    def scores(self, vector: Doubles, answers: Integers) -> Doubles:
        """⟨p, B_a⟩ of distinct answers (n,), p being `vector` (d,)."""
        known = self._weighed.get(vector.tobytes(), _NOTHING)
        missing = self._without_total(np.setdiff1d(answers, known.answers))
        if len(missing):
            self._ask(answers[:0], [Prediction(vector, missing)])
            known = self._weighed.get(vector.tobytes(), _NOTHING)
        kept = self._rows[answers] >= MANY
        totals = np.array([self._totals[a] for a in answers[kept].tolist()])
        places = np.full(len(self._answers), _UNKNOWN)
        places[answers[~kept]] = np.flatnonzero(~kept)
        of_row = places[known.of_row]
        wanted = of_row != _UNKNOWN
        return scores_of(of_row[wanted], known.adds[wanted], kept, totals, vector)

    def _ask(self, answers: Integers, predictions: Sequence[Prediction]) -> None:
        asked = self.request(answers, predictions)
        self.take(asked, predictions, by_slice(Taught, self._conversation.all(asked)))
