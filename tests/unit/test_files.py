"""Files of texts as people have them, and every way to get them wrong that we could think of."""

from __future__ import annotations

import codecs
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.operations.files import Reject, Row, Style, TextFile


def read(content: str | bytes, style: Style = "auto", context: str = "default") -> list[Row | Reject]:
    raw = content.encode() if isinstance(content, str) else content
    return list(TextFile(io.BytesIO(raw), style, context).rows())


def pairs(content: str | bytes) -> list[tuple[str, str | None]]:
    rows = read(content)
    assert not [row for row in rows if isinstance(row, Reject)], rows
    return [(row.event.text, row.event.answer) for row in rows if isinstance(row, Row)]


WANTED = [("I forgot, again", "reset-password"), ("where's my stuff", "track-order")]


@pytest.mark.parametrize(
    "content",
    [
        'text,answer\n"I forgot, again",reset-password\nwhere\'s my stuff,track-order\n',
        "Question;Answer\nI forgot, again;reset-password\nwhere's my stuff;track-order",
        "answer\ttext\r\nreset-password\tI forgot, again\r\n\r\ntrack-order\twhere's my stuff\r\n",
        '"I forgot, again",reset-password\nwhere\'s my stuff,track-order\n',
        "TEXT|ANSWER\rI forgot, again|reset-password\rwhere's my stuff|track-order\r",
        "\ufefftext;answer\nI forgot, again;reset-password\nwhere's my stuff;track-order\n",
        '{"text": "I forgot, again", "answer": "reset-password"}\n\n'
        '{"question": "where\'s my stuff", "answer": "track-order"}',
    ],
)
def test_files_as_people_have_them(content: str) -> None:
    assert pairs(content) == WANTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be-mark"])
def test_encodings_are_told_by_their_mark(encoding: str) -> None:
    text = "text,answer\nonde está?,cá\n"
    raw = (
        codecs.BOM_UTF16_BE + text.encode("utf-16-be") if encoding.endswith("mark") else text.encode(encoding)
    )
    assert pairs(raw) == [("onde está?", "cá")]


def test_quoted_cells_may_hold_lines_and_quotes() -> None:
    content = 'text,answer\n"two\nlines",a\n"say ""hi""",b\nlast,c\n'
    assert pairs(content) == [("two\nlines", "a"), ('say "hi"', "b"), ("last", "c")]
    assert [row.line for row in read(content)] == [2, 4, 5]


def test_columns_are_fields_or_metadata() -> None:
    file = TextFile(
        io.BytesIO(b"id,text,answer,context,key,weight,metadata.lang\n7,hi,hello,faq,k-1,3,en\n8,yo,,,,,\n"),
        context="rest",
    )
    first, second = file.rows()
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert first.event.metadata == {"id": "7", "lang": "en"}
    assert (first.key, first.event.weight, first.event.context) == ("k-1", 3, "faq")
    assert (second.key, second.event.answer, second.event.context) == (None, None, "rest")
    assert file.columns["metadata.id"] == "id"


@pytest.mark.parametrize(
    ("content", "line", "reason", "told"),
    [
        (b"text,answer\n,a\n", 2, "blank-text", "needs a text that is not blank"),
        (b"text,answer\n \t ,a\n", 2, "blank-text", "not blank"),
        (b"text,answer\na,b,c\n", 2, "cells", "3 cells, and there are 2 columns"),
        (b"text,answer\n\xff\xe9,b\n", 2, "not-utf8", "save the file as UTF-8"),
        (b"text,answer\n" + b"x" * 20_000 + b",b\n", 2, "too-long", "16,384 characters"),
        (b"text,answer\n" + b"x" * 200_000 + b",b\n", 2, "unreadable", "a cell may have"),
        (b"text,answer\nfine,b\n\"open,b\n" + b"x,y\n" * 60_000, 3, "quotes", "is not closed"),
        (b'text,answer\nfine,b\n"open, and on\nx,y\nz,w\n', 3, "quotes", "all that follows is one row"),
        (b"text,weight\nhi,heavy\n", 2, "invalid-message", "whole number from 1 to 1,000"),
        (b"text,weight\nhi,0\n", 2, "invalid-message", "whole number from 1 to 1,000"),
        (b"text,weight\nhi,2.5\n", 2, "invalid-message", "whole number from 1 to 1,000"),
        (b"text,context\nhi,Not A Name\n", 2, "invalid-message", "a context's name is"),
        (b"text,answer\na\x00b,c\n", 2, "invalid-message", "control character"),
        (b"text,key\nhi," + b"k" * 2_000 + b"\n", 2, "invalid-message", "key: must be"),
        (b'{"text": "a"}\nnot json\n', 2, "not-json", "one object"),
        (b'{"text": "a"}\n[1]\n', 2, "not-json", "one object"),
        (b'[{"text": "a"}]\n', 1, "not-json", "one object"),
        (b'{"text": "a"}\n{"text": 5}\n', 2, "invalid-message", "text"),
        (b'{"text": "a"}\n{"text": null}\n', 2, "invalid-message", "needs a text"),
        (b'{"text": "a"}\n{"answer": "b"}\n', 2, "invalid-message", "needs a text"),
        (b'{"text": "a"}\n{"text": "b", "anwser": "c"}\n', 2, "invalid-message", "the fields are text"),
        (b'{"text": "a"}\n{"text": "\xff"}\n', 2, "not-utf8", "save the file as UTF-8"),
        (b'{"text": "a"}\n{"text": "b", "metadata": {"k": 1}}\n', 2, "invalid-message", "metadata"),
        (b'{"text": "a"}\n{"text": "b", "metadata": 7}\n', 2, "invalid-message", "metadata"),
        (b'{"text": "a"}\n{"text": "b", "key": 5}\n', 2, "invalid-message", "key: must be"),
        (b'{"text": "a"}\n' + b'{"a":' * 300 + b"\n", 2, "not-json", "one object"),
        (b'{"text": "a"}\n{"text": "' + b"x" * (3 << 20) + b'"}\n', 2, "not-json", "one object"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_told_by_its_line_and_the_others_are_read(
    content: bytes, line: int, reason: str, told: str
) -> None:
    rejects = [row for row in read(content) if isinstance(row, Reject)]
    assert (rejects[0].line, rejects[0].reason) == (line, reason)
    assert told in rejects[0].message
    after = read(content.rstrip(b"\n") + (b'\n{"text": "last"}\n' if content[:1] in b"{[" else b"\nlast\n"))
    if reason != "quotes":
        assert isinstance(after[-1], Row)
        assert after[-1].event.text == "last"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"text,answer\n", b"\xff\xfe"])
def test_an_empty_file_has_no_rows(content: bytes) -> None:
    assert read(content) == []


@given(st.binary(max_size=300) | st.text('",;\n\r\t|ab{}[]:', max_size=200).map(str.encode))
def test_whatever_a_file_holds_nothing_is_raised(content: bytes) -> None:
    lines = content.count(b"\n") + content.count(b"\r") + 1
    for row in read(content):
        assert 1 <= row.line <= max(lines, 1)


def test_a_reject_is_told_without_words_of_a_library() -> None:
    rejects = list(TextFile(io.BytesIO(b"question,answer\n,only an answer\n")).rows())
    assert [each.message for each in rejects if isinstance(each, Reject)] == [
        "text: blank text: each row needs a text that is not blank"
    ]
