"""Messages of Kafka's formats 0 and 1: what a topic may still hold from brokers before 4.0."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from hurnet.adapters.kafka.unpacking.batches import (
    CODEC,
    FRAME,
    LEGACY_HEAD,
    MAGIC,
    MAX_RECORDS,
    SHORTEST,
    Batch,
    Place,
    copied,
)
from hurnet.adapters.kafka.unpacking.codecs import Damaged, TooLarge, unpack
from hurnet.ports import Record


class _Message(NamedTuple):
    offset: int
    timestamp_ms: int
    key: memoryview | None
    value: memoryview | None


def messages(place: Place, batch: Batch, position: int, most: int) -> Iterator[Record]:
    """The message that the batch is, or those that its value holds. Raises `Damaged`, `TooLarge`."""
    outer = _message(batch.raw)
    codec = batch.attributes & CODEC
    if not codec:
        if batch.base >= position:
            yield _record(place, outer, batch.base)
        return
    inner = _within(unpack(codec, outer.value or memoryview(b""), most))
    # In format 1 they count from nought, and the outer one has the offset of the last.
    shift = batch.base - inner[-1].offset if inner and batch.magic == 1 else 0
    following = position
    for message in inner:
        offset = message.offset + shift
        if following <= offset <= batch.base:
            yield _record(place, message, offset)
            following = offset + 1
    if not inner:
        raise Damaged("a compressed message that holds none")


def _record(place: Place, message: _Message, offset: int) -> Record:
    return Record(*place, offset, message.timestamp_ms, copied(message.key), copied(message.value))


def _within(body: memoryview) -> list[_Message]:
    found: list[_Message] = []
    at = 0
    while len(body) - at > MAGIC:
        length = FRAME.unpack_from(body, at)[1]
        end = at + FRAME.size + length
        if length < SHORTEST or end > len(body):
            raise Damaged(f"within a batch a message that says it has {length} bytes")
        if len(found) == MAX_RECORDS:
            raise TooLarge(f"a batch of more than {MAX_RECORDS} messages")
        found.append(_message(body[at:end]))
        at = end
    return found


def _message(raw: memoryview) -> _Message:
    try:
        offset, at, timestamp = FRAME.unpack_from(raw)[0], LEGACY_HEAD.size, -1
        if raw[MAGIC]:
            timestamp, at = struct.unpack_from(">q", raw, at)[0], at + 8
        key, at = _sized(raw, at)
        value, at = _sized(raw, at)
    except struct.error as error:
        raise Damaged(f"a message that ends too early: {error}") from None
    return _Message(offset, timestamp, key, value)


def _sized(raw: memoryview, at: int) -> tuple[memoryview | None, int]:
    size, at = struct.unpack_from(">i", raw, at)[0], at + 4
    if size < 0:
        return None, at
    if size > len(raw) - at:
        raise Damaged(f"a field of {size} bytes in a message that has {len(raw) - at} left")
    return raw[at : at + size], at + size
