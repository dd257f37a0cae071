"""Where each partition is read on: behind its shard's watermark, in the log that the store was filled from.

Nothing that was acknowledged is skipped without an error or a warning. `first` and `end` are the offsets that
the partition holds now, and `needed` is the shard's watermark + 1:

    needed < first           retention took records that are not in the store: StoreGap, or skip if told to
    first <= needed <= end   read on at `needed`, if the record below it is the one that the shard saw last
    end < needed             the topic is shorter than what was read of it: another topic, or lost records
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import structlog

from hurnet_stream import belonging
from hurnet_stream.belonging import WAY_OUT
from hurnet_stream.core import places
from hurnet_stream.core.stored.batch import MAX_OFFSET, NOTHING, UPSERT, LogIdentity, ShardState
from hurnet_stream.core.stored.replacing import mode_at
from hurnet_stream.errors import StoreGap
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.ports import EntryStore, OffsetRange, Source

log = structlog.get_logger()

CHECK_INTERVAL_S = 1.0
"""How long another store may go unnoticed while there is nothing to append."""


class Start(NamedTuple):
    """A shard's watermark, and the offset at which its partition is read on."""

    watermark: int
    offset: int


class Placing:
    """Compares the store with its log."""

    def __init__(self, source: Source, store: EntryStore, skip_gap: bool, metrics: IngestMetrics) -> None:
        self._source = source
        self._store = store
        self._skip_gap = skip_gap
        self._metrics = metrics
        self._warned = False
        self._log: LogIdentity | None = None  # the last one that was compared
        self._topic_ids: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._troubles: dict[int, str] = {}
        self._checked_at = time.monotonic()

    def check_log(self) -> None:
        """Raises `StoreReplaced` if another store answers than the one that was opened, and `StoreGap` if the
        topic is not the one that the store is filled from."""
        if time.monotonic() - self._checked_at >= CHECK_INTERVAL_S:
            self._store.identity()  # raises if it is another
            self._checked_at = time.monotonic()
        actual = self._source.log()
        if actual is None or actual == self._log:
            return
        belonging.check(self._store.bind(actual), actual)
        self._log = actual

    def troubles(self) -> Mapping[int, str]:
        """By its number: that a topic beside that of texts is another than the store has read, or is gone."""
        actual = self._source.topic_ids()
        if actual == self._topic_ids:
            return self._troubles
        gone = self._numbers.keys() - actual.keys()
        self._troubles = {self._numbers[name]: f"the topic {name} is gone" for name in gone}
        for name, topic in self._store.number_topics(actual).items():
            self._numbers[name] = topic.number
            try:
                belonging.check_topic(name, topic.id, actual[name])
            except StoreGap as error:
                self._troubles[topic.number] = str(error)
        self._topic_ids = dict(actual)
        return self._troubles

    def starts(self, partitions: frozenset[int]) -> dict[int, Start]:
        """Where each of these goes on, whatever offsets were committed. Raises `StoreGap` if its log does not
        go on from its watermark."""
        ranges = self._source.offset_ranges(partitions)
        committed = self._source.committed(partitions)
        states = {partition: self._store.state(partition) for partition in partitions}
        self._check_anchors(states, ranges)
        starts = {}
        for partition in sorted(partitions):
            watermark = states[partition].watermark
            was_read_before = watermark != NOTHING or committed[partition] is not None
            needed = places.offset_of(partition, watermark) + 1
            offset = self._offset(partition, needed, ranges[partition], was_read_before)
            starts[partition] = Start(watermark, offset)
            if watermark == NOTHING and not self._warned:
                self._warn_of_moved_keys(partition)
            _tell_what_only_the_store_has(partition, states[partition], ranges[partition])
        return starts

    def _warn_of_moved_keys(self, shard: int) -> None:
        """A partition that the store knows nothing of may have been added to the topic."""
        first = places.shard_of(places.number_of(shard), 0)
        if any(
            first <= other < shard and mode_at(state.modes, MAX_OFFSET) == UPSERT
            for other, state in self._store.states().items()
        ):
            self._warned = True
            log.warning(
                "this partition is new to the store: if it was added to the topic, keys go to other"
                " partitions now, and their old texts stay beside the new ones. `hurnet repair --keys` finds"
                " them",
                partition=places.partition_of(shard),
            )

    def _check_anchors(self, states: Mapping[int, ShardState], ranges: Mapping[int, OffsetRange]) -> None:
        """Raises `StoreGap` if a partition no longer has the record that its shard saw last: then the records
        before it may be others, too."""
        anchors = {
            partition: state.anchor
            for partition, state in states.items()
            # What retention took away can't be compared.
            if state.anchor and ranges[partition].first <= state.anchor.offset < ranges[partition].end
        }
        records = self._source.records_at({p: anchor.offset for p, anchor in anchors.items()})
        for partition, record in records.items():
            if record and record.anchor == anchors[partition]:
                continue
            # In a compacted topic a single record may go, and says nothing about the others.
            if not record and self._source.compacted(partition):
                continue
            there = "another" if record else "no"
            raise StoreGap(
                f"the log was rewritten below the watermark: partition {partition} has {there} record at "
                f"offset {anchors[partition].offset}, which the store has seen last. {WAY_OUT}"
            )

    def _offset(self, partition: int, needed: int, held: OffsetRange, was_read_before: bool) -> int:
        """Where to read on. A partition that was never read may start anywhere. Any other goes on without a
        gap, unless the settings say that lost records may be skipped."""
        if places.number_of(partition) != places.TEXTS and held.end >= places.OFFSETS_MOST:
            raise StoreGap(f"partition {partition} ends at offset {held.end}: only the topic of texts may")
        if held.first <= needed <= held.end:
            return needed
        if needed > held.end:
            raise StoreGap(
                f"partition {partition} ends at offset {held.end}, but the store has seen {needed - 1}: "
                f"the topic was recreated or lost records. {WAY_OUT}"
            )
        if was_read_before and not self._skip_gap:
            raise StoreGap(
                f"partition {partition} begins at offset {held.first}, but the store needs {needed}: "
                f"{held.first - needed} offsets are gone by retention. Restore them, or set "
                "HURNET_INGEST_SKIP_GAP=true to go on without them."
            )
        self._metrics.skipped_offsets.inc(held.first - needed)
        log.warning("records are gone", partition=partition, needed=needed, next=held.first)
        return held.first


def _tell_what_only_the_store_has(partition: int, state: ShardState, held: OffsetRange) -> None:
    """A context may live longer than its texts in Kafka: that is as it should be, and good to know."""
    if rows := held.rows_gone_from_log(partition, state):
        log.info(
            "Kafka no longer has the texts of these rows: they are in the store and in its backups alone",
            partition=partition,
            rows_at_most=rows,
            first_offset=held.first,
        )
