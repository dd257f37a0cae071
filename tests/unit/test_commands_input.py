"""What people type and pipe in: lines, watermarks, questions."""

import codecs
import io
import re

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_schemas.places import watermarks_text
from hurnet_stream.commands.ask import watermarks
from hurnet_stream.commands.forget import EntryName
from hurnet_stream.terminal import lines
from hurnet_stream.terminal.lines import read_lines
from hurnet_stream.terminal.questions import How

ASK = click.Context(click.Command("ask"))
AFTER = click.Option(["--after"])


@given(st.lists(st.binary(max_size=30)), st.integers(1, 8))
def test_lines_are_those_of_the_file_whatever_the_limit_cuts(pieces: list[bytes], limit: int) -> None:
    file = b"\n".join(pieces)
    before = lines.LINE_BYTES_MAX
    lines.LINE_BYTES_MAX = limit
    try:
        found = list(read_lines(io.BytesIO(file)))
    finally:
        lines.LINE_BYTES_MAX = before
    split = re.split(b"\r\n|\r|\n", file)
    expected = [(i, raw[:limit].strip()) for i, raw in enumerate(split, 1) if raw[:limit].strip()]
    if file.startswith((lines.BOM, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        return
    assert [(line.number, line.raw) for line in found] == expected
    assert sum(line.size for line in found) <= len(file)


@given(st.dictionaries(st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), min_size=1))
def test_watermarks_are_read_as_they_are_printed(marks: dict[int, int]) -> None:
    assert watermarks(ASK, AFTER, watermarks_text(marks)) == marks


@pytest.mark.parametrize(
    "value",
    ["", ",", "1", "1=", "=1", "a=1", "1=-1", "1=2=3", "1=2;3=4", "²=1", "1=" + "9" * 5_000, "9" * 20 + "=1"],
)
def test_other_watermarks_are_refused(value: str) -> None:
    with pytest.raises(click.BadParameter, match="PARTITION=OFFSET"):
        watermarks(ASK, AFTER, value)


def test_a_query_waits_less_than_its_asker() -> None:
    query = How("chat", 3, {0: 7}, 10.0).query("hi")
    assert (query.text, query.context, query.top_k, query.min_watermarks) == ("hi", "chat", 3, {0: 7})
    assert query.timeout_ms is not None
    assert query.timeout_ms < 10_000


@pytest.mark.parametrize(
    ("text", "context"), [(" ", None), ("hi", "No Such"), ("x" * 20_000, None), ("\0", None)]
)
def test_a_text_that_is_no_query_is_a_usage_error(text: str, context: str | None) -> None:
    with pytest.raises(click.UsageError):
        How(context).query(text)


@pytest.mark.parametrize("value", ["", "/", "1", "1/", "/1", "a/1", "-1/1", "²/1", "٣/1", "1/" + "9" * 5_000])
def test_other_coordinates_are_refused(value: str) -> None:
    with pytest.raises(click.BadParameter, match="PARTITION/OFFSET"):
        EntryName().convert(value, None, None)
