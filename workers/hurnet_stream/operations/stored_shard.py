"""A shard of the store, read in the order of offsets beside what is replayed."""

from __future__ import annotations

from itertools import chain

from hurnet_stream.core import places
from hurnet_stream.core.stored.batch import MAX_OFFSET
from hurnet_stream.operations.proof import Rows, rows_of
from hurnet_stream.ports import EntryStore, deleted_by

READ_BATCHES = 32


class StoredShard:
    """Reads one shard of the store in the order of offsets, `first` to `last`. Of what was read so far,
    `position` is the last offset, `erased` are the offsets that its batches no longer hold,
    `deletion_targets` those that its deletions name, and `expired` those of them of which no record says that
    they are deleted."""

    def __init__(self, store: EntryStore, partition: int, first: int, last: int) -> None:
        self._store = store
        self._partition = partition
        self.position = first - 1
        self._last = last
        self._other_shards = {p: MAX_OFFSET for p in store.states() if p != partition}
        self._read_ahead: Rows = {}
        self.erased: set[int] = set()
        self.deletion_targets: set[int] = set()
        self.expired: set[int] = set()

    def rows_up_to(self, offset: int) -> Rows:
        """The next rows, up to `offset`."""
        while self.position < offset and self._read():
            pass
        rows = {o: row for o, row in self._read_ahead.items() if o <= offset}
        self._read_ahead = {o: row for o, row in self._read_ahead.items() if o > offset}
        return rows

    def _read(self) -> bool:
        # The store reads all shards beyond their positions. Beyond the end of the others there is nothing.
        positions = {**self._other_shards, self._partition: self.position}
        batches = self._store.tail(positions, READ_BATCHES).batches
        for batch in batches:
            self._read_ahead |= {o: row for o, row in rows_of(batch).items() if o <= self._last}
            self.erased.update(batch.removed)
            if batch.deletion and (batch.deletion.replaces or batch.deletion.offset <= self._last):
                parts = deleted_by(self._store, self._partition, batch.deletion.upto(self._last))
                targets = set(chain.from_iterable(parts))
                self.deletion_targets |= targets
                # In shards of other topics than texts no record says what has become too old.
                if batch.deletion.expiry and places.number_of(self._partition):
                    self.expired |= targets
            self.position = batch.watermark
        return bool(batches)
