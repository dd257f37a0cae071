"""The records of a batch. What can't be read becomes a record with a `fault`, and what stands around it in
its batch is read all the same."""

from __future__ import annotations

from collections.abc import Iterator

from kafka.record.util import decode_varint as varint

from hurnet.adapters.kafka.unpacking.batches import (
    APPEND_TIME,
    CODEC,
    HEAD,
    MAX_RECORDS,
    NEWEST,
    Batch,
    Place,
    behind_times,
    copied,
    faulty,
    sized,
)
from hurnet.adapters.kafka.unpacking.codecs import Damaged, TooLarge, unpack
from hurnet.adapters.kafka.unpacking.legacy import messages
from hurnet.ports import Record
from hurnet_schemas.base import InvalidReason
from hurnet_schemas.dead_letter import MAX_EXCERPT

MAX_RECORD = 1 << 20
"""Bytes of one record, key and headers included: a valid message is always smaller."""

_HEADERS_KEPT = 1 << 16  # bytes of them up to which a record that is too large keeps its own
_INT64 = 1 << 63


def records(place: Place, batch: Batch, position: int, most: int) -> Iterator[Record]:
    """Those from offset `position` on, in rising order. A batch that can't be unpacked, or unpacks to more
    than `most` bytes, is one record with a fault."""
    reason: InvalidReason = "unreadable"
    try:
        if batch.count > MAX_RECORDS:
            raise TooLarge(f"a batch of {batch.count} records: {MAX_RECORDS} are read")
        if batch.magic == NEWEST:
            yield from _Reader(place, batch, _body(batch, most)).read(position)
        else:
            yield from messages(place, batch, position, most)
        return
    except TooLarge as error:
        reason, detail = "too-large", str(error)
    except Damaged as error:
        detail = str(error)
    yield put_aside(place, batch, position, (reason, detail))


def put_aside(place: Place, batch: Batch, position: int, why: tuple[InvalidReason, str]) -> Record:
    """The whole batch, as far as it lies at `position` or beyond."""
    first = max(batch.base, position) if batch.magic == NEWEST else position
    return faulty(place, first, max(first, batch.last), why, batch.raw, batch.max_timestamp)


def _body(batch: Batch, most: int) -> memoryview:
    packed = batch.raw[HEAD.size :]
    codec = batch.attributes & CODEC
    return unpack(codec, packed, most) if codec else packed


class _Reader:
    """Reads the records of one batch of the newest format, once."""

    def __init__(self, place: Place, batch: Batch, body: memoryview) -> None:
        self._place = place
        self._batch = batch
        self._body = body
        self._following = batch.base  # the lowest offset that the next record may have

    def read(self, position: int) -> Iterator[Record]:
        at, left = 0, self._batch.count
        while left > 0 and (extent := self._extent(at)):
            start, at = extent
            left -= 1
            record = self._record(start, at)
            if record and record.offset >= position:
                yield record
        rest = self._body[at:]
        first = max(self._following, position)
        if (left > 0 or rest) and first <= self._batch.last:
            detail = f"after offset {self._following - 1} its batch has no record that can be told apart"
            yield self._fault(first, self._batch.last, detail, rest, self._batch.max_timestamp)

    def _extent(self, at: int) -> tuple[int, int] | None:
        """Where the record at `at` begins and ends; None if there is none."""
        try:
            length, start = varint(self._body, at)
        except (IndexError, ValueError):
            return None
        return (start, start + length) if 0 < length <= len(self._body) - start else None

    def _record(self, start: int, end: int) -> Record | None:
        """None for one that has no offset left in its batch."""
        offset, timestamp = self._following, self._batch.max_timestamp
        if offset > self._batch.last:
            return None
        self._following += 1
        try:
            delta, offset_delta, at = behind_times(self._body, start)
            claimed = self._batch.base + offset_delta
            if not offset <= claimed <= self._batch.last:
                raise Damaged(f"the record says it has offset {claimed}, out of its place")
            offset, self._following = claimed, claimed + 1
            if not self._batch.attributes & APPEND_TIME:
                timestamp = max(-_INT64, min(self._batch.first_timestamp + delta, _INT64 - 1))
            return self._content(offset, timestamp, at, end)
        except (IndexError, ValueError) as error:  # `Damaged` is one
            return self._fault(offset, offset, str(error), self._body[start:end], timestamp)

    def _content(self, offset: int, timestamp: int, begin: int, end: int) -> Record:
        key, at = sized(self._body, begin, end)
        value, at = sized(self._body, at, end)
        if end - begin > MAX_RECORD:
            headers = _headers(self._body, at, end) if end - at <= _HEADERS_KEPT else ()
            detail = f"a record of {end - begin} bytes: no message has more than {MAX_RECORD}"
            found = self._fault(offset, offset, detail, value or memoryview(b""), timestamp, "too-long")
            short = None if key is None else bytes(key[:MAX_EXCERPT])
            return Record(*self._place, offset, timestamp, short, b"", headers, found.fault)
        headers = _headers(self._body, at, end)
        where = *self._place, offset, timestamp
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
        return faulty(self._place, first, last, (reason, detail), raw, timestamp)


def _headers(body: memoryview, at: int, end: int) -> tuple[tuple[str, bytes], ...]:
    """Names of any bytes are taken; a header without a value is as one with an empty value."""
    count, at = varint(body, at)
    if not 0 <= count <= (end - at) // 2:
        raise Damaged(f"{count} headers in {end - at} bytes")
    found = []
    for _ in range(count):
        name, at = sized(body, at, end)
        if name is None:
            raise Damaged("a header without a name")
        value, at = sized(body, at, end)
        found.append((bytes(name).decode("utf-8", "backslashreplace"), bytes(value or b"")))
    if at != end:
        raise Damaged(f"{end - at} bytes behind the record's last header")
    return tuple(found)
