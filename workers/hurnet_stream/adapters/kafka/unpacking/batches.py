"""The record batches of a fetch: where each begins and ends, and what its header says.

A batch of the newest format (2), and at which byte each field begins:

     0  base offset        the offset of its first record
     8  length             of what follows
    12  leader epoch
    16  magic              the number of the format, at this byte in all formats
    17  checksum           CRC-32C of everything from 21 on
    21  attributes         codec, kind of timestamp, transactional?, control?
    23  last offset delta  its last offset, counted from the base
    27  first timestamp
    35  greatest timestamp
    43  producer id, epoch, sequence
    57  count              of records
    61  the records, compressed or not

A fetch ends in the middle of a batch if the size limit is reached there: the rest comes with the next fetch.
"""

from __future__ import annotations

import hashlib
import struct
from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from crc32c import crc32c

from hurnet_schemas.base import InvalidReason
from hurnet_schemas.dead_letter import MAX_EXCERPT
from hurnet_stream.adapters.kafka.unpacking.fields import deltas, sized, varint
from hurnet_stream.ports import Fault, Record

MAX_RECORDS = 1 << 17
"""The most records of one batch: 100 kB of zstd may hold ten million empty records."""

FRAME = struct.Struct(">qi")
"""Base offset (in the older formats: the last one) and length: what a batch of every format begins with."""
MAGIC = 16
HEAD = struct.Struct(">qiibIhiqqqhii")
LEGACY_HEAD = struct.Struct(">qiIbb")
SHORTEST = 14
"""Bytes behind the frame of the smallest message of the older formats."""
NEWEST = 2
CODEC, APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_CHECKED_FROM = 21
_UNKNOWN_FORMAT = -1


class Origin(NamedTuple):
    """The partition that a batch was read from."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """One batch: all its bytes, and the header as far as it can be believed.

    `broken` says why the bytes are not what the producer sent: they were damaged on the way to us, or on the
    broker's disk. None if there is no sign of that.
    """

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

    def cut_off_at(self, end: int | None) -> RecordBatch:
        """The same batch, ending before offset `end`. A header may claim more, but a batch can't reach into
        the next one."""
        if end is None or self.last < end:
            return self
        broken = f"it says it begins at offset {self.base}" if self.base >= end else self.broken
        return replace(self, last=end - 1, broken=broken)

    @property
    def control(self) -> bool:
        """Whether it is the marker at the end of a transaction, which holds no record of a client."""
        return self.magic == NEWEST and bool(self.attributes & _CONTROL)

    @property
    def transactional(self) -> bool:
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def aborts(self) -> bool:
        """Whether it is the marker of an aborted transaction: its record's key is (version, 0)."""
        try:
            start = varint(self.raw, HEAD.size)[1]
            key, _ = sized(self.raw, deltas(self.raw, start)[2], len(self.raw))
            return bool(struct.unpack_from(">hh", key or b"")[1] == 0)
        except (IndexError, ValueError, struct.error):
            return False


def record_batches(buffer: memoryview) -> Iterator[RecordBatch]:
    """The batches that are complete."""
    position = 0
    while len(buffer) - position > MAGIC:  # else not even its format can be seen
        base, length = FRAME.unpack_from(buffer, position)
        if length < SHORTEST:
            # Where the next batch begins is unknown: everything from here on is one broken batch.
            yield RecordBatch(
                buffer[position:], base, base, _UNKNOWN_FORMAT, broken=f"it says it has {length} bytes"
            )
            return
        end = position + FRAME.size + length
        if end > len(buffer):
            return  # cut off by the fetch's size limit: it comes whole with the next fetch
        yield _headed(buffer[position:end])
        position = end


def _headed(raw: memoryview) -> RecordBatch:
    """The batch with what its header says."""
    base, magic = FRAME.unpack_from(raw)[0], raw[MAGIC]
    if magic < NEWEST:
        # In the older formats the checksum is the plain CRC-32, and covers all from the magic on.
        crc, attributes = LEGACY_HEAD.unpack_from(raw)[2::2]
        broken = None if crc == crc32(raw[MAGIC:]) else "its checksum is wrong"
        return RecordBatch(raw, base, base, magic, attributes, broken=broken)
    if magic != NEWEST or len(raw) < HEAD.size:
        broken = f"it has {len(raw)} bytes and is of format {magic}"
        return RecordBatch(raw, base, base, _UNKNOWN_FORMAT, broken=broken)
    _, _, epoch, _, crc, attributes, delta, first, greatest, producer, _, _, count = HEAD.unpack_from(raw)
    broken = None if crc == crc32c(raw[_CHECKED_FROM:]) else "its checksum is wrong"
    last = base + max(0, delta)  # whatever it says, a batch takes up one offset at least
    return RecordBatch(raw, base, last, magic, attributes, epoch, first, greatest, producer, count, broken)


def faulty_record(
    origin: Origin, first: int, last: int, why: tuple[InvalidReason, str], raw: memoryview, timestamp_ms: int
) -> Record:
    """The record that stands for offsets `first` to `last`, of which `raw` is all that is known."""
    fault = Fault(*why, first, len(raw), bytes(raw[:MAX_EXCERPT]), hashlib.sha256(raw).hexdigest())
    return Record(*origin, last, timestamp_ms, None, b"", fault=fault)
