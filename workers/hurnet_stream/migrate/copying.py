"""One shard's batches from one store into another, whose embedder is another one, at the same offsets.

    first store    batch: 0 hi | 1 ♥ | 2 hey      deletes 0, at 3      batch: 5 bye, watermark 6
    embedded anew         0 hi   -     2 hey
    second store   batch: 0 hi | 2 hey            deletes 0, at 3      batch: 5 bye, watermark 6
    left out              1: zero-vector, the new embedder knows nothing in it

Each item of the first store is one append, with what it replaces, or one deletion of the second, and either
compares the watermark first. So it is done once, however often it is tried, and whoever else writes to the
second store is never undone. Text, answer, context, time, copies, metadata and record key are those of the
first store. What is left out is noted before its batch is appended: a crash repeats the note and loses none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hurnet_stream.core.grid import zero_rows
from hurnet_stream.core.stored.batch import MOST_TARGETS, Anchor, Batch, Deletion
from hurnet_stream.embedding import embed
from hurnet_stream.ports import Appended, CopyNotes, Embedder, EntryStore, Refused, Unfinished, deleted_by

CONTEXTS = 1 << 30
"""No limit: what the first store has admitted, the second one has to take."""
ZERO = "zero-vector: the embedder knows nothing in this text"

Result = Appended | Unfinished | Refused


class Copying:
    """Writes what it is given of `source` into `target`."""

    def __init__(
        self,
        source: EntryStore,
        target: EntryStore,
        notes: CopyNotes,
        embedder: Embedder,
        on_progress: Callable[[], None],
    ) -> None:
        self._source = source
        self._target = target
        self._notes = notes
        self._embedder = embedder
        self._on_progress = on_progress

    def copy(self, batch: Batch, expected: int, anchor: Anchor | None) -> tuple[Result, int]:
        """Write one item of the first store behind the watermark `expected`. `anchor` is that of the last
        record which it holds. Returns what the second store said, and how many entries were written."""
        if batch.deletion and not batch.deletion.replaces:
            return self._delete(batch.partition, replace(batch.deletion, anchor=anchor), expected), 0
        replaced = self._replaced(batch.partition, batch.deletion) if batch.deletion else None
        batch = self._embedded(batch)
        if batch.entries:
            self._target.admit(frozenset(batch.columns.contexts), CONTEXTS)
        batch = replace(batch, anchor=anchor, deletion=replaced)
        return self._target.repeat_append(batch, expected), len(batch.entries)

    def _embedded(self, batch: Batch) -> Batch:
        """The batch with the vectors and the record keys that the second store needs, without what the
        embedder rejects."""
        columns = batch.columns
        vectors, failures = embed(self._embedder, list(map(bytes.decode, columns.pieces())))
        reasons = {row: f"{reason}: {detail}" for row, (reason, detail) in failures.items()}
        reasons |= {int(row): ZERO for row in np.flatnonzero(zero_rows(vectors)) if row not in reasons}
        offsets: list[int] = columns.offsets.tolist()
        self._notes.leave_out(batch.partition, {offsets[row]: why for row, why in reasons.items()})
        keys = self._notes.keys_of(batch.partition, offsets)
        rows = np.array([row for row in range(len(offsets)) if row not in reasons], np.int64)
        kept = columns.take(rows) if reasons else columns
        return Batch(
            batch.partition,
            batch.watermark,
            kept,
            vectors[rows],
            keys=[keys[row] for row in rows] if any(keys) else (),
        )

    def _replaced(self, partition: int, deletion: Deletion) -> Deletion:
        """What the entries beside it have replaced, all of it by number."""
        by: dict[int, int] = dict(zip(deletion.targets, deletion.by, strict=True))
        for number in range(1, deletion.parts + 1):
            part = self._source.deletion_part(partition, deletion.offset, number)
            by |= dict.fromkeys(part, deletion.offset)
        targets = tuple(sorted(by))
        self._notes.take_back(partition, targets)
        return replace(deletion, targets=targets, by=tuple(by[target] for target in targets), parts=0)

    def _delete(self, partition: int, deletion: Deletion, expected: int) -> Result:
        """Page by page, since a deletion may have any number of targets."""
        pages = list(self._pages(partition, deletion))
        result: Result = self._repeat(partition, deletion, pages[0], len(pages) == 1, expected)
        for number, page in enumerate(pages[1:], 2):
            if not isinstance(result, Unfinished):
                break
            self._on_progress()
            result = self._repeat(partition, deletion, page, number == len(pages), expected)
        return result

    def _repeat(
        self, partition: int, deletion: Deletion, page: Sequence[int], last: bool, expected: int
    ) -> Result:
        asked_for = replace(deletion, targets=(), parts=0)
        self._notes.take_back(partition, page)
        return self._target.repeat_deletion(partition, asked_for, page, last, expected)

    def _pages(self, partition: int, deletion: Deletion) -> Iterator[Sequence[int]]:
        """Its targets, at least one page of them, which may be empty."""
        for targets in deleted_by(self._source, partition, deletion):
            for first in range(0, max(len(targets), 1), MOST_TARGETS):
                yield targets[first : first + MOST_TARGETS]


def anchors(states: Mapping[int, Anchor | None], batch: Batch) -> Anchor | None:
    """The anchor of the batch's shard, if it belongs to a record that the batch has reached."""
    anchor = states.get(batch.partition)
    return anchor if anchor and anchor.offset <= batch.watermark else None
