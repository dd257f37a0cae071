"""A conversation with slices: few rounds, slices that move on or go away, and requests that make no sense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hurnet_stream.core.grid import snap
from hurnet_stream.core.index.attributes import TooCostly
from hurnet_stream.core.index.conditions import Between, Condition, OneOf
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.rule.gathering import Question, gathered
from hurnet_stream.core.rule.halves import undivided
from hurnet_stream.core.rule.rule import nearest, ranked
from hurnet_stream.core.slices import slice_index
from hurnet_stream.core.slices.columns import NOBODY
from hurnet_stream.core.slices.conversation import Away, Moved
from hurnet_stream.core.slices.gathered import GatheredIndex
from hurnet_stream.core.slices.messages import (
    Asked,
    AskTaught,
    Count,
    CountHolding,
    Describe,
    ReadTexts,
    ReadVectors,
    Request,
    Sample,
    Search,
    SearchWords,
    SumUp,
    TextsOf,
)
from hurnet_stream.core.slices.slice_index import MOST_ROWS, SliceIndex, State
from hurnet_stream.core.stored.entries import Entry
from tests.slices import Slices

D = 8
HALVES = undivided(D)
PROJECTION = np.eye(D)


def vectors(n: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.int16]]:
    return snap(np.random.default_rng(seed).normal(size=(n, D)))


def index_of(shard: int, answers: list[str], text: str = "lamp on") -> ContextIndex:
    index = ContextIndex(D)
    entries = [Entry(i, 0, "c", f"{text} {i}", answer, {"n": str(i)}) for i, answer in enumerate(answers)]
    index.append(shard, entries, vectors(len(answers), shard))
    return index


def questions(n: int = 3) -> list[Question]:
    return [Question("the lamp", vector) for vector in vectors(n, 7)]


def answer(index: GatheredIndex, asked: list[Question], top: int = 1) -> list[list[str]]:
    near = nearest(np.stack([question.vector for question in asked]), index, PROJECTION)
    return [[c.answer for c in r.top(top)] for r in ranked([q.text for q in asked], near, index)]


def test_three_rounds_bring_all_that_is_looked_at_for_all_questions() -> None:
    slices = Slices([index_of(shard, [f"a{i % 9}" for i in range(300)]) for shard in range(3)])
    asked = questions(20)
    index = gathered(slices.conversation(), asked, HALVES, PROJECTION)
    assert slices.rounds == 4  # 34 rows of each slice teach each answer: together they are MANY
    answer(index, asked)
    assert [index.text(row) for row in range(len(index.rows))]
    assert slices.rounds == 4
    slices = Slices([index_of(shard, [f"a{i}" for i in range(300)]) for shard in range(3)])
    index = gathered(slices.conversation(), asked, HALVES, PROJECTION)
    answer(index, asked)
    assert slices.rounds == 3


def test_long_texts_come_when_they_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hurnet_stream.core.rule.gathering.TEXT_BYTES", 2_000)
    monkeypatch.setattr("hurnet_stream.core.slices.rows.TEXT_BYTES", 3_000)
    slices = Slices([index_of(shard, ["x", "y"] * 20, text="long " * 90) for shard in range(2)])
    index = gathered(slices.conversation(), questions(), HALVES)
    before = slices.rounds
    texts = index.texts(np.arange(80))
    assert slices.rounds > before
    assert sorted(texts) == sorted(2 * [f"{'long ' * 90} {i}" for i in range(40)])


def test_the_portions_of_many_questions_give_what_one_portion_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = Slices([index_of(shard, [f"a{i % 9}" for i in range(300)]) for shard in range(2)])
    asked = questions(7)
    expected = answer(gathered(slices.conversation(), asked, HALVES, PROJECTION), asked, 9)
    monkeypatch.setattr("hurnet_stream.core.rule.gathering.PORTION_BYTES", 2 * 320 * 2 * D)
    assert answer(gathered(slices.conversation(), asked, HALVES, PROJECTION), asked, 9) == expected


def test_a_question_that_is_asked_twice_at_once_is_answered_as_if_it_were_asked_once() -> None:
    slices = Slices([index_of(shard, [f"a{i % 9}" for i in range(30)]) for shard in range(2)])
    (asked,) = questions(1)
    twice = gathered(slices.conversation(), [asked, asked], HALVES, PROJECTION)
    once = gathered(slices.conversation(), [asked], HALVES, PROJECTION)
    near = [nearest(asked.vector[None], index, PROJECTION) for index in (twice, once)]
    rows = [each[0].rows for each in near]
    predicted = [each[0].predict for each in near]
    assert predicted[0] is not None
    assert predicted[1] is not None
    assert predicted[0](rows[0]).tolist() == predicted[1](rows[1]).tolist()


def test_a_slice_whose_rows_have_changed_ends_the_conversation() -> None:
    slices = Slices([index_of(shard, ["x", "y"]) for shard in range(2)])

    def change(round: int) -> None:
        if round == 2:
            slices.moved = {1: 1}

    slices.before_round = change
    with pytest.raises(Moved, match="slice 1: rows have come or gone"):
        gathered(slices.conversation(), questions(), HALVES)


def test_a_slice_that_goes_away_in_the_middle_ends_the_conversation() -> None:
    slices = Slices([index_of(shard, ["x", "y"]) for shard in range(2)])
    slices.before_round = lambda round: slices.away.update({0} if round == 3 else ())
    with pytest.raises(Away, match="slice 0"):
        gathered(slices.conversation(), questions(), HALVES)


def test_what_is_left_answers_without_a_slice_that_was_away_from_the_start() -> None:
    slices = Slices([index_of(0, ["x"] * 5), index_of(1, ["y"] * 5), index_of(2, ["z"] * 5)], away={1})
    conversation = slices.conversation()
    index = gathered(conversation, questions(), HALVES)
    assert conversation.missing == [1]
    assert len(index) == 10
    assert {number: s.watermarks for number, s in index.standings.items()} == {0: {0: 1}, 2: {2: 1}}
    assert {answer for top in answer(index, questions(), 5) for answer in top} == {"x", "z"}


def test_without_any_slice_there_is_nothing_to_say() -> None:
    slices = Slices([index_of(0, ["x"])], away={0})
    with pytest.raises(Away, match="no slice replies"):
        gathered(slices.conversation(), questions(), HALVES)


def test_the_end_of_a_conversation_is_said_once() -> None:
    slices = Slices([index_of(0, ["x"]), index_of(1, ["y"])], away={1})
    conversation = slices.conversation()
    gathered(conversation, questions(), HALVES)
    assert not slices.closed
    for _ in range(2):
        conversation.close()
        assert slices.closed == [0]


def test_a_filter_that_is_too_costly_for_one_slice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = Slices([index_of(0, ["x"] * 3), index_of(1, ["y"] * 30)])
    filters: list[Condition] = [Between("n", at_least=2.0), OneOf("n", ("2",))]
    monkeypatch.setattr("hurnet_stream.core.index.attributes.MOST_READ", 40)
    asked = [
        replace(each, condition=condition) for each, condition in zip(questions(2), filters, strict=True)
    ]
    index = gathered(slices.conversation(), asked, HALVES)
    assert index.passing(filters[1]).count == 2
    with pytest.raises(TooCostly, match="40 values"):
        index.passing(filters[0])


def test_a_slice_remembers_as_many_filters_as_a_turn_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes one takes as much memory as a tenth of the rows, and nothing may change for days."""
    monkeypatch.setattr(slice_index, "KNOWN_FILTERS", 3)
    asked = SliceIndex(index_of(0, ["x"] * 30), State("s"))
    for i in range(20):
        asked.answer(Request("c", "c", "", (Count((OneOf("n", (str(i),)),)),)))
        assert len(asked._known) == min(3, i + 1)


