"""Lines of a file, validated as text events: what `hurnet produce` sends and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from schemas import DEFAULT_CONTEXT, InvalidMessage, TextEvent

MAX_LINE = 1 << 20
"""Bytes of a line that are looked at; no valid message is as long."""
BOM = b"\xef\xbb\xbf"

Format = Literal["auto", "jsonl", "lines"]


@dataclass(frozen=True, slots=True)
class Line:
    """A line with something on it: `number` from 1, `size` in bytes with all empty lines before it."""

    number: int
    raw: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to Kafka for a line."""

    value: bytes
    key: bytes | None


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """Line by line, never more than `MAX_LINE` bytes of one; blank lines are passed over."""
    number = size = 0
    while chunk := file.readline(MAX_LINE):
        number += 1
        size += len(chunk)
        last = chunk
        while not last.endswith(b"\n") and (last := file.readline(MAX_LINE)):
            size += len(last)
        raw = (chunk.removeprefix(BOM) if number == 1 else chunk).strip()
        if raw:
            yield Line(number, raw, size)
            size = 0


def parser(style: Format, context: str, key_field: str | None) -> Callable[[Line], Message]:
    """A function from a line to its message, which raises `InvalidMessage` for one that is none.

    `context` is for lines that name none. `auto` takes the first line's form for all.
    """
    chosen = style

    def parse(line: Line) -> Message:
        nonlocal chosen
        if chosen == "auto":
            chosen = "jsonl" if line.raw.startswith(b"{") else "lines"
        event = TextEvent.decode(line.raw) if chosen == "jsonl" else _plain(line.raw)
        if context != DEFAULT_CONTEXT and "context" not in event.model_fields_set:
            event = event.model_copy(update={"context": context})
            return Message(event.encode(), _key(event, key_field))
        return Message(line.raw if chosen == "jsonl" else event.encode(), _key(event, key_field))

    return parse


def _plain(raw: bytes) -> TextEvent:
    """A text, or a text and its answer with a TAB between."""
    try:
        text, tab, answer = raw.decode().partition("\t")
    except UnicodeDecodeError as error:
        raise InvalidMessage("not-utf8", f"byte {error.start} of {len(raw)} is not UTF-8") from None
    fields = {"text": text, "answer": answer} if tab else {"text": text}
    return TextEvent.decode(json.dumps(fields).encode())


def _key(event: TextEvent, field: str | None) -> bytes | None:
    """The value of a field, or of a metadata key, as the record's key; None where it has none."""
    if field is None:
        return None
    value = getattr(event, field) if field in ("text", "answer", "context") else event.metadata.get(field)
    return value.encode() if value else None
