"""One context as a responder held it when it had come to some watermarks.

A shard's watermark settles what a responder holds of it: every entry up to it that no deletion up to it has
deleted. A deletion is a record with an offset, too, so a later one is left out:

    shard 0       offset 0 text | 1 text | 2 deletes 0 | 3 text | 4 deletes 1
    watermark 3   held: 1, 3                 1 is still in the store, or was erased since: then it is missing

A deletion of very many entries takes effect bit by bit before the watermark passes it; the receipt says how
many of its entries were out by then.

Weights may have learned more than the responder held by then: the solver was ahead of it. So a pupil learns
up to watermarks of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Protocol

import numpy as np

from hurnet_stream.core.stored.batch import MAX_OFFSET, NOTHING, Batch, Deletion, joined
from hurnet_stream.core.stored.codec import bare
from hurnet_stream.core.stored.compaction import Horizon
from hurnet_stream.ports import EntryStore, check_not_passed, deleted_by
from hurnet_stream.responder.loaded_contexts import LoadedContexts

READ_BATCHES = 16
"""Batches read of each shard at a time."""


class Pupil(Protocol):
    """Learns what is read, to solve weights again."""

    @property
    def upto(self) -> Mapping[int, int]:
        """The last offset of each shard that it wants to see."""

    def learn(self, batch: Batch) -> None:
        """Entries of the context, in the order of their shard."""

    def unlearn(self, partition: int, deletion: Deletion) -> None:
        """A deletion of that shard."""


@dataclass(frozen=True, slots=True)
class Point:
    """A context, the last offset of each shard, and how many entries of the deletion that follows were out by
    then."""

    context: str
    watermarks: Mapping[int, int]
    deleting: Mapping[int, int] = field(default_factory=dict)


def load(
    store: EntryStore,
    memory: LoadedContexts,
    point: Point,
    pupil: Pupil | None = None,
    advance: Callable[[int], None] = lambda _rows: None,
) -> None:
    """Take into `memory`, which is empty, what a responder held of the context at this point and the store
    still has. `advance` is told how many rows were read.

    Raises `StoreReplaced` if deletions are compacted away meanwhile: then it can be begun again."""
    states, horizon = store.states(), Horizon()
    memory.epoch = next((state.epoch for state in states.values()), "")
    loading = _Loading(store, memory, point, pupil)
    positions = {shard: NOTHING if loading.wants(shard) else MAX_OFFSET for shard in states}
    while any(position != MAX_OFFSET for position in positions.values()):
        tail = store.tail(positions, READ_BATCHES)
        check_not_passed(horizon, positions, tail)
        if not tail.batches:
            break
        for batch in joined(tail.batches):
            positions[batch.partition] = MAX_OFFSET if loading.take(batch) else batch.watermark
            advance(batch.rows)
    loading.finish()


class _Loading:
    def __init__(self, store: EntryStore, memory: LoadedContexts, point: Point, pupil: Pupil | None) -> None:
        self._store = store
        self._memory = memory
        self._point = point
        self._pupil = pupil
        self._taught: Mapping[int, int] = pupil.upto if pupil else {}
        self._deleting = dict(point.deleting)

    def wants(self, shard: int) -> bool:
        """Whether anything of it is to be read."""
        return shard in self._point.watermarks or shard in self._taught

    def take(self, batch: Batch) -> bool:
        """Take in what of the next batch of a shard belongs to the point. Returns whether that was all."""
        partition = batch.partition
        upto = self._point.watermarks.get(partition, NOTHING)
        if batch.deletion and batch.deletion.offset > upto:
            self._take_part(batch.deletion, partition)
        self._remember(batch, upto)
        self._teach(batch)
        last = max(upto, self._taught.get(partition, NOTHING))
        return batch.watermark >= last and partition not in self._deleting

    def finish(self) -> None:
        """The watermarks of shards whose last offsets hold nothing."""
        for partition in self._point.watermarks:
            self._reach(partition)

    def _reach(self, partition: int) -> None:
        """The shard's watermark is that of the point."""
        upto = self._point.watermarks[partition]
        if self._memory.watermarks().get(partition, NOTHING) < upto:
            self._memory.append(bare(partition, upto, self._memory.features.dimension))

    def _remember(self, batch: Batch, upto: int) -> None:
        cut = self._cut(batch, upto)
        deletion = cut.deletion
        if deletion:
            parts = replace(deletion, targets=(), by=())
            for targets in deleted_by(self._store, batch.partition, parts):
                self._memory.remove(batch.partition, targets)
        if len(cut.entries) or deletion:
            self._memory.append(cut)

    def _teach(self, batch: Batch) -> None:
        if self._pupil is None:
            return
        cut = self._cut(batch, self._taught.get(batch.partition, NOTHING))
        if cut.deletion:
            self._pupil.unlearn(batch.partition, cut.deletion)
        if len(cut.entries):
            self._pupil.learn(cut)

    def _cut(self, batch: Batch, upto: int) -> Batch:
        """What of the batch is of the context, and stands at or before an offset."""
        entries = batch.columns
        ours = np.array([name == self._point.context for name in entries.contexts], np.bool_)
        rows = np.flatnonzero(ours[entries.context_of] & (entries.offsets <= upto))
        is_whole = len(rows) == len(entries)
        taken = (entries, batch.vectors) if is_whole else (entries.take(rows), batch.vectors[rows])
        return Batch(batch.partition, min(batch.watermark, upto), *taken, deletion=_done(batch, upto))

    def _take_part(self, deletion: Deletion, partition: int) -> None:
        """The first targets of the deletion that follows the watermark."""
        if count := self._deleting.pop(partition, 0):
            self._reach(partition)
            targets = chain.from_iterable(deleted_by(self._store, partition, deletion))
            self._memory.remove(partition, list(islice(targets, count)))


def _done(batch: Batch, upto: int) -> Deletion | None:
    """What of its deletion a reader has done that has seen everything up to an offset."""
    if batch.deletion is None:
        return None
    if not batch.deletion.replaces:
        return batch.deletion if batch.deletion.offset <= upto else None
    done = batch.deletion.upto(upto)
    return done if done.targets or done.parts else None
