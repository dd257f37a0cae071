"""Questions with filters, as clients ask them: what answers, what the receipt says, and that no filter stops
or slows a responder."""

from __future__ import annotations

import json
import math
import time

import pytest

from hurnet_schemas import Answer, InvalidMessage, Query, Receipt
from hurnet_schemas.filter import MAX_DEPTH
from hurnet_stream.core.index import attributes
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.ports import Appended
from hurnet_stream.responder.filtering import passing_of
from tests.worlds.responder import EMBEDDER, World, only, turn

TEXTS = [
    (
        "restart the router to get online again",
        "router-restart",
        {"product": "router", "lang": "en", "price": "49"},
    ),
    ("reinicie o roteador", "router-restart", {"product": "router", "lang": "pt", "price": "49.50"}),
    (
        "restart the phone to get online again",
        "phone-restart",
        {"product": "phone", "lang": "en", "price": "199"},
    ),
    ("restart the tablet to get online again", "tablet-restart", {"product": "tablet", "lang": "en"}),
    ("the shop is open on Monday", "hours", {}),
]
PHONE = {"key": "product", "is": "phone"}


def taught(*texts: tuple[str, str, dict[str, str]], copies: int = 1) -> World:
    world = World()
    add(world, *(texts or TEXTS), copies=copies)
    return world


def add(world: World, *texts: tuple[str, str, dict[str, str]], copies: int = 1) -> None:
    watermark = world.store.state(0).watermark
    entries = [
        Entry(watermark + 1 + i, 0, "default", text, answer, metadata, copies)
        for i, (text, answer, metadata) in enumerate(texts)
    ]
    batch = Batch(0, watermark + len(entries), entries, EMBEDDER.embed([text for text, _, _ in texts]))
    assert isinstance(world.store.append(batch, watermark), Appended)


def asking(condition: object, text: str = "restart the router", **fields: object) -> bytes:
    return json.dumps({"text": text, "filter": condition, **fields}).encode()


def answers(world: World, *queries: bytes) -> list[Answer]:
    world.ask(*queries)
    turn(world.responder())
    return world.answers()


def receipt(answer: Answer) -> Receipt:
    assert answer.receipt is not None
    return answer.receipt


@pytest.mark.parametrize(
    ("condition", "answer", "rows"),
    [
        (None, "router-restart", 5),
        (PHONE, "phone-restart", 1),
        ({"key": "product", "in": ["phone", "tablet"]}, None, 2),
        ({"not": {"key": "product", "is": "router"}}, None, 3),
        ({"key": "price", "at_least": 100}, "phone-restart", 1),
        ({"key": "price", "above": 49, "below": 100}, "router-restart", 1),
        ({"key": "price", "at_least": "2"}, "router-restart", 2),
        ({"and": [{"key": "lang", "is": "en"}, {"key": "price", "exists": False}]}, "tablet-restart", 1),
        ({"or": [PHONE, {"key": "lang", "is": "pt"}]}, None, 2),
        ({"key": "product", "exists": True}, "router-restart", 4),
    ],
)
def test_only_entries_that_meet_the_filter_answer(condition: object, answer: str | None, rows: int) -> None:
    answered = only(answers(taught(), asking(condition, neighbours=50, top_k=9)))
    assert receipt(answered).rows == rows
    assert receipt(answered).rows_of_context == 5
    assert len(answered.neighbours) == rows
    assert answer in (None, answered.candidates[0].answer)
    by_entry = {neighbour.entry.offset: neighbour.metadata for neighbour in answered.neighbours}
    assert all(by_entry[candidate.entry.offset] == candidate.metadata for candidate in answered.candidates)
    similarities = [neighbour.similarity for neighbour in answered.neighbours]
    assert similarities == sorted(similarities, reverse=True)


def test_the_receipt_has_the_filter_in_its_one_form() -> None:
    given = {"is": "phone", "key": "product"}
    answered = only(answers(taught(), asking(given)))
    assert receipt(answered).filter == '{"is":"phone","key":"product"}'
    assert only(answers(taught(), asking(None))).receipt.filter is None  # type: ignore[union-attr]


def test_neighbours_are_the_nearest_entries_as_many_as_are_asked_for() -> None:
    world = taught()
    add(world, ("restart the router", "router-restart", {"said": "wrong"}), copies=-2)
    near = only(answers(world, Query(text="restart the router to get online again", neighbours=2).encode()))
    assert [n.text for n in near.neighbours] == [TEXTS[0][0], TEXTS[3][0]]
    assert near.neighbours[0].similarity == pytest.approx(1.0)
    assert near.neighbours[0].answer == "router-restart"
    assert not only(answers(taught(), Query(text="restart").encode())).neighbours


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ({"key": "product", "is": "car"}, "none of the 5 entries of context 'default' meets the filter"),
        ({"key": "colour", "is": "red"}, "meets the filter; no entry has 'colour' in its metadata"),
        ({"and": [PHONE, {"not": PHONE}]}, "none of the 5 entries"),
        ({"key": "price", "at_least": 20, "below": 10}, "none of the 5 entries"),
    ],
)
def test_a_filter_that_nothing_passes_is_abstained_from_and_says_so(condition: object, said: str) -> None:
    answered = only(answers(taught(), asking(condition, neighbours=3)))
    assert answered.outcome == "abstained"
    assert said in (answered.reason or "")
    assert not answered.candidates
    assert not answered.neighbours
    assert receipt(answered).rows == 0
    assert receipt(answered).rows_of_context == 5


