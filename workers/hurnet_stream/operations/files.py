"""Files of texts as people have them: CSV, or a JSON object a line. Each row is read, or rejected by line.

    Question;Answer;lang                      columns: text = Question, answer = Answer, metadata.lang = lang
    "I forgot, again";reset-password;en       line 2: a text
    ;reset-password;en                        line 3: rejected, blank-text
    where's my stuff;track-order;en;x         line 4: rejected, 4 cells and 3 columns

A CSV file may be cut by commas, semicolons, tabs or bars, and may begin with a line of names. Without one the
first column is the text and the second its answer. Names are those of a text's fields, with `question` for
`text`; `key` is the record's key; every other name is one of the metadata, with or without `metadata.` before
it. Files are UTF-8, or UTF-16 and UTF-32 with a byte order mark.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, Literal

from hurnet_schemas import DEFAULT_CONTEXT, InvalidMessage, TextEvent
from hurnet_schemas.base import MAX_METADATA_ITEMS, MAX_TEXT, MAX_WEIGHT, parse_object

Style = Literal["auto", "csv", "jsonl"]

LINE_MOST: Final = 1 << 20
"""Characters of a line that are read. No valid row is as long as this."""
CELL_MOST: Final = 1 << 17
DELIMITERS: Final = ",;\t|"
FIELDS: Final = ("text", "answer", "context", "key", "weight")
_METADATA: Final = "metadata."
_NAMES: Final = {"question": "text", **{name: name for name in FIELDS}}
_MARKS: Final = (
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),  # the first begins as UTF-16's does
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)
_HINTS: Final = {
    "blank-text": "each row needs a text that is not blank",
    "too-long": f"a text and an answer may have {MAX_TEXT:,} characters each",
    "not-utf8": "save the file as UTF-8",
    "not-json": 'each line must be one object, as in {"text": "...", "answer": "..."}',
}


@dataclass(frozen=True, slots=True)
class Row:
    """One text, and the key of its record."""

    line: int
    event: TextEvent
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that can't be a text: the line it begins on, why in a word, and what would be right."""

    line: int
    reason: str
    message: str


@dataclass(slots=True)
class TextFile:
    """Reads a file once, row by row. `context` is for rows that name none. `columns` are known once the first
    row was read: by field, the name that the file has for it."""

    file: BinaryIO
    style: Style = "auto"
    context: str = DEFAULT_CONTEXT
    columns: dict[str, str] = field(default_factory=dict)

    def rows(self) -> Iterator[Row | Reject]:
        """Every row that is not blank."""
        lines = _Lines(self.file)
        if self.style == "auto":
            self.style = "jsonl" if lines.first.lstrip().startswith(("{", "[")) else "csv"
        yield from self._objects(lines) if self.style == "jsonl" else self._cells(lines)

    def _objects(self, lines: _Lines) -> Iterator[Row | Reject]:
        for line in lines:
            if line.strip():
                yield self._read(lines.number, line)

    def _read(self, number: int, line: str) -> Row | Reject:
        try:
            fields = parse_object(line.strip().encode("utf-8", "surrogateescape"))
        except InvalidMessage as error:
            return _reject(number, error)
        if "question" in fields and "text" not in fields:
            fields["text"] = fields.pop("question")
        return self._row(number, fields)

    def _cells(self, lines: _Lines) -> Iterator[Row | Reject]:
        reader = csv.reader(lines, delimiter=_delimiter(lines.first), strict=False)
        names: Sequence[str] = ()
        while True:
            begins = lines.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield _unreadable(begins, lines.number, error)
                continue
            if lines.ended:  # the reader wanted more for this row than there is
                yield _never_closed(begins)
                return
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names, header = _named(cells)
                self.columns = {
                    name: cell.strip() for name, cell in zip(names, cells, strict=False) if header
                }
                if header:
                    continue
            yield self._of_cells(begins, names, cells)

    def _of_cells(self, number: int, names: Sequence[str], cells: Sequence[str]) -> Row | Reject:
        if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
            return Reject(
                number,
                "cells",
                f"{len(cells)} cells, and there are {len(names)} columns: put quotes around a cell that holds"
                " what cuts cells",
            )
        if any("\udc80" <= letter <= "\udcff" for cell in cells for letter in cell):
            return Reject(number, "not-utf8", f"not UTF-8: {_HINTS['not-utf8']}")
        given = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
        fields: dict[str, Any] = {"text": "", **{n: v for n, v in given.items() if n in FIELDS}}
        if metadata := {n[len(_METADATA) :]: v for n, v in given.items() if n.startswith(_METADATA)}:
            fields["metadata"] = metadata
        if re.fullmatch("[0-9]{1,9}", weight := str(fields.get("weight", ""))):
            fields["weight"] = int(weight)
        return self._row(number, fields)

    def _row(self, number: int, fields: dict[str, Any]) -> Row | Reject:
        key = fields.pop("key", None)
        if key is not None and (
            not isinstance(key, str) or not 0 < len(key.encode("utf-8", "replace")) <= 1_000
        ):
            return Reject(number, "invalid-message", "key: must be a text of 1 to 1,000 bytes")
        fields.setdefault("context", self.context)
        try:
            return Row(number, TextEvent.of_fields(fields), key)
        except InvalidMessage as error:
            return _reject(number, error)


