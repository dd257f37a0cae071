"""Messages of Kafka's formats 0 and 1, which a topic may still hold from brokers before 4.0.

There is no batch in these formats. A message is alone, or it is a wrapper whose value holds compressed
messages. The wrapper has the offset of the last of them, and in format 1 those within count from zero:

    wrapper at offset 12:  [0] [1] [2]   ->   messages at 10, 11 and 12
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from hurnet_stream.adapters.kafka.unpacking.batches import (
    CODEC,
    FRAME,
    LEGACY_HEAD,
    MAGIC,
    MAX_RECORDS,
    SHORTEST,
    Origin,
    RecordBatch,
)
from hurnet_stream.adapters.kafka.unpacking.codecs import unpack
from hurnet_stream.adapters.kafka.unpacking.fields import Damaged, TooLarge, copied
from hurnet_stream.ports import Record


class _Message(NamedTuple):
    offset: int
    timestamp_ms: int
    key: memoryview | None
    value: memoryview | None


def messages(origin: Origin, batch: RecordBatch, position: int, max_bytes: int) -> Iterator[Record]:
    """The message that `batch` is, or those within it, from offset `position` on.

    Raises `Damaged`, and `TooLarge` if they unpack to more than `max_bytes`.
    """
    outer = _message(batch.raw)
    codec = batch.attributes & CODEC
    if not codec:
        if batch.base >= position:
            yield _record(origin, outer, batch.base)
        return
    inner = _within(unpack(codec, outer.value or memoryview(b""), max_bytes))
    shift = batch.base - inner[-1].offset if inner and batch.magic == 1 else 0
    # Anybody may have written these numbers: one that does not rise, or passes the wrapper's, is left out.
    next_offset = position
    for message in inner:
        offset = message.offset + shift
        if next_offset <= offset <= batch.base:
            yield _record(origin, message, offset)
            next_offset = offset + 1
    if not inner:
        raise Damaged("a compressed message that holds none")


def _record(origin: Origin, message: _Message, offset: int) -> Record:
    return Record(*origin, offset, message.timestamp_ms, copied(message.key), copied(message.value))


def _within(body: memoryview) -> list[_Message]:
    """The messages of a wrapper, one after another."""
    inner: list[_Message] = []
    position = 0
    while len(body) - position > MAGIC:
        length = FRAME.unpack_from(body, position)[1]
        end = position + FRAME.size + length
        if length < SHORTEST or end > len(body):
            raise Damaged(f"within a batch a message that says it has {length} bytes")
        if len(inner) == MAX_RECORDS:
            raise TooLarge(f"a batch of more than {MAX_RECORDS} messages")
        inner.append(_message(body[position:end]))
        position = end
    return inner


def _message(raw: memoryview) -> _Message:
    try:
        offset, position, timestamp_ms = FRAME.unpack_from(raw)[0], LEGACY_HEAD.size, -1
        if raw[MAGIC]:  # format 0 has no timestamp
            timestamp_ms, position = struct.unpack_from(">q", raw, position)[0], position + 8
        key, position = _sized(raw, position)
        value, position = _sized(raw, position)
    except struct.error as error:
        raise Damaged(f"a message that ends too early: {error}") from None
    return _Message(offset, timestamp_ms, key, value)


def _sized(raw: memoryview, position: int) -> tuple[memoryview | None, int]:
    """As `fields.sized`, with a length of 4 bytes."""
    size, position = struct.unpack_from(">i", raw, position)[0], position + 4
    if size < 0:
        return None, position
    if size > len(raw) - position:
        raise Damaged(f"a field of {size} bytes in a message that has {len(raw) - position} left")
    return raw[position : position + size], position + size
