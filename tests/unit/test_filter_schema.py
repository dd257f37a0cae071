"""Filters on the wire: what is read, and that all else is refused with its place and what would be right."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_schemas import Feedback, InvalidMessage, Query
from hurnet_schemas.base import MAX_METADATA_ITEMS
from hurnet_schemas.filter import MAX_CONDITIONS, MAX_DEPTH, MAX_SET, Or, canonical
from hurnet_stream.feedback.lessons import lesson

YES: dict[str, object] = {"key": "a", "is": "x"}


def asked(condition: object) -> Query:
    return Query.decode(json.dumps({"text": "hi", "filter": condition}).encode())


def nested(depth: int) -> dict[str, object]:
    condition: dict[str, object] = YES
    for _ in range(depth - 1):
        condition = {"not": condition}
    return condition


@pytest.mark.parametrize(
    ("condition", "json_of_it"),
    [
        ({"key": "a", "is": ""}, '{"is":"","key":"a"}'),
        ({"is": "\u202e\u05d0\U0001f600", "key": "a"}, '{"is":"\u202e\u05d0\U0001f600","key":"a"}'),
        ({"key": "a", "in": ["y", "x", "y"]}, '{"in":["x","y"],"key":"a"}'),
        ({"key": "a", "at_least": 10, "below": 2.5e1}, '{"at_least":10,"below":25.0,"key":"a"}'),
        ({"key": "a", "above": 2**70, "at_most": None}, '{"above":1180591620717411303424,"key":"a"}'),
        ({"key": "a", "above": "10"}, '{"above":"10","key":"a"}'),
        ({"key": "a", "exists": False}, '{"exists":false,"key":"a"}'),
        ({"or": [YES]}, '{"or":[{"is":"x","key":"a"}]}'),
        ({"not": {"and": [YES, YES]}}, '{"not":{"and":[{"is":"x","key":"a"},{"is":"x","key":"a"}]}}'),
        (nested(MAX_DEPTH), '{"not":' * (MAX_DEPTH - 1) + '{"is":"x","key":"a"}' + "}" * (MAX_DEPTH - 1)),
    ],
)
def test_a_filter_has_one_json(condition: object, json_of_it: str) -> None:
    query = asked(condition)
    assert query.filter is not None
    assert canonical(query.filter) == json_of_it
    assert Query.decode(query.encode()) == query == asked(json.loads(json_of_it))


REFUSED: list[tuple[object, str]] = [
    ("x", "filter: .*an object, not str"),
    ([YES], "filter: .*an object, not list"),
    (True, "filter: .*an object, not bool"),
    ({}, "filter: .*no operator, but nothing"),
    ({"key": "a"}, "filter: .*no operator, but key; there are is, in, at_least"),
    ({"key": "a", "equals": "x"}, "filter: .*no operator, but key, equals"),
    ({"key": "a", "is": "x", "in": ["y"]}, "filter: .*is and in; join conditions"),
    ({"key": "a", "is": "x", "why": 1}, "filter.why: "),
    ({"is": "x"}, "filter.key: Field required"),
    ({"key": "a b", "is": "x"}, "filter.key: "),
    ({"key": "a\n", "is": "x"}, "filter.key: "),
    ({"key": "a" * 65, "is": "x"}, "filter.key: "),
    ({"key": "a", "is": 5}, "filter.is: .*in quotes, or compare numbers by at_least"),
    ({"key": "a", "is": True}, "filter.is: .*in quotes"),
    ({"key": "a", "is": None}, 'filter.is: .*"exists": false'),
    ({"key": "a", "is": "\x00"}, r"filter.is: .*U\+0000"),
    ({"key": "a", "is": "x" * 1025}, "filter.is: .*1024"),
    ({"key": "a", "in": []}, "filter.in: .*at least 1"),
    ({"key": "a", "in": "xyz"}, "filter.in: .*list"),
    ({"key": "a", "in": ["x", 3]}, "filter.in.1: .*in quotes"),
    ({"key": "a", "in": ["x"] * (MAX_SET + 1)}, "filter.in: .*at most 256"),
    ({"key": "a", "at_least": None}, "filter: .*no bound"),
    ({"key": "a", "at_least": True}, "filter.at_least: .*a number or a text"),
    ({"key": "a", "at_least": [1]}, "filter.at_least: .*a number or a text"),
    ({"key": "a", "at_least": 10**400}, "filter.at_least: .*finite"),
    ({"key": "a", "below": float("nan")}, "filter.below: .*finite"),
    ({"key": "a", "below": float("-inf")}, "filter.below: .*finite"),
    ({"key": "a", "above": "\x07"}, r"filter.above: .*U\+0007"),
    ({"key": "a", "at_least": 1, "below": "2"}, "filter: .*one bound is a number and another one a text"),
    ({"key": "a", "exists": "true"}, "filter.exists: .*boolean"),
    ({"key": "a", "exists": 1}, "filter.exists: .*boolean"),
    ({"and": []}, "filter.and: .*at least 1"),
    ({"and": YES}, "filter.and: .*list"),
    ({"or": [YES, {"not": {"key": "a", "is": 5}}]}, "filter.or.1.not.is: .*in quotes"),
    ({"not": [YES]}, "filter.not: .*an object, not list"),
    ({"and": [YES] * MAX_CONDITIONS}, "filter: .*more than 64 conditions"),
    (nested(MAX_DEPTH + 1), "filter: .*more than 8 deep"),
    (nested(150), "filter: .*more than 8 deep"),
    ({"and": [{"key": "a", "in": [f"{i:0200}" for i in range(256)]}] * 3}, "filter: .*characters as JSON"),
    ({"key": "a", "is": "x"} | {f"f{i}": 0 for i in range(10_000)}, "filter: .*10002 fields"),
]


@pytest.mark.parametrize(("condition", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_filter_is_refused_at_its_place(condition: object, said: str) -> None:
    began = time.process_time()
    with pytest.raises(InvalidMessage, match=said):
        asked(condition)
    assert time.process_time() - began < 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["key", "is", "in", "at_least", "below", "exists", "and", "or", "not", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_filter_or_is_refused(condition: object) -> None:
    with contextlib.suppress(InvalidMessage):
        assert (asked(condition).filter is None) == (condition is None)


def test_filters_that_were_read_can_be_joined_within_the_limits() -> None:
    half = asked({"and": [YES] * 40}).filter
    assert isinstance(Query(text="hi", filter=half).filter, type(half))
    with pytest.raises(ValueError, match="more than 64 conditions"):
        Query(text="hi", filter=Or.model_validate({"or": [half, half]}))


def test_what_feedback_teaches_carries_its_metadata() -> None:
    said = Feedback(question="hi", verdict="wrong", answer="hello", metadata={"lang": "en", "feedback": "me"})
    text = json.loads(lesson(said, "feedback/0/3", "texts")[1].value or b"")
    assert text["metadata"] == {"lang": "en", "feedback": "feedback/0/3"}


def test_metadata_of_feedback_leaves_room_for_its_coordinates() -> None:
    full = {f"k{i}": "v" for i in range(MAX_METADATA_ITEMS - 1)}
    said = Feedback(question="hi", verdict="wrong", answer="hello", metadata=full)
    assert lesson(said, "feedback/0/3", "texts")
    with pytest.raises(ValueError, match="at most 31 values beside feedback"):
        Feedback(question="hi", verdict="wrong", answer="hello", metadata=full | {"one": "more"})


@pytest.mark.parametrize("neighbours", [-1, 51, "x", 1.5])
def test_neighbours_are_bounded(neighbours: object) -> None:
    with pytest.raises(InvalidMessage, match="neighbours"):
        Query.decode(json.dumps({"text": "hi", "neighbours": neighbours}).encode())