NO_ONE = np.full((1, 2), NOBODY)
ROW, NO_ROW, STARTS = np.array([0]), np.array([], np.int64), np.array([0, 0])
TERMS, MANY_TERMS = np.ones((1, 4), np.uint64), np.ones((65, 4), np.uint64)


def words(
    terms: Any = TERMS, k: int = 3, scored: Any = NO_ROW, longest: int = 9, entries: int = 9
) -> SearchWords:
    most, starts = np.full(len(terms), 9), np.array([0, len(terms)])
    return SearchWords(
        terms, most, starts, entries, 99, longest, k, NO_ONE, scored, np.array([0, len(scored)])
    )


@pytest.mark.parametrize(
    "asked",
    [
        Describe(np.array([5])),
        Describe(np.array([-1])),
        Describe(np.array([2])),
        Describe(np.array([2**40])),
        ReadVectors(np.array([3])),
        ReadTexts(np.array([1, 2]), 100),
        Search(vectors(1)[:, :7], 1, 0, NO_ONE),
        Search(np.full((1, D), 2**14 + 1, np.int16), 1, 0, NO_ONE),
        Search(vectors(1), MOST_ROWS + 1, 0, NO_ONE),
        Search(vectors(1), -1, 0, NO_ONE),
        Sample(MOST_ROWS + 1),
        words(k=-1),
        words(MANY_TERMS),
        words(scored=np.array([7])),
        words(longest=1),
        words(longest=2**40),
        words(entries=0),
        AskTaught(("x",), np.ones((1, D + 1)), ROW, np.array([0, 1]), 0, 0),
        AskTaught(("x",), np.ones((1, D)), ROW, np.array([0, 1]), 5, 0),
        SumUp(("x",), 5, 0),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(asked: Asked) -> None:
    index = index_of(0, ["x", "y", "z"])
    index.remove(0, 2)
    with pytest.raises(ValueError, match=r"."):
        SliceIndex(index, State("s")).answer(Request("n", "c", "s", (asked,)))


def test_a_message_that_does_not_fit_can_not_be_made() -> None:
    makers: list[Callable[[], Asked]] = [
        lambda: Search(vectors(2), 1, 0, NO_ONE),
        lambda: Search(vectors(1), 1, 0, np.full((1, 3), NOBODY)),
        lambda: CountHolding(np.ones((1, 3), np.uint64)),
        lambda: SearchWords(TERMS, ROW, np.array([0, 2]), 1, 1, 1, 1, NO_ONE, NO_ROW, STARTS),
        lambda: words(np.ones((1, 5), np.uint64)),
    ]
    for make in makers:
        with pytest.raises(ValueError, match=r"."):
            make()


def test_an_empty_slice_has_nothing_and_says_so() -> None:
    slices = Slices([ContextIndex(D), index_of(1, ["x", "y"]), ContextIndex(D)])
    assert answer(gathered(slices.conversation(), questions(), HALVES, PROJECTION), questions(), 3)
    empty = Slices([ContextIndex(D)])
    assert answer(gathered(empty.conversation(), questions(1), HALVES, PROJECTION), questions(1)) == [[]]


def test_texts_come_as_far_as_they_fit_and_at_least_one() -> None:
    index = index_of(0, ["x"] * 9)
    rows = np.arange(9)
    (one,) = SliceIndex(index, State("s")).answer(Request("n", "c", "", (ReadTexts(rows, 0),))).given
    assert isinstance(one, TextsOf)
    assert one.texts == ("lamp on 0",)
    (some,) = SliceIndex(index, State("s")).answer(Request("n", "c", "", (ReadTexts(rows, 60),))).given
    assert isinstance(some, TextsOf)
    assert 1 < len(some.texts) < 9
    assert some.metadata[1] == {"n": "1"}
