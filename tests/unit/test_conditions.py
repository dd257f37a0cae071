"""`--where` and `--filter`: what a person types becomes a filter, or is refused with what would be right."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_schemas import InvalidMessage, Query
from hurnet_stream.terminal.conditions import condition, joined

TYPED: list[tuple[str, dict[str, Any]]] = [
    ("lang=en", {"key": "lang", "is": "en"}),
    (" lang = en ", {"key": "lang", "is": "en"}),
    ("lang!=en", {"not": {"key": "lang", "is": "en"}}),
    ("lang in en, pt", {"key": "lang", "in": ["en", "pt"]}),
    ('city in "Bonn, DE", Rome', {"key": "city", "in": ["Bonn, DE", "Rome"]}),
    (r'note in "a \"b, c\"" ,"d', {"key": "note", "in": ['a "b, c"', '"d']}),
    ('note in "a" b,c', {"key": "note", "in": ['"a" b', "c"]}),
    ("price>=10", {"key": "price", "at_least": 10}),
    ("price>-1.5e3", {"key": "price", "above": -1500.0}),
    ("price <= .5", {"key": "price", "at_most": 0.5}),
    ("since<2026-11-28", {"key": "since", "below": "2026-11-28"}),
    ('version>="10"', {"key": "version", "at_least": "10"}),
    ("note==x", {"key": "note", "is": "=x"}),
    ("note=a=b", {"key": "note", "is": "a=b"}),
    ("note=", {"key": "note", "is": ""}),
    ('note=" kept "', {"key": "note", "is": " kept "}),
    ("city=دبي", {"key": "city", "is": "دبي"}),
    ("a.b-c_1 in x", {"key": "a.b-c_1", "in": ["x"]}),
]


@pytest.mark.parametrize(("typed", "meant"), TYPED, ids=[typed for typed, _ in TYPED])
def test_a_condition_is_what_it_looks_like_and_a_query_takes_it(typed: str, meant: dict[str, Any]) -> None:
    assert condition(typed) == meant
    Query.decode(json.dumps({"text": "hi", "filter": meant}).encode())


@pytest.mark.parametrize("typed", ["", "lang", "=en", "la ng=en", "in x", "<3", "ключ=1", "a" * 65 + "=1"])
def test_what_is_no_condition_is_refused_with_what_would_be_right(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="KEY=VALUE"):
        condition(typed)


def test_all_conditions_must_be_met() -> None:
    assert joined(None, []) is None
    assert joined('{"key": "a", "exists": true}', []) == {"key": "a", "exists": True}
    assert joined('{"key": "a", "exists": true}', ["b=1"]) == {
        "and": [{"key": "a", "exists": True}, {"key": "b", "is": "1"}]
    }


@pytest.mark.parametrize("given_filter", ["", "{", "[]", '"lang=en"', "[" * 100_000])
def test_a_filter_that_is_no_json_object_is_refused(given_filter: str) -> None:
    with pytest.raises(click.BadParameter):
        joined(given_filter, [])


@given(st.text())
def test_any_text_is_a_condition_or_refused(typed: str) -> None:
    with contextlib.suppress(click.BadParameter, InvalidMessage):
        assert Query.decode(json.dumps({"text": "hi", "filter": condition(typed)}).encode()).filter
