"""Where reading of texts goes on: behind the shard's watermark, in the log that the context came from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import structlog

from hurnet import belonging
from hurnet.belonging import WAY_OUT
from hurnet.core.stored.batch import NOTHING, LogIdentity, ShardState
from hurnet.errors import StoreGap
from hurnet.metrics import Metrics
from hurnet.ports import EntryStore, OffsetRange, Source

log = structlog.get_logger()

CHECK_INTERVAL_S = 1.0
"""How long another store may go unnoticed while there is nothing to append."""


class Start(NamedTuple):
    """A shard's watermark, and the offset at which its partition is read on."""

    watermark: int
    offset: int


class Placing:
    """Compares the context with its log, and never skips in silence what was acknowledged."""

    def __init__(self, source: Source, store: EntryStore, skip_gap: bool, metrics: Metrics) -> None:
        self._source = source
        self._store = store
        self._skip_gap = skip_gap
        self._metrics = metrics
        self._log: LogIdentity | None = None
        self._checked_at = time.monotonic()

    def check_log(self) -> None:
        """Raises `StoreGap` where the topic is not the one that the context is filled from, and
        `StoreReplaced` where the context is not the one that was opened."""
        if time.monotonic() - self._checked_at >= CHECK_INTERVAL_S:
            self._store.identity()
            self._checked_at = time.monotonic()
        found = self._source.log()
        if found is None or found == self._log:
            return
        bound = self._store.bind(found)
        belonging.check(bound, found)
        self._log = found

    def starts(self, partitions: frozenset[int]) -> dict[int, Start]:
        """For each the shard's watermark and the offset to go on at, whatever offsets were committed. Raises
        `StoreGap` where the log does not go on from there."""
        bounds = self._source.offset_ranges(partitions)
        committed = self._source.committed(partitions)
        states = {partition: self._store.state(partition) for partition in partitions}
        self._check_anchors(states, bounds)
        starts = {}
        for partition in sorted(partitions):
            watermark = states[partition].watermark
            begun = watermark != NOTHING or committed[partition] is not None
            offset = self._following(partition, watermark + 1, bounds[partition], begun)
            starts[partition] = Start(watermark, offset)
            _warn_of_only_copies(partition, states[partition], bounds[partition])
        return starts

    def _check_anchors(self, states: Mapping[int, ShardState], bounds: Mapping[int, OffsetRange]) -> None:
        """Raises `StoreGap` where a partition no longer has the record that its shard has seen last: then
        what lies before was rewritten too. Of what retention took away nothing can be said."""
        anchors = {p: state.anchor for p, state in states.items() if state.anchor}
        held = {p: a for p, a in anchors.items() if bounds[p].first <= a.offset < bounds[p].end}
        for partition, record in self._source.records_at({p: a.offset for p, a in held.items()}).items():
            if record.anchor == held[partition] if record else self._source.compacted():
                continue
            found = "another" if record else "no"
            raise StoreGap(
                f"the log was rewritten below the watermark: partition {partition} has {found} record at "
                f"offset {held[partition].offset}, which the context has seen last. {WAY_OUT}"
            )

    def _following(self, partition: int, needed: int, bounds: OffsetRange, begun: bool) -> int:
        """Where to go on. A context not yet `begun` may start anywhere; any other goes on without a gap, or
        raises `StoreGap` unless told to skip what is lost."""
        if bounds.first <= needed <= bounds.end:
            return needed
        if needed > bounds.end:
            raise StoreGap(
                f"partition {partition} ends at offset {bounds.end}, but the context has seen {needed - 1}: "
                f"the topic was recreated or lost records. {WAY_OUT}"
            )
        if begun and not self._skip_gap:
            raise StoreGap(
                f"partition {partition} begins at offset {bounds.first}, but the context needs {needed}: "
                f"{bounds.first - needed} offsets are gone by retention. Restore them, or set "
                "HURNET_INGEST_SKIP_GAP=true to go on without them."
            )
        self._metrics.skipped_offsets.inc(bounds.first - needed)
        log.warning("records are gone", partition=partition, needed=needed, next=bounds.first)
        return bounds.first


def _warn_of_only_copies(partition: int, state: ShardState, bounds: OffsetRange) -> None:
    if copies := bounds.rows_gone_from_log(state):
        log.warning(
            "the store holds the only copy of rows whose texts Kafka no longer has: back it up, and set"
            " the topic's retention.ms to -1",
            partition=partition,
            rows_at_most=copies,
            first_offset=bounds.first,
        )
