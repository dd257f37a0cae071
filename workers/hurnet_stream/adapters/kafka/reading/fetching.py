"""From fetched bytes to records, for every consumer of ours, instead of kafka-python's own unpacking.

kafka-python raises at the first batch that it can't unpack, and from the second poll on never returns; it
also unpacks whatever a codec claims, gigabytes included. Ours yields `Record`s and never raises. For
example a fetch whose second batch is no gzip, and whose third one was damaged on the network or on the disk:

    offsets 0 to 2         3 and 4            5 to 7              8
    sound                  can't be unpacked  wrong checksum      sound

    first poll             the records 0, 1 and 2, and one record with a fault that stands for 3 and 4
    fetched again from 5   up to REFETCHES times, in case it was the network
    if still damaged       one record with a fault that stands for 5 to 7, and record 8

`next_fetch_offset` is the position from which kafka-python fetches next. Every record that is yielded, and
every batch that is done, moves it on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel

from hurnet_stream.adapters.kafka.client import internals
from hurnet_stream.adapters.kafka.unpacking.batches import Origin, RecordBatch, faulty_record, record_batches
from hurnet_stream.adapters.kafka.unpacking.records import put_aside, records
from hurnet_stream.ports import Record

_log = logging.getLogger(__name__)

MAX_BATCH_BYTES = 32 << 20
"""The most bytes of one batch after decompression. A consumer holds one such batch at a time."""
REFETCHES = 3
"""How often a batch that looks damaged is fetched again before it is put aside."""


class Suspicions:
    """At which offset of each partition a batch looked damaged, and how often in a row."""

    def __init__(self) -> None:
        self._known: dict[Origin, tuple[int, int]] = {}

    def raise_at(self, origin: Origin, offset: int) -> int:
        """Note that the batch at `offset` looks damaged. Returns how many times in a row it has."""
        known_offset, times = self._known.get(origin, (-1, 0))
        times = times + 1 if known_offset == offset else 1
        self._known[origin] = offset, times
        return times


def install(consumer: Any) -> None:
    """Have `consumer` unpack by this module."""
    suspicions = Suspicions()

    def make(fetch_offset: int, tp: Any, *arguments: Any, **options: Any) -> UnpackedRecords:
        return UnpackedRecords(consumer, suspicions, fetch_offset, tp, *arguments, **options)

    internals.unpack_by(consumer, make)


class UnpackedRecords(Fetcher.PartitionRecords):  # type: ignore[misc] # kafka-python ships no types
    """The records of one fetch of one partition."""

    next_fetch_offset: int

    def __init__(
        self,
        consumer: Any,
        suspicions: Suspicions,
        fetch_offset: int,
        tp: Any,
        *arguments: Any,
        **options: Any,
    ) -> None:
        self._consumer = consumer
        self._suspicions = suspicions
        self._origin = Origin(tp.topic, tp.partition)
        super().__init__(fetch_offset, tp, *arguments, **options)

    def drain(self) -> None:
        super().drain()
        internals.let_go_of(self._consumer, self)

    def _unpack_records(self, tp: Any, fetched: Any, *_deserializers: Any) -> Iterator[Record]:
        """Overrides kafka-python's generator of the records."""
        fetched_batches = list(record_batches(internals.fetched_bytes(fetched)))
        for number, as_its_header_says in enumerate(fetched_batches):
            batch = as_its_header_says.cut_off_at(self._end_of(fetched_batches, number, tp))
            if batch.broken:
                if self._is_fetched_again(batch.broken):
                    break  # we stop here, so the next fetch starts at this batch
                yield self._passed(self._damaged(batch, batch.broken))
            elif batch.last >= self.next_fetch_offset:
                yield from self._records_of(batch)
                # Offsets at the batch's end may have no record (compaction, an aborted transaction), so the
                # last record does not tell where the next batch begins.
                self.next_fetch_offset = batch.last + 1
        self.drain()

    def _end_of(self, fetched_batches: list[RecordBatch], number: int, tp: Any) -> int | None:
        """The offset before which batch `number` ends, whatever its header says: the first offset of the next
        sound batch, or the partition's end if there is none. None if that is not known either.

        A broker notes the partition's end before it reads the batches, so one that was written in between
        lies beyond that end. A sound batch that holds the offset we want is therefore not held against it."""
        batch = fetched_batches[number]
        following = (
            b.base for b in fetched_batches[number + 1 :] if not b.broken and b.base > self.next_fetch_offset
        )
        end = next(following, None)
        if end is None and (batch.broken or not batch.base <= self.next_fetch_offset <= batch.last):
            return internals.high_watermark(self._consumer, tp)
        return end

    def _records_of(self, batch: RecordBatch) -> Iterator[Record]:
        # A hidden batch gives its epoch, too, because the position moves beyond it. The next leader is asked
        # where the position's epoch ended. If a marker is the first batch of its epoch, and the position kept
        # the epoch before, the log would seem to be cut off before the marker.
        self.leader_epoch = batch.epoch
        if not self._is_hidden(batch):
            for record in self._read(batch):
                yield self._passed(record)

    def _read(self, batch: RecordBatch) -> Iterator[Record]:
        try:
            yield from records(self._origin, batch, self.next_fetch_offset, MAX_BATCH_BYTES)
        except Exception as error:
            # This is a bug of ours. If it were raised, kafka-python's next poll would never return, so the
            # batch is put aside.
            _log.exception("a batch of %s/%d at %d can't be read", *self._origin, batch.base)
            why = f"{type(error).__name__}: {error}"
            yield put_aside(self._origin, batch, self.next_fetch_offset, ("unreadable", why))

    def _passed(self, record: Record) -> Record:
        # kafka-python only looks whether these two are zero.
        self.records_read += 1
        self.bytes_read += 1 + len(record.value or b"")
        self.next_fetch_offset = record.offset + 1
        return record

    def _is_hidden(self, batch: RecordBatch) -> bool:
        """Whether the batch is a transaction's marker, or belongs to an aborted transaction while we read
        committed records only. With each fetch the broker lists the aborted transactions, and where each
        began."""
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.producer >= 0:
            self._consume_aborted_transactions_up_to(batch.last)  # fills `aborted_producer_ids`
            if batch.control and batch.aborts:
                self.aborted_producer_ids.discard(batch.producer)
            elif batch.transactional and batch.producer in self.aborted_producer_ids:
                return True
        return batch.control

    def _is_fetched_again(self, why: str) -> bool:
        """Whether the batch that looks damaged is to be fetched once more. Counts and logs that."""
        times = self._suspicions.raise_at(self._origin, self.next_fetch_offset)
        where = *self._origin, self.next_fetch_offset
        _log.warning("the batch of %s/%d at %d looks damaged (%d): %s", *where, times, why)
        return times <= REFETCHES

    def _damaged(self, batch: RecordBatch, why: str) -> Record:
        """The record with a fault that stands for a damaged batch.

        If nobody knows where the batch ends (its format is unknown), the record stands for the first offset
        alone, and the next fetch starts one offset later."""
        first = self.next_fetch_offset
        last = max(first, batch.last) if batch.magic >= 0 else first
        detail = f"the batch is damaged: {why}"
        return faulty_record(self._origin, first, last, ("unreadable", detail), batch.raw, -1)
