"""The entries of one context in one shard, in their order, without those that are deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from hurnet_stream.adapters.redis import contexts
from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.shard_reader import ShardReader
from hurnet_stream.core.stored.batch import Entry

BATCHES: Final = contexts.BATCHES
"""How many batches are looked up at once."""


class ContextWalk:
    """Walks over what a shard holds of a context."""

    def __init__(self, store: OpenedStore, reader: ShardReader) -> None:
        self._store = store
        self._reader = reader

    def entries(self, partition: int, context: str, after: int) -> Iterator[Entry]:
        """Those beyond offset `after`, as far as they are there now."""
        client, keys = self._store.client, self._store.keys
        for _, watermark in contexts.all_batches_holding(client, keys, partition, context, after):
            batch = self._reader.batch_reaching(partition, watermark)
            if batch is None:
                return
            entries = [e for e in batch.entries if e.context == context and e.offset > after]
            after = batch.watermark  # if batches are joined meanwhile, the next one may be the same
            yield from self.without_deleted(partition, entries)

    def without_deleted(self, partition: int, entries: Sequence[Entry]) -> list[Entry]:
        """Those of the entries that no record has deleted."""
        offsets = [entry.offset for entry in entries]
        kept = set(contexts.not_deleted(self._store.client, self._store.keys, partition, offsets))
        return [entry for entry in entries if entry.offset in kept]
