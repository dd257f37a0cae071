"""Entries as bytes: in msgpack, by columns (format 2) or, as of old, an entry at a time (format 1).

Format 2 is [n, texts, their lengths, offsets, timestamps, copies, contexts, which of them, answers, which of
them (-1: none), metadata]. Texts are one piece of UTF-8, contexts and answers lists of distinct strings,
metadata a list of n maps or empty. A column of integers is [least, differences to it], these little endian in
the fewest bytes of 0, 1, 2, 4 and 8 that hold the largest.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from hurnet.core.stored.batch import MAX_COPIES
from hurnet.core.stored.entries import NO_ANSWER, Entries, Entry, starts_of

MAX_ROWS: Final = 10_000
"""Rows of a batch."""
BY_ENTRIES: Final = 1
BY_COLUMNS: Final = 2

_WIDTHS: Final = {0: "<u1", 1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}
_LEAST, _MOST, _WORD = -(2**63), 2**63 - 1, 2**64 - 1
_FIELDS: Final = 6
"""Of an entry in format 1; a seventh is its copies, where that is not 1."""
_ANSWER: Final = frozenset({str, type(None)})

Integers = NDArray[np.int64]


def pack_entries(entries: Entries) -> bytes:
    """In format 2. Raises UnicodeEncodeError (a ValueError) for lone surrogates."""
    packed: bytes = msgpack.packb(
        (
            len(entries),
            entries.texts,
            _packed(np.diff(entries.starts)),
            _packed(entries.offsets),
            _packed(entries.timestamps_ms),
            _packed(entries.copies),
            entries.contexts,
            _packed(entries.context_of),
            entries.answers,
            _packed(entries.answer_of),
            [dict(metadata) for metadata in entries.metadata],
        )
    )
    return packed


def unpack_entries(version: int, packed: bytes) -> Entries:
    """Those that were packed in that format. Raises ValueError for what can't have been."""
    try:
        content = msgpack.unpackb(packed)
    except (msgpack.UnpackException, ValueError) as error:
        raise ValueError(f"entries are no msgpack: {error}") from error
    if type(content) is not list:
        raise ValueError("entries must be a list")
    return _of_rows(content) if version == BY_ENTRIES else _of_columns(content)


def _packed(column: Integers) -> tuple[int, bytes]:
    if not len(column):
        return 0, b""
    least = int(column.min())
    apart = column.astype(np.uint64) - np.uint64(least & _WORD)  # goes round where int64 would not hold it
    most = int(apart.max())
    width = next(width for width in _WIDTHS if most < 1 << 8 * width)
    return least, apart.astype(_WIDTHS[width]).tobytes() if width else b""


def _of_columns(content: list[Any]) -> Entries:
    if len(content) != 11:
        raise ValueError(f"entries of {len(content)} columns")
    n, texts, lengths, offsets, times, copies, contexts, context_of, answers, answer_of, metadata = content
    if type(n) is not int or not 0 <= n <= MAX_ROWS or type(texts) is not bytes:
        raise ValueError(f"entries must be at most {MAX_ROWS}, and their texts bytes")
    return Entries(
        _integers(offsets, n),
        _integers(times, n),
        _integers(copies, n, 1, MAX_COPIES),
        *_strings(contexts, context_of, n, 0),
        texts,
        _starts(texts, _integers(lengths, n, 0, len(texts))),
        *_strings(answers, answer_of, n, NO_ANSWER),
        _metadata(metadata, n),
    )


def _integers(packed: Any, n: int, least: int = _LEAST, most: int = _MOST) -> Integers:
    """A column (n,) of integers from `least` to `most`."""
    if (
        type(packed) is not list
        or len(packed) != 2
        or type(packed[0]) is not int
        or type(packed[1]) is not bytes
    ):
        raise ValueError("a column must be an integer and bytes")
    first, apart = packed
    width, over = divmod(len(apart), n) if n else (0, len(apart))
    if over or width not in _WIDTHS or not (least <= first <= most or not n):
        raise ValueError(
            f"{len(apart)} bytes from {first} on are no column of {n} rows from {least} to {most}"
        )
    if not width:
        return np.full(n, first if n else 0)
    column = np.frombuffer(apart, _WIDTHS[width]).astype(np.uint64)
    column += first & _WORD
    values = column.view(np.int64)
    if (least > _LEAST or most < _MOST) and (values.min() < least or values.max() > most):
        raise ValueError(f"a column leaves {least} to {most}")
    return values


def _starts(texts: bytes, lengths: Integers) -> Integers:
    """Where the texts start, each of them UTF-8 by itself."""
    starts = starts_of(lengths)
    if starts[-1] != len(texts):
        raise ValueError(f"{len(texts)} bytes of texts whose lengths add up to {starts[-1]}")
    if not texts.isascii():
        texts.decode()
        inner = starts[starts < len(texts)]
        if (np.frombuffer(texts, np.uint8)[inner] & 0xC0 == 0x80).any():
            raise ValueError("a text begins within a character")
    return starts


def _strings(strings: Any, packed: Any, n: int, least: int) -> tuple[list[str], Integers]:
    """Distinct strings, each of them some row's, and which of them each row has (n,)."""
    if type(strings) is not list or not {*map(type, strings)} <= {str}:
        raise ValueError("contexts and answers must be lists of strings")
    of = _integers(packed, n, least, len(strings) - 1)
    rows = np.bincount(of - least, minlength=len(strings) - least)[-least:]
    if len(set(strings)) != len(strings) or not rows.all():
        raise ValueError("contexts and answers must be distinct, and there for an entry")
    return strings, of


def _metadata(maps: Any, n: int) -> list[dict[str, str]]:
    if type(maps) is not list or len(maps) not in (0, n):
        raise ValueError(f"metadata must be a list of none or {n}")
    for metadata in maps:
        _check_metadata(metadata)
    return maps


def _check_metadata(metadata: Any) -> None:
    if type(metadata) is not dict:
        raise ValueError("an entry's metadata is no map")
    if metadata and not all(type(part) is str for item in metadata.items() for part in item):
        raise ValueError("an entry's metadata is not text")


def _of_rows(rows: list[Any]) -> Entries:
    if len(rows) > MAX_ROWS:
        raise ValueError(f"entries must be at most {MAX_ROWS}")
    try:
        return Entries.of([_entry(row) for row in rows])
    except OverflowError as error:
        raise ValueError(f"an entry's fields don't fit: {error}") from error


def _entry(row: Any) -> Entry:
    if type(row) is not list or len(row) not in (_FIELDS, _FIELDS + 1):
        raise ValueError("an entry has the wrong fields")
    copies = row.pop() if len(row) > _FIELDS else 1
    if type(copies) is not int or not 1 <= copies <= MAX_COPIES:
        raise ValueError("an entry's copies is out of range")
    offset, timestamp_ms, context, text, answer, metadata = row
    right = type(offset) is type(timestamp_ms) is int and type(context) is type(text) is str
    if not right or type(answer) not in _ANSWER:
        raise ValueError("an entry's fields have the wrong types")
    _check_metadata(metadata)
    return Entry(offset, timestamp_ms, context, text, answer, metadata, copies)
