"""Many records written as Kafka keeps them, at once, since kafka-python writes one after the other.

A record of a batch (version 2 of Kafka's format) is its length and then its parts. Numbers are zigzag
varints: 0, -1, 1, -2 become 0, 1, 2, 3, in groups of 7 bits. The text "hi" as record 3 of its batch, with no
key and no header, at the time of the first record:

    0x12     0x00         0x00         0x06       0x01      0x04       "hi"    0x00
    9 more   attributes   0 ms later   record 3   no key    2 bytes    value   no headers

What is the same for many records is looked up in a table, so that a record takes half a microsecond and not
ten. https://kafka.apache.org/documentation/#messageformat
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final

from hurnet_stream.ports import Headers

_TABLE: Final = 1 << 15
_ABSENT: Final = b"\x01"
"""The length -1, for a key or a header's value that is not there."""


def varint(number: int) -> bytes:
    """A whole number of at most 64 bits as a zigzag varint."""
    left = (number << 1) ^ (number >> 63)
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


_VARINTS: Final = tuple(varint(number) for number in range(_TABLE))


def packed_headers(headers: Headers) -> bytes:
    """The headers of a record, with their number."""
    parts = [varint(len(headers))]
    for name, value in headers:
        raw = name.encode()
        parts += varint(len(raw)), raw, _ABSENT if value is None else varint(len(value)) + value
    return b"".join(parts)


def packed(
    values: Sequence[bytes], keys: Sequence[bytes | None], deltas_ms: Sequence[int], headers: bytes
) -> bytes:
    """The records of a batch from its first one on. `keys` and `deltas_ms`, the times after the first
    record's, are as long as `values`, or empty if there are none. All have the same packed `headers`."""
    written_keys: Iterable[bytes] = map(_key, keys) if keys else repeat(_ABSENT)
    deltas: Iterable[bytes] = map(_varint, deltas_ms) if deltas_ms else repeat(b"\x00")
    parts: list[bytes] = []
    for number, (value, key, delta) in enumerate(zip(values, written_keys, deltas, strict=False)):
        begin = b"\x00" + delta + _varint(number) + key + _varint(len(value))
        parts += _varint(len(begin) + len(value) + len(headers)), begin, value, headers
    return b"".join(parts)


def _varint(number: int) -> bytes:
    return _VARINTS[number] if 0 <= number < _TABLE else varint(number)


def _key(key: bytes | None) -> bytes:
    return _ABSENT if key is None else _varint(len(key)) + key
