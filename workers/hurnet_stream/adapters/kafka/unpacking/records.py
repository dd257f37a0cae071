"""The records of a batch, each read as far as it can be.

What can't be read becomes a record with a `fault`, and its neighbours are read all the same. A batch that
says it has four records at offsets 10 to 13:

    record of 10       sound                                  -> record 10
    record of 11       says that its key has 900 bytes, and   -> record 11 with a fault: its own length still
                       ends after 40                             says where the next one begins
    record of 12       says that it has offset 99             -> record 12 with a fault: the next free offset
    then bytes whose   no record can be told apart any more   -> record 13 with a fault, for all that is left
    length is nonsense                                           of the batch
"""

from __future__ import annotations

from collections.abc import Iterator

from hurnet_schemas.base import InvalidReason
from hurnet_schemas.dead_letter import MAX_EXCERPT
from hurnet_stream.adapters.kafka.unpacking.batches import (
    APPEND_TIME,
    CODEC,
    HEAD,
    MAX_RECORDS,
    NEWEST,
    Origin,
    RecordBatch,
    faulty_record,
)
from hurnet_stream.adapters.kafka.unpacking.codecs import unpack
from hurnet_stream.adapters.kafka.unpacking.fields import Damaged, TooLarge, copied, deltas, sized, varint
from hurnet_stream.adapters.kafka.unpacking.legacy import messages
from hurnet_stream.ports import Record

MAX_RECORD_BYTES = 1 << 20
"""The most bytes of one record with its key and headers. Every valid message of ours is smaller."""
_MAX_HEADERS_BYTES = 1 << 16
"""A record that is too large keeps its headers up to this size: they may say where an answer is awaited."""
_INT64 = 1 << 63


def records(origin: Origin, batch: RecordBatch, position: int, max_bytes: int) -> Iterator[Record]:
    """The records from offset `position` on, in rising order of their offsets.

    A batch that can't be unpacked, or that unpacks to more than `max_bytes`, is one record with a fault.
    """
    reason: InvalidReason = "unreadable"
    try:
        if batch.count > MAX_RECORDS:
            raise TooLarge(f"a batch of {batch.count} records: {MAX_RECORDS} are read")
        if batch.magic == NEWEST:
            yield from _Reader(origin, batch, _body(batch, max_bytes)).read(position)
        else:
            yield from messages(origin, batch, position, max_bytes)
        return
    except TooLarge as error:
        reason, detail = "too-large", str(error)
    except Damaged as error:
        detail = str(error)
    yield put_aside(origin, batch, position, (reason, detail))


def put_aside(origin: Origin, batch: RecordBatch, position: int, why: tuple[InvalidReason, str]) -> Record:
    """One record with a fault, for all offsets of the batch from `position` on."""
    # In the older formats `base` is the batch's last offset.
    first = max(batch.base, position) if batch.magic == NEWEST else position
    return faulty_record(origin, first, max(first, batch.last), why, batch.raw, batch.max_timestamp)


def _body(batch: RecordBatch, max_bytes: int) -> memoryview:
    packed = batch.raw[HEAD.size :]
    codec = batch.attributes & CODEC
    return unpack(codec, packed, max_bytes) if codec else packed


class _Reader:
    """Reads the records of one batch of the newest format, once."""

    def __init__(self, origin: Origin, batch: RecordBatch, body: memoryview) -> None:
        self._origin = origin
        self._batch = batch
        self._body = body
        self._next_offset = batch.base
        """The lowest offset that the next record may have: offsets only rise within a batch."""

    def read(self, position: int) -> Iterator[Record]:
        end, left = 0, self._batch.count
        # A record's own length says where the next one begins, even if nothing else in it can be read.
        while left > 0 and (extent := self._extent(end)):
            start, end = extent
            left -= 1
            record = self._record(start, end)
            if record and record.offset >= position:
                yield record
        rest = self._body[end:]
        first = max(self._next_offset, position)
        if (left > 0 or rest) and first <= self._batch.last:
            detail = f"after offset {self._next_offset - 1} its batch has no record that can be told apart"
            yield self._fault(first, self._batch.last, detail, rest, self._batch.max_timestamp)

    def _extent(self, position: int) -> tuple[int, int] | None:
        """(where it begins, where it ends) of the record whose length is at `position`; None if none is."""
        try:
            length, start = varint(self._body, position)
        except (IndexError, ValueError):
            return None
        return (start, start + length) if 0 < length <= len(self._body) - start else None

    def _record(self, start: int, end: int) -> Record | None:
        """None if the batch's header claims fewer offsets than there are records, and this one is beyond."""
        offset, timestamp = self._next_offset, self._batch.max_timestamp
        if offset > self._batch.last:
            return None
        self._next_offset += 1
        try:
            timestamp_delta, offset_delta, key_at = deltas(self._body, start)
            claimed = self._batch.base + offset_delta
            if not offset <= claimed <= self._batch.last:
                raise Damaged(f"the record says it has offset {claimed}, out of order")
            offset, self._next_offset = claimed, claimed + 1  # compaction leaves gaps between offsets
            # Else the broker's clock counts, for the whole batch.
            if not self._batch.attributes & APPEND_TIME:
                timestamp = max(-_INT64, min(self._batch.first_timestamp + timestamp_delta, _INT64 - 1))
            return self._content(offset, timestamp, key_at, end)
        except (IndexError, ValueError) as error:  # `Damaged` is a ValueError
            return self._fault(offset, offset, str(error), self._body[start:end], timestamp)

    def _content(self, offset: int, timestamp: int, key_at: int, end: int) -> Record:
        key, value_at = sized(self._body, key_at, end)
        value, headers_at = sized(self._body, value_at, end)
        if end - key_at > MAX_RECORD_BYTES:
            headers = _headers(self._body, headers_at, end) if end - headers_at <= _MAX_HEADERS_BYTES else ()
            detail = f"a record of {end - key_at} bytes: no message has more than {MAX_RECORD_BYTES}"
            faulty = self._fault(offset, offset, detail, value or memoryview(b""), timestamp, "too-long")
            short_key = None if key is None else bytes(key[:MAX_EXCERPT])
            return Record(*self._origin, offset, timestamp, short_key, b"", headers, faulty.fault)
        headers = _headers(self._body, headers_at, end)
        where = *self._origin, offset, timestamp
        return Record(*where, copied(key), copied(value), headers, leader_epoch=self._batch.epoch)

    def _fault(
        self,
        first: int,
        last: int,
        detail: str,
        raw: memoryview,
        timestamp: int,
        reason: InvalidReason = "unreadable",
    ) -> Record:
        return faulty_record(self._origin, first, last, (reason, detail), raw, timestamp)


def _headers(body: memoryview, position: int, end: int) -> tuple[tuple[str, bytes], ...]:
    """A name may have any bytes: those that are not UTF-8 are escaped. A header without a value has an empty
    one."""
    count, position = varint(body, position)
    if not 0 <= count <= (end - position) // 2:  # each takes two bytes at least: its two lengths
        raise Damaged(f"{count} headers in {end - position} bytes")
    headers: list[tuple[str, bytes]] = []
    for _ in range(count):
        name, position = sized(body, position, end)
        if name is None:
            raise Damaged("a header without a name")
        value, position = sized(body, position, end)
        headers.append((bytes(name).decode("utf-8", "backslashreplace"), bytes(value or b"")))
    if position != end:
        raise Damaged(f"{end - position} bytes behind the record's last header")
    return tuple(headers)
