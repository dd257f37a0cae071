"""The lines of what is typed, piped or kept in files: questions, corrections, receipts."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import BinaryIO

import click
from pydantic import ValidationError

from hurnet_schemas import DEFAULT_CONTEXT, InvalidMessage, TextEvent

LINE_BYTES_MAX = 1 << 20
"""Bytes of a line that are kept. No valid message is as long as this."""
BOM = codecs.BOM_UTF8
_MARKS = (
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),  # the first begins as UTF-16's does
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank. `number` counts from 1; `size` is in bytes and includes blank lines before
    it."""

    number: int
    raw: bytes
    size: int


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """The lines of a file, without blank ones. Only `LINE_BYTES_MAX` bytes of a line are kept.

    A line ends with LF, CR LF or CR. UTF-16 and UTF-32 are read if the file begins with their byte order
    mark. Bytes that are not text in the file's encoding stay in their line, so that the parser refuses only
    that line."""
    size = 0
    for number, (raw, length) in enumerate(_cut(in_utf8(file)), start=1):
        size += length
        if line := raw.strip():
            yield Line(number, line, size)
            size = 0


def decoded(line: Line) -> str:
    """The line as text. Raises `InvalidMessage` if it is not UTF-8."""
    try:
        return line.raw.decode()
    except UnicodeDecodeError as error:
        detail = f"byte {error.start} of {len(line.raw)} is not UTF-8 (`iconv` converts other encodings)"
        raise InvalidMessage("not-utf8", detail) from None


def in_utf8(file: BinaryIO) -> Iterator[bytes]:
    """The file in pieces of UTF-8, without a byte order mark."""
    read = partial(_read, file)
    first: bytes = read(_PIECE)
    while 0 < len(first) < len(codecs.BOM_UTF32_LE) and (more := read(_PIECE)):
        first += more
    pieces = chain([first], iter(lambda: read(_PIECE), b""))
    encoding = next((name for mark, name in _MARKS if first.startswith(mark)), None)
    if encoding is None:
        yield first.removeprefix(BOM)
        yield from islice(pieces, 1, None)
        return
    decoder = codecs.getincrementaldecoder(encoding)("hurnet-no-text")
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "surrogateescape")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")


def _read(file: BinaryIO, size: int) -> bytes:
    """Raises `ClickException` with the file's name if it can't be read on."""
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)
    try:
        return read(size)
    except OSError as error:
        name = getattr(file, "name", None)
        name = name if isinstance(name, str) and name != "<stdin>" else "standard input"
        raise click.ClickException(f"{name} can't be read: {error.strerror}") from error


def _no_text(error: UnicodeError) -> tuple[str, int]:
    """Replaces what can't be decoded by a byte that is not UTF-8 either, so that its line is refused."""
    return "\udcff", getattr(error, "end", 0)


codecs.register_error("hurnet-no-text", _no_text)


def _cut(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, int]]:
    """The lines, cut to `LINE_BYTES_MAX` bytes, and their whole sizes in bytes."""
    kept, size, after_cr = bytearray(), 0, False
    for part in (part for piece in pieces for part in piece.splitlines(keepends=True)):
        size += len(part)
        if after_cr and part == b"\n":  # CR LF, and the piece before ended between the two
            after_cr = False
            continue
        kept += part[: LINE_BYTES_MAX - len(kept)]
        after_cr = part.endswith(b"\r")
        if after_cr or part.endswith(b"\n"):
            yield bytes(kept), size
            kept.clear()
            size = 0
    if kept:
        yield bytes(kept), size


def context_name(name: str | None) -> str:
    """The context that an option --context names. Raises `BadParameter` if no context can have this name."""
    try:
        return TextEvent(text="-", context=DEFAULT_CONTEXT if name is None else name).context
    except ValidationError:
        raise click.BadParameter(
            f"{name!r} is not a context's name: up to 64 of a-z 0-9 . _ -, and first a letter or digit",
            param_hint="--context",
        ) from None
