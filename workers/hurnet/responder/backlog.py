"""Batches on their way into a responder's memory: in order per shard, a bounded piece at a time, so that a
deletion of very many entries holds up neither answers nor other shards.

A shard's watermark passes a deletion only once all its targets are gone from the memory: whoever asks for
that offset is not answered with any of them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence

from hurnet.core.stored.batch import Batch
from hurnet.ports import EntryStore, deleted_by
from hurnet.responder.loaded_contexts import LoadedContexts

PIECE_ROWS = 256
"""Entries removed before anything else may have its turn."""

Taken = tuple[Batch, int]
"""A batch that is in, and how many of its entries were new."""


class Backlog:
    """What was read of the context and is not in memory yet."""

    def __init__(self, store: EntryStore, memory: LoadedContexts) -> None:
        self._store = store
        self._memory = memory
        self._queues: dict[int, deque[Batch]] = {}
        self._begun: dict[int, Iterator[Taken | None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def shards(self) -> frozenset[int]:
        """Those with batches in it: nothing more is to be read of them."""
        return frozenset(self._queues)

    def add(self, batches: Sequence[Batch]) -> None:
        """Behind what there is."""
        for batch in batches:
            self._queues.setdefault(batch.partition, deque()).append(batch)

    def take_in(self, seconds: float) -> list[Taken]:
        """Go on for so long, and at least by a piece of each shard."""
        until, done = time.monotonic() + seconds, list[Taken]()
        while self._queues:
            done += [taken for partition in list(self._queues) if (taken := self._go_on(partition))]
            if time.monotonic() >= until:
                break
        return done

    def _go_on(self, partition: int) -> Taken | None:
        """One piece; the batch, once it is in. What fails is begun again the next time."""
        queue = self._queues[partition]
        pieces = self._begun.pop(partition, None) or self._pieces(queue[0])
        taken = next(pieces)
        if taken is None:
            self._begun[partition] = pieces
            return None
        queue.popleft()
        if not queue:
            del self._queues[partition]
        return taken

    def _pieces(self, batch: Batch) -> Iterator[Taken | None]:
        if deletion := batch.deletion:
            for targets in deleted_by(self._store, batch.partition, deletion):
                for at in range(0, len(targets), PIECE_ROWS):
                    self._memory.remove(batch.partition, targets[at : at + PIECE_ROWS])
                    yield None
        yield batch, self._memory.append(batch)
