"""The entries of one context, page by page, by partition and offset."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from itertools import islice

from hurnet_stream.adapters.redis.connection import Connection, guarded
from hurnet_stream.adapters.redis.context_walk import BATCHES, ContextWalk
from hurnet_stream.adapters.redis.keys import starting_with
from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.shard_reader import ShardReader
from hurnet_stream.core.stored.batch import Entry
from hurnet_stream.core.stored.entries import EntryId


class RedisContextEntries:
    """Reads what a context holds. Threads may share it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._client = connection.client
        self._keys = connection.keys
        self._opened = OpenedStore(connection)
        self._reader = ShardReader(self._opened)
        self._walk = ContextWalk(self._opened, self._reader)

    @guarded
    def page(self, context: str, after: EntryId | None, most: int) -> list[tuple[int, Entry]]:
        """The next entries beyond `after`, or the first ones, each with its partition. What is deleted and
        not erased yet is left out."""
        if self._opened.identity() is None:
            return []
        begin = after or (-1, -1)
        found: list[tuple[int, Entry]] = []
        for partition in sorted(self._reader.states()):
            if partition < begin[0]:
                continue
            offset = begin[1] if partition == begin[0] else -1
            for entry in self._walk.entries(partition, context, offset):
                found.append((partition, entry))
                if len(found) >= most:
                    return found
        return found

    @guarded
    def newest(self, context: str, before: Mapping[int, int], most: int) -> list[tuple[int, Entry]]:
        """The newest entries, the newest first, each with its partition. `before` says for a partition that
        only entries below this offset are wanted: of a further page, the lowest offsets that came so far."""
        if self._opened.identity() is None:
            return []
        shards = [self._backwards(context, p, before.get(p)) for p in sorted(self._reader.states())]
        merged = heapq.merge(*shards, key=lambda found: found[1].timestamp_ms, reverse=True)
        return list(islice(merged, most))

    def _backwards(self, context: str, partition: int, before: int | None) -> Iterator[tuple[int, Entry]]:
        for watermark in self._watermarks_backwards(context, partition, before):
            batch = self._reader.batch_reaching(partition, watermark)
            if batch is None:
                continue  # it was erased meanwhile
            wanted = [e for e in batch.entries if e.context == context]
            entries = [e for e in wanted if before is None or e.offset < before]
            if entries:
                before = entries[0].offset
                kept = self._walk.without_deleted(partition, entries)
                yield from ((partition, entry) for entry in reversed(kept))

    def _watermarks_backwards(self, context: str, partition: int, before: int | None) -> Iterator[int]:
        """Those of the batches that hold entries of the context below `before`, the last one first."""
        name, key = context.encode() + b"\0", self._keys.shard(partition, "holds")
        first, last = starting_with(name)
        if before is not None:
            # Of the batches beyond `before` only the next one may begin below it.
            beyond = self._client.zrangebylex(key, b"[" + name + (before + 1).to_bytes(8, "big"), last, 0, 1)
            last = b"[" + beyond[0] if beyond else last
        while members := self._client.zrevrangebylex(key, last, first, 0, BATCHES):
            yield from (int.from_bytes(member[-8:], "big") - 1 for member in members)
            last = b"(" + members[-1]
