"""The lines of a file, in whatever encoding it says that it has."""

from __future__ import annotations

import codecs
import io
from typing import BinaryIO, Final

LINE_MOST: Final = 1 << 20
"""Characters of a line that are read. No valid row is as long as this."""
_MARKS: Final = (
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),  # the first begins as UTF-16's does
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)


class Lines:
    """The lines of a file with their ends, at most `LINE_MOST` characters of each; `number` is that of the
    last one that was given, and `ended` whether one more was asked for. Bytes that are not UTF-8 become lone
    surrogates. `whole` says whether the last line ended as a line does."""

    def __init__(self, file: BinaryIO) -> None:
        raw = file if isinstance(file, io.BufferedIOBase) else io.BufferedReader(file)  # type: ignore[type-var]
        start = raw.peek(4)[:4] if isinstance(raw, io.BufferedReader) else _start(raw)
        encoding = encoding_of(start)
        errors = "replace" if encoding else "surrogateescape"
        self._text = io.TextIOWrapper(raw, encoding or "utf-8-sig", errors, newline="")
        self.first = self._next()
        self._waiting: str | None = self.first
        self.ended = False
        self.whole = True
        self.number = 0

    def __iter__(self) -> Lines:
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
        self.whole = line.endswith(("\n", "\r"))
        return line

    def _next(self) -> str:
        line = self._text.readline(LINE_MOST)
        part = line
        while part and not part.endswith(("\n", "\r")) and len(part) == LINE_MOST:
            part = self._text.readline(LINE_MOST)  # the rest of a huge line is passed over
        return line


def encoding_of(start: bytes) -> str | None:
    """What the byte order mark at the start of a file says; None if there is none."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), None)


def _start(file: io.BufferedIOBase) -> bytes:
    start = file.read(4)
    file.seek(0)
    return start
