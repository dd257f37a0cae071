"""The wire format of Confluent's serialisers: which schema the bytes behind it are of.

    00 | 00 00 00 2a | 02 00 ...        magic byte, id of the schema (42), the bytes by that schema
    00 | 00 00 00 2a | 00 | 0a 03 ...   of Protobuf: which message of the file, then the message

Which message is a list of indexes, as zigzag varints with their number before: [2, 1] is the second message
within the third one. The list [0], the first message, is written as one byte, 0.
"""

from __future__ import annotations

import struct
from typing import Final

from hurnet_schemas import InvalidMessage

MAGIC: Final = 0
_GUID: Final = 1
HEADER_BYTES: Final = 5
INDEXES_MOST: Final = 100
"""As deep as Protobuf nests messages."""
_VARINT_BYTES_MOST: Final = 5


def schema_id(raw: bytes) -> int:
    """The id before the value. Raises `InvalidMessage`."""
    if len(raw) >= HEADER_BYTES and raw[0] == MAGIC:
        (number,) = struct.unpack_from(">i", raw, 1)
        if number >= 0:
            return int(number)
    raise InvalidMessage("invalid-message", f"the value {_why(raw)}")


def message_indexes(raw: bytes) -> tuple[tuple[int, ...], int]:
    """Which message of its file a Protobuf value is, and where in `raw` it begins. Raises
    `InvalidMessage`."""
    count, place = _varint(raw, HEADER_BYTES)
    if count == 0:
        return (0,), place
    if not 0 < count <= INDEXES_MOST:
        raise InvalidMessage("invalid-message", f"byte {HEADER_BYTES}: {count} indexes of messages")
    indexes = []
    for _ in range(count):
        index, place = _varint(raw, place)
        indexes.append(index)
    return tuple(indexes), place


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    number = 0
    for at, byte in enumerate(raw[place : place + _VARINT_BYTES_MOST]):
        number |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), place + at + 1
    raise InvalidMessage(
        "invalid-message", f"byte {place}: which message of its schema the value is can't be read"
    )


def _why(raw: bytes) -> str:
    must = "it must begin with a byte 0 and the id of its schema in 4 bytes"
    if raw[:1] in (b"{", b"["):
        return f"looks like JSON without a schema's id: {must}, or format is json"
    if raw[:1] == bytes([_GUID]):
        return f"begins with byte 1, a schema by its GUID, which is not read: {must}"
    if raw[:4] == b"Obj\x01":
        return f"is a file of Avro with its schema in it: {must}"
    if len(raw) < HEADER_BYTES:
        return f"has {len(raw)} bytes: {must}"
    return f"has no schema's id: {must}. Is the id in a header, as newer serialisers can have it?"
