"""Files of texts as people have them: CSV, JSON or plain lines. Each row is read, or rejected by line.

    Question;Answer;lang                      columns: text = Question, answer = Answer, metadata.lang = lang
    "I forgot, again";reset-password;en       line 2: a text
    ;reset-password;en                        line 3: rejected, blank-text
    where's my stuff;track-order;en;x         line 4: rejected, 4 cells and 3 columns

A CSV file may be cut by commas, semicolons, tabs or bars, and may begin with a line of names (columns.py).
Without one the first column is the text and the second its answer. A plain line is a text, or a text, a TAB
and its answer. Files are UTF-8, or UTF-16 and UTF-32 with a byte order mark.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, Literal

from hurnet_schemas import DEFAULT_CONTEXT, InvalidMessage
from hurnet_schemas.base import parse_object
from hurnet_stream.operations.files.columns import (
    EXPORTED,
    METADATA,
    TIMESTAMP,
    Columns,
    header_of,
    key_of,
    mapped,
)
from hurnet_stream.operations.files.lines import Lines
from hurnet_stream.operations.files.rows import Draft, Reject, Row, checked, not_utf8, rejected

Style = Literal["auto", "any", "csv", "jsonl", "lines"]
"""`auto` is CSV or JSON, and `any` plain lines as well, by the first line."""

CELL_MOST: Final = 1 << 17
RAW_MOST: Final = 1 << 16
"""Characters of a row that are kept to be shown."""
DELIMITERS: Final = ",;\t|"
_BESIDE: Final = ("key", TIMESTAMP)
"""What belongs to the record and not to its message."""


@dataclass(slots=True)
class TextFile:
    """Reads a file once, row by row. `context` is for rows that name none, and `chosen` are the columns that
    somebody has named. `columns` are known once the first row was read: by field, the name that the file has
    for it."""

    file: BinaryIO
    style: Style = "auto"
    context: str = DEFAULT_CONTEXT
    chosen: Columns = field(default_factory=Columns)
    columns: dict[str, str] = field(default_factory=dict)
    lines: Lines | None = None
    """Once reading has begun."""

    def rows(self) -> Iterator[Row | Reject]:
        """Every row that is not blank."""
        for draft in self.drafts():
            yield draft if isinstance(draft, Reject) else checked(draft, self.context)

    def drafts(self) -> Iterator[Draft | Reject]:
        """The same before they are checked."""
        lines = self.lines = Lines(self.file)
        if self.style in ("auto", "any"):
            self.style = _style(lines.first, self.style)
        if self.style == "csv":
            return self._cells(lines)
        return self._objects(lines) if self.style == "jsonl" else _plain(lines)

    def _objects(self, lines: Lines) -> Iterator[Draft | Reject]:
        for line in lines:
            if line.strip():
                yield self._object(lines.number, line.strip())

    def _object(self, number: int, line: str) -> Draft | Reject:
        try:
            fields = parse_object(line.encode("utf-8", "surrogateescape"))
        except InvalidMessage as error:
            return rejected(number, error, line[:RAW_MOST])
        key = key_of(fields, self.chosen) if self.chosen.key else fields.pop("key", None)
        draft = self._of_object(number, fields, line)
        draft.key = key
        return draft

    def _of_object(self, number: int, fields: dict[str, Any], line: str) -> Draft:
        if self.chosen.maps:
            return _drafted(number, mapped(fields, self.chosen), line)
        if fields.keys() >= EXPORTED:
            for name in (*(EXPORTED - {TIMESTAMP}), "chunk"):
                fields.pop(name, None)
        elif TIMESTAMP in fields:
            return _drafted(number, fields, line, timed=False)
        if "question" in fields and "text" not in fields:
            fields["text"] = fields.pop("question")
        return _drafted(number, fields, line)

    def _cells(self, lines: Lines) -> Iterator[Draft | Reject]:
        table: _Table | None = None
        for begins, cells in _rows_of_cells(lines):
            if isinstance(cells, Reject):
                yield cells
            elif table is not None:
                yield table.draft(begins, cells)
            else:
                names, header, problem = header_of(cells, self.chosen)
                if not problem and not header and self.chosen.key:
                    problem = Reject(begins, "columns", "the file has no line of names, which --key needs")
                if problem:
                    yield problem
                    return
                table = _Table(names, cells, self.chosen.key)
                if header:
                    pairs = zip(names, cells, strict=False)
                    self.columns = {name: cell.strip() for name, cell in pairs if name}
                else:
                    yield table.draft(begins, cells)


def _rows_of_cells(lines: Lines) -> Iterator[tuple[int, list[str] | Reject]]:
    """Every row that is not blank, and the line that it begins on."""
    reader = csv.reader(lines, delimiter=_delimiter(lines.first), strict=False)
    while True:
        begins = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield begins, _unreadable(begins, lines.number, error)
            continue
        if lines.ended:  # the reader wanted more for this row than there is
            yield begins, _never_closed(begins)
            return
        if any(map(str.strip, cells)):
            yield begins, cells


class _Table:
    """Makes drafts of the rows of a table. An export keeps blanks at the ends of its texts."""

    def __init__(self, names: Sequence[str], header: Sequence[str], key: str) -> None:
        self._width = len(names)
        self._places = [(index, name) for index, name in enumerate(names) if name]
        self._strips = not EXPORTED.issubset(header)
        if key:
            self._places.append(([name.strip() for name in header].index(key), "key"))

    def draft(self, number: int, cells: Sequence[str]) -> Draft | Reject:
        if len(cells) > self._width and any(map(str.strip, cells[self._width :])):
            told = f"{len(cells)} cells, and there are {self._width} columns: put quotes around a cell that"
            return Reject(number, "cells", f"{told} holds what cuts cells", cells)
        fields: dict[str, Any] = {"text": ""}
        metadata: dict[str, Any] = {}
        for index, name in self._places:
            if index >= len(cells):
                continue
            cell = cells[index].strip() if self._strips else cells[index]
            if not cell:
                continue
            if name.startswith(METADATA):
                metadata[name[len(METADATA) :]] = cell
            else:
                fields[name] = cell
        if metadata:
            fields["metadata"] = metadata
        if not _utf8(cells):
            return not_utf8(number, cells)
        return _drafted(number, _typed(fields) if len(fields) > 2 else fields, cells)


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    """Those fields of a table that are no texts."""
    if re.fullmatch("[0-9]{1,9}", weight := str(fields.get("weight", ""))):
        fields["weight"] = int(weight)
    if "refutes" in fields:
        if fields["refutes"].lower() == "true":
            fields["refutes"] = True
        else:
            del fields["refutes"]
    if isinstance(whole := fields.get("metadata"), str):  # of an export, which has all of them in one cell
        with suppress(InvalidMessage):  # then it stays a text, and is rejected as one
            fields["metadata"] = parse_object(whole.encode())
    return fields


def _utf8(cells: Sequence[str]) -> bool:
    joined = "".join(cells)
    if joined.isascii():
        return True
    try:
        joined.encode()
    except UnicodeEncodeError:
        return False
    return True


def _drafted(number: int, fields: dict[str, Any], raw: Any, *, timed: bool = True) -> Draft:
    key = fields.pop("key", None)
    timestamp = fields.pop(TIMESTAMP, None) if timed else None
    return Draft(number, fields, key, timestamp, raw)


def _plain(lines: Lines) -> Iterator[Draft | Reject]:
    for line in lines:
        if not (said := line.strip()):
            continue
        text, tab, answer = said.partition("\t")
        if not _utf8((said,)):
            yield not_utf8(lines.number, said[:RAW_MOST])
            continue
        yield Draft(lines.number, {"text": text, "answer": answer} if tab else {"text": text}, raw=said)


def _style(first: str, among: Style) -> Style:
    if first.lstrip().startswith(("{", "[")):
        return "jsonl"
    names = [name.strip().strip('"').lower() for name in first.split(_delimiter(first))]
    named = len(names) > 1 and ("text" in names or "question" in names)
    return "csv" if named or among == "auto" else "lines"


def _delimiter(first: str) -> str:
    """What the first line is cut by: most often, outside of quotes."""
    outside = re.sub(r'"[^"]*"', "", first)
    return max(DELIMITERS, key=outside.count)


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
