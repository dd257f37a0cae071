"""`hurnet list`: pages, filters and answers of a context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
import pytest

from hurnet_stream.core.stored.entries import Entry
from hurnet_stream.operations.meeting import meets
from hurnet_stream.terminal import listing
from hurnet_stream.terminal.listing import Listed, Wanted, described, filter_of, row

ENTRIES = [
    (offset % 3, Entry(offset, offset, "c", f"text {offset}", f"answer {offset % 2}", {"n": str(offset)}))
    for offset in range(20)
]


def newest(before: Mapping[int, int], most: int) -> list[tuple[int, Entry]]:
    found = [(p, e) for p, e in reversed(ENTRIES) if e.offset < before.get(p, 1_000)]
    return found[:most]


@pytest.mark.parametrize("page", [1, 3, 20, 500])
def test_pages_join_and_a_list_goes_on_where_one_ended(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", page)
    listed = Listed(newest, Wanted())
    reading = iter(listed)
    first = [next(reading) for _ in range(7)]
    rest = list(Listed(newest, Wanted(), dict(listed.before)))
    assert first + rest == list(reversed(ENTRIES))


def test_only_what_is_wanted_is_listed_and_counted() -> None:
    chosen = filter_of({"key": "n", "at_least": 10})
    assert [e.offset for _, e in Listed(newest, Wanted("answer 1", chosen))] == [19, 17, 15, 13, 11]
    assert Listed(newest, Wanted(None, chosen)).answers() == [("answer 0", 5), ("answer 1", 5)]


def test_an_entry_is_told_with_all_that_it_has() -> None:
    refuting = Entry(7, 1_000, "c", "hi", "no", {"b": "2", "a": "1"}, copies=-2)
    assert described("1/7", refuting) == {
        "entry": "1/7",
        "context": "c",
        "text": "hi",
        "answer": "no",
        "refutes": True,
        "weight": 2,
        "metadata": {"b": "2", "a": "1"},
        "written": "1970-01-01T00:00:01+00:00",
    }
    assert row("1/7", refuting) == ("1/7", "1970-01-01 00:00:01", "hi", "not: no", "2", "a=1, b=2")
    assert row("0/0", Entry(1, 0, "c", "alone"))[3] == ""


@pytest.mark.parametrize(
    ("condition", "met", "unmet"),
    [
        ({"key": "k", "is": "a"}, [{"k": "a"}], [{"k": "A"}, {}, {"x": "a"}]),
        ({"key": "k", "in": ["a", "b"]}, [{"k": "b"}], [{"k": "c"}, {}]),
        ({"key": "k", "exists": True}, [{"k": ""}], [{}]),
        ({"key": "k", "exists": False}, [{}], [{"k": ""}]),
        (
            {"key": "k", "at_least": 10, "below": 20},
            [{"k": "10"}, {"k": "1.9e1"}],
            [{"k": "20"}, {"k": "x"}, {}],
        ),
        ({"key": "k", "above": 10, "at_most": 20}, [{"k": "20"}], [{"k": "10"}, {"k": "nan"}, {"k": " 15"}]),
        ({"key": "k", "at_least": "2026-01"}, [{"k": "2026-11-28"}], [{"k": "2025-12"}, {}]),
        ({"not": {"key": "k", "below": 5}}, [{}, {"k": "x"}, {"k": "5"}], [{"k": "4"}]),
        ({"or": [{"key": "k", "is": "a"}, {"key": "l", "is": "b"}]}, [{"l": "b"}], [{"l": "a"}]),
        ({"and": [{"key": "k", "is": "a"}, {"key": "l", "is": "b"}]}, [{"k": "a", "l": "b"}], [{"k": "a"}]),
    ],
)
def test_metadata_meet_a_filter_or_not(
    condition: dict[str, Any], met: list[dict[str, str]], unmet: list[dict[str, str]]
) -> None:
    read = filter_of(condition)
    assert read is not None
    assert all(meets(metadata, read) for metadata in met)
    assert not any(meets(metadata, read) for metadata in unmet)


def test_a_wrong_filter_is_a_usage_error_that_names_the_place() -> None:
    with pytest.raises(click.UsageError, match=r"filter.*is no value|filter"):
        filter_of({"and": [{"key": "k", "is": None}]})
