"""All files that were named, one row after the other.

A file may grow while it is read: then it is read up to where it ended when it was opened, and a last line
that had no end yet is left for the next time.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, cast

from hurnet_schemas.base import MAX_TEXT
from hurnet_stream.operations.files.columns import Columns
from hurnet_stream.operations.files.found import STDIN, Found, Input
from hurnet_stream.operations.files.opened import UnreadableFile, opened, readable, scheme_of, unpacked
from hurnet_stream.operations.files.parquet import parquet_drafts
from hurnet_stream.operations.files.rows import KEY_BYTES, Draft, Reject, not_utf8
from hurnet_stream.operations.files.text_file import Style, TextFile

PARQUET: Final = b"PAR1"
_DOCUMENT_MOST: Final = 8 * MAX_TEXT
"""Bytes of a document that are read: more than the longest text has."""

Named = tuple[str, Draft | Reject]
"""A row, and the file that it is from."""


@dataclass(slots=True)
class TextSource:
    """Reads files. `done` counts the bytes that were read, and `notes` says what a person should know."""

    found: Found
    chosen: Columns = field(default_factory=Columns)
    done: int = 0
    notes: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    """Of the file that was read last, by field."""

    def drafts(self) -> Iterator[Named]:
        """Every row of every file. Raises `UnreadableFile`."""
        for each in self.found.inputs:
            before = self.done
            yield from ((each.name, draft) for draft in self._of(each))
            if each.size is not None:
                self.done = before + each.size

    def _of(self, each: Input) -> Iterator[Draft | Reject]:
        line = _Line()
        with readable(each.name, lambda: line.reached):
            if each.kind == "document":
                yield self._document(each)
            elif each.kind == "parquet":
                yield from self._parquet(each)
            else:
                yield from self._rows(each, line)

    def _count(self, size: int) -> None:
        self.done += size

    def _rows(self, each: Input, line: _Line) -> Iterator[Draft | Reject]:
        with _bytes_of(each, self._count) as (raw, ends):
            file = unpacked(raw)
            start = file.peek(4)[:4]
            if start == PARQUET and each.name != STDIN:
                yield from self._parquet(each)
                return
            style: Style = "any" if each.kind == "auto" else cast(Style, each.kind)
            if start == PARQUET:
                raise UnreadableFile("standard input: Parquet is read from a file, since its end comes first")
            text = TextFile(cast(BinaryIO, file), style, chosen=self.chosen)
            yield from self._held_back(each, text, line, ends)
            self.columns = text.columns

    def _held_back(
        self, each: Input, text: TextFile, line: _Line, ends: _Ends | None
    ) -> Iterator[Draft | Reject]:
        """One row late, so that the last one can be left out."""
        held: Draft | Reject | None = None
        for draft in text.drafts():
            line.reached = draft.line
            if held is not None:
                yield held
            held = draft
        if ends and (now := ends.now()) != ends.size:
            if now < ends.size:
                raise UnreadableFile(f"{each.name}: became shorter while it was read: begin again")
            self.notes.append(
                f"{each.name} grew from {ends.size:,} to {now:,} bytes while it was read: give the command"
                " again for the rest"
            )
            if text.lines and not text.lines.whole:
                return
        if held is not None:
            yield held

    def _parquet(self, each: Input) -> Iterator[Draft | Reject]:
        before = self.done

        def share(part: float) -> None:
            self.done = before + int(part * (each.size or 0))

        with opened(each.name, self._count, seeks=True) as file:
            yield from parquet_drafts(each.name, file, self.chosen, share)

    def _document(self, each: Input) -> Draft | Reject:
        """A whole file as one text, under its name as the key."""
        with opened(each.name, self._count) as raw:
            content = unpacked(raw).read(_DOCUMENT_MOST)
        try:
            text = content.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            if len(content) < _DOCUMENT_MOST:
                return not_utf8(1, None)
            text = content.decode("utf-8", "replace")
        if len(text) > MAX_TEXT:
            told = (
                f"it has more than {MAX_TEXT:,} characters, which a text may have: cut it into several files"
            )
            return Reject(1, "too-long", told)
        name = each.inside or Path(each.name).name
        key = name if len(name.encode("utf-8", "replace")) <= KEY_BYTES else None
        return Draft(1, {"text": text, "metadata": {"file": name[:1_000]}}, key)


@dataclass(slots=True)
class _Line:
    """The line that was reached."""

    reached: int = 0


@dataclass(frozen=True, slots=True)
class _Ends:
    """Where a local file ended when it was opened."""

    path: Path
    size: int

    def now(self) -> int:
        return self.path.stat().st_size


@contextmanager
def _bytes_of(each: Input, count: Callable[[int], None]) -> Iterator[tuple[BinaryIO, _Ends | None]]:
    if each.name == STDIN:
        # Without its buffer, which would wait for a whole block of a pipe that says a line now and then.
        yield getattr(sys.stdin.buffer, "raw", sys.stdin.buffer), None
        return
    with opened(each.name, count) as raw:
        if scheme_of(each.name) or not Path(each.name).is_file():
            yield raw, None
            return
        ends = _Ends(Path(each.name), Path(each.name).stat().st_size)
        yield cast(BinaryIO, _Bounded(raw, ends.size)), ends


class _Bounded(io.RawIOBase):
    """The first bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._file.read(min(self._left, len(buffer)))
        self._left -= len(piece)
        buffer[: len(piece)] = piece
        return len(piece)
