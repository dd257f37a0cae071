"""What people type and pipe in: lines, watermarks, questions."""

import codecs
import io
import json
import re
from collections.abc import Sequence

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_schemas import DEFAULT_CONTEXT, InvalidMessage, TextEvent
from hurnet_schemas.places import watermarks_text
from hurnet_stream.commands.ask import watermarks
from hurnet_stream.commands.forget import EntryName
from hurnet_stream.commands.produce import Sending, Sent, send_lines
from hurnet_stream.errors import TransientError
from hurnet_stream.ports import Outgoing
from hurnet_stream.terminal import lines
from hurnet_stream.terminal.lines import Line, parser, read_lines
from hurnet_stream.terminal.questions import How

ASK = click.Context(click.Command("ask"))
AFTER = click.Option(["--after"])


class Recorder:
    """A sink that numbers what it is sent over two partitions, and fails at the batch it is told to."""

    def __init__(self, failing_batch: int | None = None) -> None:
        self.sent: list[Outgoing] = []
        self._batches = 0
        self._failing = failing_batch

    def send(self, messages: Sequence[Outgoing]) -> list[tuple[int, int]]:
        self._batches += 1
        if self._batches == self._failing:
            raise TransientError("the broker is away")
        first = len(self.sent)
        self.sent += messages
        return [(i % 2, i // 2) for i in range(first, len(self.sent))]

    def close(self) -> None: ...


def parsed(text: bytes, **options: str) -> list[TextEvent]:
    style = options.get("style", "auto")
    parse = parser(style, options.get("context", DEFAULT_CONTEXT), options.get("key"))  # type: ignore[arg-type]
    return [TextEvent.decode(parse(line).value) for line in read_lines(io.BytesIO(text))]


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


def test_a_byte_order_mark_is_no_part_of_the_first_text() -> None:
    assert [e.text for e in parsed(b"\xef\xbb\xbfol\xc3\xa1\r\ntchau\r\n")] == ["olá", "tchau"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_other_encodings_of_unicode_are_told_by_their_mark(encoding: str) -> None:
    mark = "" if encoding in ("utf-8-sig", "utf-16", "utf-32") else "\ufeff"
    found = parsed(f"{mark}olá\tŠ\r\n日本 👋🏽\n".encode(encoding))
    assert [(e.text, e.answer) for e in found] == [("olá", "Š"), ("日本 👋🏽", None)]


def test_lines_may_end_as_on_any_system() -> None:
    assert [e.text for e in parsed(b"one\rtwo\r\nthree\n\r\nfour")] == ["one", "two", "three", "four"]


@pytest.mark.parametrize(
    ("file", "reasons"),
    [
        ("café\nok\n".encode("latin-1"), ["not-utf8", None]),
        (b"a\x00b\nok\n", ["invalid-message", None]),
        (b"ok\n\xff\xfe\n", [None, "not-utf8"]),
        (codecs.BOM_UTF16_LE + "ok\n".encode("utf-16-le") + b"\x00\xd8\n\x00", [None, "not-utf8"]),
        (codecs.BOM_UTF16_LE + "ok\nx".encode("utf-16-le") + b"x", [None, "not-utf8"]),
        (codecs.BOM_UTF32_LE + b"\xff\xff\xff\x7f" + "\nok".encode("utf-32-le"), ["not-utf8", None]),
        (b"\xed\xa0\x80\nok\x1b[31m\n", ["not-utf8", "invalid-message"]),
    ],
)
def test_what_is_no_text_is_refused_line_by_line(file: bytes, reasons: list[str | None]) -> None:
    parse = parser("lines", DEFAULT_CONTEXT, None)
    found: list[str | None] = []
    for line in read_lines(io.BytesIO(file)):
        try:
            parse(line)
        except InvalidMessage as error:
            found.append(error.reason)
        else:
            found.append(None)
    assert found == reasons


def test_plain_lines_are_texts_with_the_answer_after_a_tab() -> None:
    events = parsed(b"where is it?\tin the kitchen\n\n  \njust a text\n")
    assert [(e.text, e.answer) for e in events] == [("where is it?", "in the kitchen"), ("just a text", None)]


def test_the_form_of_the_first_line_is_that_of_all() -> None:
    parse = parser("auto", DEFAULT_CONTEXT, None)
    parse(Line(1, b'{"text": "one"}', 0))
    with pytest.raises(InvalidMessage, match="not-json"):
        parse(Line(2, b"two", 0))
    assert parsed(b"one\n{two}\n")[1].text == "{two}"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"text": 1}', "invalid-message"),
        (b'{"text": "a", "colour": "red"}', "invalid-message"),
        (b'{"text": "  "}', "blank-text"),
        (b'{"text": "a"', "not-json"),
        (b'{"text": "\xff"}', "not-utf8"),
        (b'{"text": "a", "v": 2}', "unknown-version"),
        (b'{"text": "' + b"a" * 20_000 + b'"}', "too-long"),
    ],
)
def test_a_line_that_is_no_message_says_why(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        parser("jsonl", DEFAULT_CONTEXT, None)(Line(1, raw, 0))
    assert caught.value.reason == reason


def test_a_context_is_for_lines_that_name_none() -> None:
    text = b'{"text": "a"}\n{"text": "b", "context": "own"}\n{"text": "c", "context": "default"}\n'
    assert [e.context for e in parsed(text, context="chat")] == ["chat", "own", "default"]


@pytest.mark.parametrize(
    ("field", "key"),
    [("text", b"a"), ("answer", None), ("context", b"default"), ("user", b"7"), ("team", None)],
)
def test_the_key_is_a_field_or_a_metadata_value(field: str, key: bytes | None) -> None:
    line = Line(1, b'{"text": "a", "metadata": {"user": "7"}}', 0)
    assert parser("jsonl", DEFAULT_CONTEXT, field)(line).key == key


def _send(text: bytes, sink: Recorder, monkeypatch: pytest.MonkeyPatch, batch: int) -> tuple[Sent, int]:
    monkeypatch.setattr("hurnet_stream.commands.produce.BATCH", batch)
    sent = Sent()
    done: list[int] = []
    try:
        parse = parser("auto", DEFAULT_CONTEXT, None)
        send_lines(read_lines(io.BytesIO(text)), parse, Sending(sink, "texts"), sent, done.append)
    except TransientError:
        pass
    return sent, sum(done)


def test_what_is_sent_is_counted_and_its_watermarks_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = b"".join(json.dumps({"text": f"text {i}"}).encode() + b"\n" for i in range(7)) + b"oops\n"
    sink = Recorder()
    sent, size = _send(text, sink, monkeypatch, batch=3)
    assert (sent.count, sent.invalid, sent.last_line) == (7, 1, 8)
    assert sent.watermarks == {0: 3, 1: 2}
    assert size == len(text)
    assert [TextEvent.decode(m.value).text for m in sink.sent] == [f"text {i}" for i in range(7)]
    assert capsys.readouterr().err.startswith("line 8: not-json")


def test_a_broker_that_goes_away_leaves_a_true_account(monkeypatch: pytest.MonkeyPatch) -> None:
    sent, _ = _send(b"one\ntwo\nthree\nfour\n", Recorder(failing_batch=2), monkeypatch, batch=2)
    assert (sent.count, sent.last_line, sent.watermarks) == (2, 2, {0: 0, 1: 0})


def test_many_bad_lines_are_counted_not_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent, _ = _send(b'{"text": "a"}\n' + b"{\n" * 100, Recorder(), monkeypatch, batch=10)
    assert (sent.count, sent.invalid) == (1, 100)
    assert len(capsys.readouterr().err.splitlines()) == 21


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
