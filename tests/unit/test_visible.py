"""Whatever comes from outside can be shown: a terminal obeys none of it, and JSON still means the same."""

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.visible import escaped_json, visible, visible_json

JOINERS = {"\u200c", "\u200d"}
SEEN = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Signs of Arabic, Syriac and Kaithi that are formats to Unicode and letters to a reader."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve, 日本, שלום, हिन्दी", "plain, naïve, 日本, שלום, हिन्दी"),
        ("👩‍👩‍👧 🏳️‍🌈 می‌خواهم", "👩‍👩‍👧 🏳️‍🌈 می‌خواهم"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("one\ntwo\r\tthree", "one\\ntwo\\r\\tthree"),
        ("\x9b2J\x7f\x00", "\\x9b2J\\x7f\\x00"),
        ("abc\u202egnp.exe\u2066x\u2069", "abc\\u202egnp.exe\\u2066x\\u2069"),
        ("line\u2028separator\u2029", "line\\u2028separator\\u2029"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("name\udcff", "name\\udcff"),
        ("tag\U000e0041", "tag\\U000e0041"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_every_control_and_format_character_is_escaped() -> None:
    unsafe = ("Cc", "Cf", "Cs", "Zl", "Zp")
    found = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in unsafe]
    left = {character for character in found if visible(character) == character}
    assert left <= JOINERS | SEEN


def test_lines_of_a_longer_text_may_be_kept() -> None:
    assert visible("wrong settings:\n  a\x1b\n", keep="\n") == "wrong settings:\n  a\\x1b\n"


@given(st.text(st.characters(), max_size=40))
def test_json_means_the_same_and_is_one_safe_line(text: str) -> None:
    for line in (visible_json({"text": text}), visible_json({"text": text}, ascii_only=True)):
        assert json.loads(line) == {"text": text}
        assert visible(line) == line
    assert visible_json([text], ascii_only=True).isascii()
    assert visible(visible(text)) == visible(text)


def test_a_document_of_another_serializer_is_made_safe_in_the_same_way() -> None:
    assert escaped_json('{"a": "\x7f\x9b\u202e\U000e0041\u2028"}') == (
        '{"a": "\\u007f\\u009b\\u202e\\udb40\\udc41\\u2028"}'
    )