def test_in_an_empty_context_the_reason_is_that() -> None:
    answered = only(answers(taught(), asking(PHONE, context="other")))
    assert answered.reason == "empty context 'other'"


def test_what_refutes_an_answer_counts_where_it_passes_the_filter() -> None:
    """A correction that carries the metadata of the entry takes part; one that does not is not seen."""
    english = {"key": "lang", "is": "en"}
    before = only(answers(taught(), asking(english))).candidates[0]
    for metadata, seen in (({"lang": "en"}, True), ({"lang": "pt"}, False), ({}, False)):
        world = taught()
        add(world, ("restart the router", "router-restart", metadata), copies=-2)
        (after,) = [
            c
            for c in only(answers(world, asking(english, top_k=9))).candidates
            if c.answer == "router-restart"
        ]
        assert (after.scores.refuted is not None) == seen
        assert (after.scores.meaning != before.scores.meaning) == seen
    only_refuted, world = {"key": "lang", "is": "de"}, taught()
    add(world, ("restart the router", "router-restart", {"lang": "de"}), copies=-2)
    answered = only(answers(world, asking(only_refuted)))
    assert answered.reason == "none of the 1 entries that meet the filter supports an answer"


def test_questions_of_one_turn_keep_their_own_filters() -> None:
    conditions = [PHONE, None, {"key": "product", "is": "router"}, {"key": "product", "is": "car"}, PHONE]
    world = taught()
    together = answers(world, *(asking(c, id=str(i)) for i, c in enumerate(conditions)))
    for i, condition in enumerate(conditions):
        alone = only(answers(taught(), asking(condition, id=str(i))))
        same = {"receipt": None}
        assert together[i].model_copy(update=same) == alone.model_copy(update=same)


def deep(depth: int) -> str:
    return '{"not":' * depth + json.dumps(PHONE) + "}" * depth


HOSTILE = [
    deep(MAX_DEPTH + 1),
    deep(100),
    deep(10_000),
    json.dumps({"and": [PHONE] * 10_000}),
    json.dumps({"key": "product", "in": [str(i) for i in range(100_000)]}),
    '{"key": "price", "at_least": NaN}',
    '{"key": "price", "at_least": Infinity}',
    '{"key": "price", "at_least": 1e999}',
    '{"key": "price", "at_least": ' + "9" * 5_000 + "}",
    '{"key": "price", "is": 49}',
    '{"key": "product", "is": "\\ud800"}',
    '{"key": "\\u202eproduct", "is": "x"}',
    '{"key": "product", "is": "x", "is_not": "y"}',
    "[]",
    '"product=phone"',
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_filter_is_rejected_and_the_next_question_answered(hostile: str) -> None:
    world, began = taught(), time.process_time()
    raw = b'{"text": "restart the router", "filter": ' + hostile.encode() + b"}"
    with pytest.raises(InvalidMessage):
        Query.decode(raw)
    refused, answered = answers(world, raw, asking(PHONE))
    assert refused.outcome == "rejected"
    assert answered.candidates[0].answer == "phone-restart"
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "condition",
    [
        {"key": "product", "in": [f"{i}" for i in range(256)]},
        {"or": [{"key": f"k{i}", "below": float(i)} for i in range(63)]},
        {"or": [{"key": "product", "at_least": "\U0010ffff" * 200} for _ in range(20)]},
        {"key": "product", "is": "\u202e\u05d0\u200f"},
        json.loads(deep(MAX_DEPTH - 1)),
        {"key": "price", "at_least": 2**400},
        {"key": "price", "is": "49"},
    ],
)
def test_a_strange_filter_is_answered_like_any(condition: object) -> None:
    first, second = answers(taught(), asking(condition), asking(PHONE))
    assert first.outcome in ("answered", "abstained")
    assert second.candidates[0].answer == "phone-restart"


def test_a_filter_that_would_take_too_long_is_rejected_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "MOST_READ", 10)
    costly = {"or": [{"key": "price", "at_least": i} for i in range(5)]}
    refused, answered, free = answers(
        taught(), asking(costly), asking({"key": "product", "is": "phone"}), asking(None)
    )
    assert refused.outcome == "rejected"
    assert "needs more than 10 values to be read" in (refused.reason or "")
    assert answered.candidates[0].answer == "phone-restart"
    assert free.candidates[0].answer == "router-restart"


def test_filters_take_no_more_of_a_turn_than_there_is_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may take a second, and there may be a thousand questions: the others wait for the next turn."""
    chosen = [PHONE, PHONE, None, {"key": "lang", "is": "pt"}, PHONE]
    queries = [Query(text="hi", filter=each) for each in chosen]
    index = ContextIndex(1)
    within, _ = passing_of(queries, index, until=-math.inf)
    assert len(within) == 3  # the first one's filter is known then
    world, whole = taught(), answers(taught(), *(asking(c, id=str(i)) for i, c in enumerate(chosen)))
    monkeypatch.setattr("hurnet_stream.responder.replies.PORTION_S", -1)
    world.ask(*(asking(c, id=str(i)) for i, c in enumerate(chosen)))
    while len(world.answers()) < len(chosen):
        turn(world.responder())
    same = {"receipt": None}
    assert [a.model_copy(update=same) for a in world.answers()] == [a.model_copy(update=same) for a in whole]
