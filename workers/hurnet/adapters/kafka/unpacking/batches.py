"""Record batches as they were fetched, read without trust: a producer, a disk or a network may have written
anything."""

from __future__ import annotations

import hashlib
import struct
from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from crc32c import crc32c
from kafka.record.util import decode_varint as varint

from hurnet.adapters.kafka.unpacking.codecs import Damaged
from hurnet.ports import Fault, Record
from hurnet_schemas.base import InvalidReason
from hurnet_schemas.dead_letter import MAX_EXCERPT

MAX_RECORDS = 1 << 17
"""Of one batch: 100 kB of zstd may hold ten million empty ones."""

FRAME = struct.Struct(">qi")  # base offset (in the older formats: the last), length of what follows
MAGIC = 16
HEAD = struct.Struct(">qiibIhiqqqhii")
LEGACY_HEAD = struct.Struct(">qiIbb")
SHORTEST = 14  # the body of the smallest message of the older formats
NEWEST = 2
CODEC, APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_CHECKED_FROM = 21  # the checksum covers everything behind itself


class Place(NamedTuple):
    """Where a batch was read."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: its header, as far as it can be believed, and all its bytes. `broken` says why they may not
    be what the broker holds: they were damaged on their way, or on the broker's disk."""

    raw: memoryview
    base: int
    last: int
    magic: int
    attributes: int = 0
    epoch: int = -1
    first_timestamp: int = -1
    max_timestamp: int = -1
    producer: int = -1
    count: int = 1
    broken: str | None = None

    def before(self, end: int | None) -> Batch:
        """It can't reach beyond `end`, whatever it says: there the next one begins, or there is none."""
        if end is None or self.last < end:
            return self
        broken = f"it says it begins at offset {self.base}" if self.base >= end else self.broken
        return replace(self, last=end - 1, broken=broken)

    @property
    def control(self) -> bool:
        """Whether it is a marker between transactions, and holds no records of anybody's."""
        return self.magic == NEWEST and bool(self.attributes & _CONTROL)

    @property
    def transactional(self) -> bool:
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def aborts(self) -> bool:
        """Whether it is the marker of an aborted transaction."""
        try:
            start = varint(self.raw, HEAD.size)[1]
            key, _ = sized(self.raw, behind_times(self.raw, start)[2], len(self.raw))
            return bool(struct.unpack_from(">hh", key or b"")[1] == 0)
        except (IndexError, ValueError, struct.error):
            return False


def batches(buffer: memoryview) -> Iterator[Batch]:
    """Those that are complete; a partial one at the end will be fetched again."""
    at = 0
    while len(buffer) - at > MAGIC:
        base, length = FRAME.unpack_from(buffer, at)
        if length < SHORTEST:
            yield Batch(buffer[at:], base, base, -1, broken=f"it says it has {length} bytes")
            return
        end = at + FRAME.size + length
        if end > len(buffer):
            return
        yield _headed(buffer[at:end])
        at = end


def _headed(raw: memoryview) -> Batch:
    base, magic = FRAME.unpack_from(raw)[0], raw[MAGIC]
    if magic < NEWEST:
        crc, attributes = LEGACY_HEAD.unpack_from(raw)[2::2]
        broken = None if crc == crc32(raw[MAGIC:]) else "its checksum is wrong"
        return Batch(raw, base, base, magic, attributes, broken=broken)
    if magic != NEWEST or len(raw) < HEAD.size:
        return Batch(raw, base, base, -1, broken=f"it has {len(raw)} bytes and is of format {magic}")
    _, _, epoch, _, crc, attributes, delta, first, greatest, producer, _, _, count = HEAD.unpack_from(raw)
    broken = None if crc == crc32c(raw[_CHECKED_FROM:]) else "its checksum is wrong"
    last = base + max(0, delta)
    return Batch(raw, base, last, magic, attributes, epoch, first, greatest, producer, count, broken)


def faulty(
    place: Place, first: int, last: int, why: tuple[InvalidReason, str], raw: memoryview, timestamp_ms: int
) -> Record:
    """What stands for offsets `first` to `last`, of which `raw` is all that is known."""
    fault = Fault(*why, first, len(raw), bytes(raw[:MAX_EXCERPT]), hashlib.sha256(raw).hexdigest())
    return Record(*place, last, timestamp_ms, None, b"", fault=fault)


def behind_times(body: memoryview, start: int) -> tuple[int, int, int]:
    """Of the record at `start`: timestamp delta, offset delta, and where its key begins. A byte of attributes
    comes before them."""
    timestamp, at = varint(body, start + 1)
    offset, at = varint(body, at)
    return timestamp, offset, at


def sized(body: memoryview, at: int, end: int) -> tuple[memoryview | None, int]:
    """The field at `at`, and where the next one begins."""
    size, at = varint(body, at)
    if size < 0:
        return None, at
    if size > end - at:
        raise Damaged(f"a field of {size} bytes in a record that has {end - at} left")
    return body[at : at + size], at + size


def copied(field: memoryview | None) -> bytes | None:
    return None if field is None else bytes(field)
