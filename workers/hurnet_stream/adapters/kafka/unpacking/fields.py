"""Fields of a record: numbers of variable length, and byte strings that begin with their length.

A record of the newest format, each length a varint:

    length | attributes | timestamp delta | offset delta | key length, key | value length, value | headers
             ^ start                                       ^ where the key is, by `deltas`

A length of -1 means that there is no key, or no value.
"""

from __future__ import annotations

from kafka.record.util import decode_varint as varint

__all__ = ["Damaged", "TooLarge", "copied", "deltas", "sized", "varint"]


class Damaged(ValueError):
    """The bytes are not what Kafka, or the codec, writes."""


class TooLarge(ValueError):
    """There is more in the bytes than is allowed."""


def deltas(body: memoryview, start: int) -> tuple[int, int, int]:
    """(timestamp delta, offset delta, where the key begins) of the record whose attributes are at `start`."""
    timestamp_delta, position = varint(body, start + 1)  # one byte of attributes comes first
    offset_delta, position = varint(body, position)
    return timestamp_delta, offset_delta, position


def sized(body: memoryview, position: int, end: int) -> tuple[memoryview | None, int]:
    """(the byte string at `position`, where the next field begins). Raises `Damaged` if it passes `end`."""
    size, position = varint(body, position)
    if size < 0:
        return None, position
    if size > end - position:
        raise Damaged(f"a field of {size} bytes in a record that has {end - position} left")
    return body[position : position + size], position + size


def copied(field: memoryview | None) -> bytes | None:
    """The field's own bytes: a view would keep the whole fetch in memory."""
    return None if field is None else bytes(field)