class _Lines:
    """The lines of a file with their ends, at most `LINE_MOST` characters of each; `number` is that of the
    last one that was given, and `ended` whether one more was asked for. Bytes that are not UTF-8 become lone
    surrogates."""

    def __init__(self, file: BinaryIO) -> None:
        raw = io.BufferedReader(file) if isinstance(file, io.RawIOBase) else file
        start = raw.read(4)
        encoding = next((name for mark, name in _MARKS if start.startswith(mark)), None)
        raw.seek(0)
        errors = "replace" if encoding else "surrogateescape"
        self._text = io.TextIOWrapper(raw, encoding or "utf-8-sig", errors, newline="")
        self.first = self._next()
        self._waiting: str | None = self.first
        self.ended = False
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.ended:
            raise StopIteration
        line = self._next() if self._waiting is None else self._waiting
        self._waiting = None
        if not line:
            self.ended = True
            self._text.detach()  # the caller closes the file
            raise StopIteration
        self.number += 1
        return line

    def _next(self) -> str:
        line = self._text.readline(LINE_MOST)
        part = line
        while part and not part.endswith(("\n", "\r")) and len(part) == LINE_MOST:
            part = self._text.readline(LINE_MOST)  # the rest of a huge line is passed over
        return line


def _delimiter(first: str) -> str:
    """What the first line is cut by: most often, outside of quotes."""
    outside = re.sub(r'"[^"]*"', "", first)
    return max(DELIMITERS, key=outside.count)


def _named(cells: Sequence[str]) -> tuple[list[str], bool]:
    """What each column is, and whether the first row said so."""
    names = [_field(cell) for cell in cells]
    if "text" in names:
        return names, True
    return ["text", "answer", *("" for _ in cells[2:])][: len(cells)], False


def _field(cell: str) -> str:
    """The field that a column's name means; anything else is metadata."""
    name = cell.strip().lower()
    if name in _NAMES:
        return _NAMES[name]
    bare = cell.strip().removeprefix(_METADATA)
    return _METADATA + (re.sub(r"[^A-Za-z0-9_.-]+", "_", bare)[:64] or "_") if bare else ""


def _reject(number: int, error: InvalidMessage) -> Reject:
    hint = _HINTS.get(error.reason) or _field_hint(error)
    detail = error.detail.replace("Value error, ", "")  # pydantic's own words, which tell a person nothing
    return Reject(number, error.reason, f"{detail}{f': {hint}' if hint else ''}"[:600])


def _field_hint(error: InvalidMessage) -> str:
    where = error.faults[0][0].split(".")[0] if error.faults else ""
    return {
        "weight": f"a weight is a whole number from 1 to {MAX_WEIGHT:,}",
        "context": "a context's name is up to 64 of a-z 0-9 . _ -, and first a letter or digit",
        "metadata": f"up to {MAX_METADATA_ITEMS} strings",
        "text": "each row needs a text",
    }.get(where, f"the fields are {', '.join(FIELDS)} and metadata" if where else "")


def _never_closed(begins: int) -> Reject:
    message = "a quote that begins here is not closed, so all that follows is one row: double each quote in a"
    return Reject(begins, "quotes", f"{message} cell")


def _unreadable(begins: int, ended: int, error: csv.Error) -> Reject:
    if ended > begins:
        message = f"a quote that begins here is not closed before line {ended:,}: double each quote in a cell"
        return Reject(begins, "quotes", message)
    return Reject(
        begins, "unreadable", f"can't be read as CSV ({error}); a cell may have {CELL_MOST:,} characters"
    )
