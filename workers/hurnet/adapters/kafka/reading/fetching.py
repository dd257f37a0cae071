"""What every consumer of ours makes of fetched bytes, instead of kafka-python.

Its own `PartitionRecords` raises at the first batch that it can't unpack and never comes back from the next
poll; it also unpacks whatever a codec claims. Ours yields `Record`s, never raises, and goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel

from hurnet.adapters.kafka.unpacking.batches import Batch, Place, batches, faulty
from hurnet.adapters.kafka.unpacking.records import put_aside, records
from hurnet.ports import Record

_log = logging.getLogger(__name__)

MAX_BATCH = 32 << 20
"""Bytes of one batch when it is unpacked; a consumer holds one at a time."""
REFETCHES = 3
"""How often what looks damaged is fetched again before it is put aside: a network may have done it."""

Suspicions = dict[Place, tuple[int, int]]


def install(consumer: Any) -> None:
    """Have `consumer` read its batches by this module."""
    suspicions: Suspicions = {}

    def end(tp: Any) -> int | None:
        state = consumer._subscription.assignment.get(tp)  # None once a rebalance has taken it away
        return None if state is None else cast("int | None", state.highwater)

    def release(part: Unpacked) -> None:
        """kafka-python looks for what it parked when a partition was paused only while this is None, and
        leaves a part that has ended there: then a resumed partition never goes on."""
        if fetcher._next_partition_records is part:
            fetcher._next_partition_records = None

    def unpacked(fetch_offset: int, tp: Any, *args: Any, **options: Any) -> Unpacked:
        return Unpacked((suspicions, end, release), fetch_offset, tp, *args, **options)

    fetcher = consumer._fetcher
    fetcher.PartitionRecords = unpacked


class Unpacked(Fetcher.PartitionRecords):  # type: ignore[misc] # kafka-python ships no types
    """The records of one fetch of one partition. What it has of its `consumer`: at which offset of a
    partition a batch looked damaged, and how often it did so in a row; a partition's end; and whom to tell
    that nothing is left."""

    next_fetch_offset: int

    def __init__(
        self,
        consumer: tuple[Suspicions, Callable[[Any], int | None], Callable[[Unpacked], None]],
        fetch_offset: int,
        tp: Any,
        *args: Any,
        **options: Any,
    ) -> None:
        self._suspicions, self._end, self._release = consumer
        self._place = Place(tp.topic, tp.partition)
        super().__init__(fetch_offset, tp, *args, **options)

    def drain(self) -> None:
        super().drain()
        self._release(self)

    def _unpack_records(self, tp: Any, fetched: Any, *_deserializers: Any) -> Iterator[Record]:
        found = list(batches(memoryview(fetched._buffer)))
        for n, claimed in enumerate(found):
            at = self.next_fetch_offset
            following = next((b.base for b in found[n + 1 :] if not b.broken and b.base > at), None)
            batch = claimed.before(self._end(tp) if following is None else following)
            if batch.broken:
                if self._suspect(batch.broken):
                    break
                yield self._passed(self._put_aside(batch, batch.broken))
            elif batch.last >= self.next_fetch_offset:
                yield from self._taken(batch)
                self.next_fetch_offset = batch.last + 1
        self.drain()

    def _taken(self, batch: Batch) -> Iterator[Record]:
        if not self._hidden(batch):
            self.leader_epoch = batch.epoch
            for record in self._read(batch):
                yield self._passed(record)

    def _read(self, batch: Batch) -> Iterator[Record]:
        try:
            yield from records(self._place, batch, self.next_fetch_offset, MAX_BATCH)
        except Exception as error:  # it would make kafka-python's next poll turn for ever
            _log.exception("a batch of %s/%d at %d can't be read", *self._place, batch.base)
            why = f"{type(error).__name__}: {error}"
            yield put_aside(self._place, batch, self.next_fetch_offset, ("unreadable", why))

    def _passed(self, record: Record) -> Record:
        self.records_read += 1
        self.bytes_read += 1 + len(record.value or b"")  # only whether there were any counts
        self.next_fetch_offset = record.offset + 1
        return record

    def _hidden(self, batch: Batch) -> bool:
        """Whether it is a marker, or of an aborted transaction while we read what is committed."""
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.producer >= 0:
            self._consume_aborted_transactions_up_to(batch.last)
            if batch.control and batch.aborts:
                self.aborted_producer_ids.discard(batch.producer)
            elif batch.transactional and batch.producer in self.aborted_producer_ids:
                return True
        return batch.control

    def _suspect(self, why: str) -> bool:
        """Whether to fetch once more what looks damaged."""
        at = self.next_fetch_offset
        offset, times = self._suspicions.get(self._place, (-1, 0))
        times = times + 1 if offset == at else 1
        self._suspicions[self._place] = at, times
        _log.warning("the batch of %s/%d at %d looks damaged (%d): %s", *self._place, at, times, why)
        return times <= REFETCHES

    def _put_aside(self, batch: Batch, why: str) -> Record:
        """If it can't be told apart from the next one, try the next offset."""
        at = self.next_fetch_offset
        last = max(at, batch.last) if batch.magic >= 0 else at
        return faulty(self._place, at, last, ("unreadable", f"the batch is damaged: {why}"), batch.raw, -1)
