"""Entries as bytes: by columns, in msgpack.

    [n, texts, their lengths, offsets, timestamps, copies, contexts, which of them, answers, which of them
    (-1: none), metadata]

Texts are one piece of UTF-8, contexts and answers are lists of distinct strings, metadata is a list of n maps
or empty. A column of integers is [least, differences to it], the differences little endian in the fewest
bytes of 0, 1, 2, 4 and 8 that hold the largest:

    offsets 700, 701, 704     [700, 00 01 04]
    copies 1, 1, 1            [1, nothing]

A reader trusts nothing. Every length, range and type is checked, so that what is decoded is what some
`encode_entries` could have been given.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.stored.batch import MAX_COPIES
from hurnet_stream.core.stored.entries import NO_ANSWER, Entries, starts_of

MAX_ROWS: Final = 10_000
"""Rows of a batch."""

_WIDTHS: Final = {0: "<u1", 1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}
_LEAST, _MOST, _WORD = -(2**63), 2**63 - 1, 2**64 - 1

Integers = NDArray[np.int64]


def encode_entries(entries: Entries) -> bytes:
    """The entries as bytes. Raises UnicodeEncodeError (a ValueError) for lone surrogates."""
    encoded: bytes = msgpack.packb(
        (
            len(entries),
            entries.texts,
            _encode_column(np.diff(entries.starts)),
            _encode_column(entries.offsets),
            _encode_column(entries.timestamps_ms),
            _encode_column(entries.copies),
            entries.contexts,
            _encode_column(entries.context_of),
            entries.answers,
            _encode_column(entries.answer_of),
            [dict(metadata) for metadata in entries.metadata],
        )
    )
    return encoded


def decode_entries(encoded: bytes) -> Entries:
    """What `encode_entries` was given. Raises ValueError for what it can't have made."""
    try:
        content = msgpack.unpackb(encoded)
    except (msgpack.UnpackException, ValueError) as error:
        raise ValueError(f"entries are no msgpack: {error}") from error
    if type(content) is not list:
        raise ValueError("entries must be a list")
    if len(content) != 11:
        raise ValueError(f"entries of {len(content)} columns")
    n, texts, lengths, offsets, times, copies, contexts, context_of, answers, answer_of, metadata = content
    if type(n) is not int or not 0 <= n <= MAX_ROWS or type(texts) is not bytes:
        raise ValueError(f"entries must be at most {MAX_ROWS}, and their texts bytes")
    return Entries(
        _decode_column(offsets, n),
        _decode_column(times, n),
        _check_copies(_decode_column(copies, n, -MAX_COPIES, MAX_COPIES), answer_of, n),
        *_decode_strings(contexts, context_of, n, 0),
        texts,
        _starts(texts, _decode_column(lengths, n, 0, len(texts))),
        *_decode_strings(answers, answer_of, n, NO_ANSWER),
        _check_metadata(metadata, n),
    )


def _check_copies(copies: Integers, answer_of: Any, n: int) -> Integers:
    """Copies (n,), none of them 0. Only an entry that has an answer refutes one."""
    if not copies.all() or (_decode_column(answer_of, n)[copies < 0] == NO_ANSWER).any():
        raise ValueError("an entry of 0 copies, or one that refutes nothing")
    return copies


def _encode_column(column: Integers) -> tuple[int, bytes]:
    if not len(column):
        return 0, b""
    least = int(column.min())
    # In unsigned words a difference that int64 would not hold wraps around, and comes out right.
    apart = column.astype(np.uint64) - np.uint64(least & _WORD)
    most = int(apart.max())
    width = next(width for width in _WIDTHS if most < 1 << 8 * width)
    return least, apart.astype(_WIDTHS[width]).tobytes() if width else b""


def _decode_column(encoded: Any, n: int, least: int = _LEAST, most: int = _MOST) -> Integers:
    """A column (n,) of integers from `least` to `most`."""
    if (
        type(encoded) is not list
        or len(encoded) != 2
        or type(encoded[0]) is not int
        or type(encoded[1]) is not bytes
    ):
        raise ValueError("a column must be an integer and bytes")
    first, apart = encoded
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
    """Where each text starts, and where the last ends (n + 1,); each is UTF-8 by itself."""
    starts = starts_of(lengths)
    if starts[-1] != len(texts):
        raise ValueError(f"{len(texts)} bytes of texts whose lengths add up to {starts[-1]}")
    if not texts.isascii():
        texts.decode()  # all together are UTF-8; what is left to check is where they are cut
        inner = starts[starts < len(texts)]
        if (np.frombuffer(texts, np.uint8)[inner] & 0xC0 == 0x80).any():
            raise ValueError("a text begins within a character")
    return starts


def _decode_strings(strings: Any, encoded: Any, n: int, least: int) -> tuple[list[str], Integers]:
    """Distinct strings, and which of them each row has (n,), from `least` on. Every string is some row's."""
    if type(strings) is not list or not {*map(type, strings)} <= {str}:
        raise ValueError("contexts and answers must be lists of strings")
    numbers = _decode_column(encoded, n, least, len(strings) - 1)
    # How many rows have each string; bincount wants numbers from 0 on, so NO_ANSWER comes first.
    rows = np.bincount(numbers - least, minlength=len(strings) - least)[-least:]
    if len(set(strings)) != len(strings) or not rows.all():
        raise ValueError("contexts and answers must be distinct, and there for an entry")
    return strings, numbers


def _check_metadata(maps: Any, n: int) -> list[dict[str, str]]:
    if type(maps) is not list or len(maps) not in (0, n):
        raise ValueError(f"metadata must be a list of none or {n}")
    for metadata in maps:
        if type(metadata) is not dict:
            raise ValueError("an entry's metadata is no map")
        if metadata and not all(type(part) is str for item in metadata.items() for part in item):
            raise ValueError("an entry's metadata is not text")
    return maps
