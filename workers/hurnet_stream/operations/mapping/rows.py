"""The rows of a file as records of a topic, as they would be if each were sent as a JSON object.

    Frage;Antwort           {"Frage": "Wo ist mein Paket?", "Antwort": "..."}
    Wo ist mein Paket?;...

A sample is taken evenly of what was read: as much of a file as ROWS_MOST rows.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.operations.files.lines import encoding_of
from hurnet_stream.operations.files.opened import UnreadableFile, opened, readable, unpacked
from hurnet_stream.operations.files.parquet import batches_of, parquet_file
from hurnet_stream.ports import Record

ROWS_MOST: Final = 200_000
LETTERS_MOST: Final = 64 << 20
"""Characters of a file that are read."""
_SNIFFED: Final = 64 << 10
_COLUMN: Final = re.compile(r'value((?:\.(?:\w+|"(?:[^"\\]|\\.)*"))+)')
_PIECE: Final = re.compile(r'\.(\w+|"(?:[^"\\]|\\.)*")')


def rows_of(path: Path, most: int) -> tuple[str, list[Record], str]:
    """The name of a topic for the file, at most so many of its rows, and how many there are. Raises
    `ConfigurationError` if it can't be read."""
    with readable(str(path)):
        rows = list(islice(_rows(path), ROWS_MOST + 1))
    count = f"at least {ROWS_MOST:,}" if len(rows) > ROWS_MOST else f"{len(rows):,}"
    step = max(1, -(-len(rows) // most))
    name = (
        "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in path.stem.lower())
        or "file"
    )
    return name, [_record(name, number, row) for number, row in enumerate(rows)][::step], count


def _rows(path: Path) -> Iterator[Any]:
    if path.suffix.lower() in (".parquet", ".pq"):
        return _parquet(path)
    with opened(str(path), lambda _: None) as file:
        raw = unpacked(file).read(LETTERS_MOST)
    text = raw.decode(encoding_of(raw) or "utf-8-sig", errors="replace")
    first = text.lstrip()[:1]
    if first == "[":
        return iter(_array(path, text))
    if first == "{":
        return (_object(line) for line in text.splitlines() if line.strip())
    return _csv(path, text)


def _array(path: Path, text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} begins as a JSON list and is none: {error}") from None
    return found if isinstance(found, list) else [found]


def _object(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line  # a reader says what is wrong with it


def _csv(path: Path, text: str) -> Iterator[Any]:
    try:
        yield from _cells(text)
    except csv.Error as error:
        raise UnreadableFile(f"{path} can't be read as CSV: {error}") from error


def _cells(text: str) -> Iterator[Any]:
    """Rows of cells by their column's name, or lines as they are if there is one column."""
    try:
        dialect: Any = csv.Sniffer().sniff(text[:_SNIFFED], ",;\t|")
    except csv.Error:
        return (line for line in text.splitlines() if line.strip())
    dialect.doublequote = True
    rows = csv.reader(io.StringIO(text, newline=""), dialect)
    names = next(rows, [])
    if len(names) < 2 or len(set(names)) < len(names) or any(len(name) > 64 for name in names):
        return (line for line in text.splitlines() if line.strip())
    return (dict(zip(names, row, strict=False)) for row in rows if any(row))


def _parquet(path: Path) -> Iterator[Any]:
    with parquet_file(str(path), str(path)) as file:
        for batch in batches_of(str(path), file):
            yield from batch.to_pylist()


def _record(topic: str, number: int, row: Any) -> Record:
    value = row if isinstance(row, str) else json.dumps(row, ensure_ascii=False, default=str)
    return Record(topic, 0, number, 0, None, value.encode("utf-8", "replace"))


def sending(file: str, table: Mapping[str, Any]) -> str | None:
    """The command that sends the texts of a file as the table reads them; None if `hurnet produce` can't."""
    words = ["hurnet", "produce", shlex.quote(file)]
    for name in ("text", "answer", "key", "timestamp"):
        if expression := table.get(name):
            if (column := _column(expression)) is None:
                return None
            words += [f"--{name}", shlex.quote(column)]
    for expression in table.get("metadata", {}).values():
        if column := _column(expression):
            words += ["--metadata", shlex.quote(column)]
    context = re.fullmatch(r"'([a-z0-9._-]+)'", table.get("context", ""))
    return " ".join([*words, *(["--context", context[1]] if context else [])])


def _column(expression: str) -> str | None:
    """The column that an expression names, with a dot between names; None if it says more than that."""
    found = _COLUMN.fullmatch(expression)
    if found is None:
        return None
    return ".".join(json.loads(p) if p.startswith('"') else p for p in _PIECE.findall(found[1]))
