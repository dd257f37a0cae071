"""Long texts in chunks: nothing is lost, nothing is too long, and no text takes long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_schemas import InvalidMessage
from hurnet_schemas.base import MAX_TEXT
from hurnet_stream.core.places import CHUNKS_MOST
from hurnet_stream.readers.chunking import WINDOW, Chunking

RETURNS = (
    "# Returns\n\nYou have 30 days to send it back.\n\n"
    "We pay the postage. The money is on your account after a week."
)
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
BRAZIL = "\U0001f1e7\U0001f1f7"
PIECES = st.sampled_from(
    [
        *"aé漢ก #*`>|-_[]()<\n\t",
        *("\r\n", "\n\n", ". ", "word ", "- ", "# ", "```\n", "    ", FAMILY, BRAZIL, "\u202eשלום "),
        *("e\u0301", "हिन्दी ", "\u200b", "|a|b|\n|-|-|\n", "[a](b)", "&amp;", "\\", "$$", "~~", "[^1]: "),
    ]
)
TEXTS = st.lists(PIECES, max_size=300).map("".join)

HOSTILE = {
    "no space": "a" * 1_000_000,
    "emoji": FAMILY * 70_000,
    "flags": BRAZIL * 130_000,
    "right to left": "\u202eשלום עולם مرحبا " * 40_000,
    "Chinese": "漢字仮名交じり文" * 40_000,
    "Thai": "สวัสดีชาวโลก" * 28_000,
    "accents without end": "a" + "\u0301" * 500_000,
    "line ends": "a" + "\n" * 999_999,
    "growing gaps": "".join("a" + "\n" * gap for gap in range(1_400)),
    "brackets": "[" * 1_000_000,
    "quotes in quotes": "> " * 500_000,
    "fences": "`" * 1_000_000,
    "stars": "*a_ " * 250_000,
    "links": "[a](b" * 200_000,
    "lists in lists": "".join("  " * depth + "- a\n" for depth in range(1_000)),
    "tags": "<div>" * 200_000,
    "columns": "|a" * 250_000 + "\n" + "|-" * 250_000 + "\n",
}


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_it_ends_at_headings_paragraphs_and_sentences() -> None:
    assert Chunking(60)(RETURNS) == [
        "# Returns\n\nYou have 30 days to send it back.",
        "We pay the postage.",
        "The money is on your account after a week.",
    ]


def test_a_text_that_fits_stays_as_it_is() -> None:
    text = "  " + "a" * 40 + "\n\n" + "b" * 20 + "  "
    assert Chunking(len(text))(text) == [text]


@given(TEXTS, st.integers(1, 60))
def test_nothing_but_white_space_is_lost_and_no_chunk_is_too_long(text: str, most: int) -> None:
    chunks = Chunking(most)(text)
    assert all(len(chunk) <= most for chunk in chunks)
    if text.strip():
        assert squeezed("".join(chunks)) == squeezed(text)
        assert all(chunk.strip() for chunk in chunks)


@given(st.lists(st.text(max_size=30), min_size=2, max_size=40).map("\n\n".join), st.integers(20, 60))
def test_any_characters_are_cut_or_refused(text: str, most: int) -> None:
    try:
        chunks = Chunking(most)(text)
    except InvalidMessage:
        assert any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text)
        return
    assert all(len(chunk) <= most for chunk in chunks)


@given(st.lists(st.sampled_from([FAMILY, BRAZIL, "e\u0301"]), min_size=1, max_size=200))
def test_what_is_seen_as_one_character_is_not_cut(seen: list[str]) -> None:
    for chunk in Chunking(5)("".join(seen)):
        assert re.fullmatch(f"({FAMILY}|{BRAZIL}|e\u0301)+", chunk)


def test_windows_leave_no_mark() -> None:
    """A text of many windows is cut as one that is seen at once."""
    text = "\n\n".join(f"Paragraph {n} has two sentences. This is its second one." for n in range(200))
    at_once = Chunking(130)._splitter.chunks(text)
    assert len(at_once) > 5 * WINDOW
    assert Chunking(130)(text) == at_once


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_megabyte_of_anything_takes_two_seconds_at_most(text: str) -> None:
    before = time.process_time()
    for most in (2_500, MAX_TEXT):
        chunks = Chunking(most)(text)
        assert all(len(chunk) <= most for chunk in chunks)
        assert squeezed("".join(chunks)) == squeezed(text)
    assert time.process_time() - before < 4


def test_too_many_chunks_are_refused_and_it_says_what_would_help() -> None:
    text = "word " * CHUNKS_MOST
    assert len(Chunking(5)(text)) == CHUNKS_MOST
    with pytest.raises(InvalidMessage, match=f"more than {CHUNKS_MOST} of them; a larger `chunk`") as refused:
        Chunking(5)(text + "word")
    assert refused.value.reason == "too-long"


@pytest.mark.parametrize("character", ["\0", "\x1b", "\ud800"])
def test_characters_that_are_none_of_a_text_s_are_refused(character: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        Chunking(10)("a" * 1_000_000 + character)
    assert refused.value.reason == "invalid-message"


@pytest.mark.parametrize("blank", ["\n" * 1_000_000, " " * 50, "\u3000" * 50])
def test_white_space_alone_is_left_to_who_refuses_blank_texts(blank: str) -> None:
    (chunk,) = Chunking(10)(blank)
    assert not chunk.strip()


@pytest.mark.parametrize("most", [0, -1, MAX_TEXT + 1])
def test_a_chunk_has_at_least_a_character_and_at_most_those_of_a_text(most: int) -> None:
    with pytest.raises(ValueError, match="a chunk has 1 to"):
        Chunking(most)
