"""Batches on their way from the store into memory: in order for each shard, a bounded piece at a time.

A deletion of very many entries is taken in by pieces of 256, so that it holds up neither answers nor other
shards. A shard's watermark passes a deletion only once all its targets are gone from memory: a query that
asks for that offset is never answered with one of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hurnet_stream.core.stored.batch import Batch
from hurnet_stream.ports import EntryStore, deleted_by
from hurnet_stream.responder.loaded_contexts import LoadedContexts

PIECE_ROWS = 256
"""Entries that a deletion removes before other shards, and then queries, may go on."""

TakenIn = tuple[Batch, int]
"""A batch that is in memory now, and how many of its entries were new."""


class Backlog:
    """What was read of the store and is not in memory yet."""

    def __init__(self, store: EntryStore, memory: LoadedContexts) -> None:
        self._store = store
        self._memory = memory
        self._queues: dict[int, deque[Batch]] = {}
        self._begun: dict[int, Iterator[TakenIn | None]] = {}
        """By shard, the first batch of the queue, if some pieces of it are in already."""

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def shards(self) -> frozenset[int]:
        """Those with batches here: nothing more is to be read of them."""
        return frozenset(self._queues)

    def add(self, batches: Sequence[Batch]) -> None:
        """Queue `batches` behind those of their shards."""
        for batch in batches:
            self._queues.setdefault(batch.partition, deque()).append(batch)

    def take_in(self, seconds: float) -> list[TakenIn]:
        """Take pieces into memory for `seconds`, and at least one of each shard. Returns the batches that are
        in memory now. While memory must hold still nothing is taken in."""
        until, taken_in = time.monotonic() + seconds, list[TakenIn]()
        while self._queues and not self._memory.is_still:
            taken_in += [done for partition in list(self._queues) if (done := self._take_piece(partition))]
            if time.monotonic() >= until:
                break
        return taken_in

    def _take_piece(self, partition: int) -> TakenIn | None:
        """Take in one piece. Returns the batch if that was its last."""
        queue = self._queues[partition]
        # Taken out while it runs: if a piece fails, the batch is begun anew the next time, which does no
        # harm.
        pieces = self._begun.pop(partition, None) or self._pieces(queue[0])
        taken_in = next(pieces)
        if taken_in is None:
            self._begun[partition] = pieces
            return None
        queue.popleft()
        if not queue:
            del self._queues[partition]
        return taken_in

    def _pieces(self, batch: Batch) -> Iterator[TakenIn | None]:
        """Take `batch` into memory, piece by piece. Yields None after each but the last."""
        if deletion := batch.deletion:
            # What entries of the batch take the place of goes with their coming: neither both nor none of
            # them is ever found. Only of a key with very many entries some go before, while others are left.
            before = replace(deletion, targets=(), by=()) if deletion.replaces else deletion
            done = 0
            for targets in deleted_by(self._store, batch.partition, before):
                for first in range(0, len(targets), PIECE_ROWS):
                    piece = targets[first : first + PIECE_ROWS]
                    self._memory.remove(batch.partition, piece, done)
                    done += len(piece)
                    yield None
        # Only now does the shard's watermark move on.
        yield batch, self._memory.append(batch)
