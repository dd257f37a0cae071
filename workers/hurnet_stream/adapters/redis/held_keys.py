"""Record keys that several shards hold at once.

Each shard's set `keys` is in the order of its bytes: digest, context, position. So all of them are merged in
one pass, a page of each in memory:

    shard 0   (a, faq) 4   (c, faq) 9
    shard 3   (a, faq) 0               (a, faq) is in two shards: 0/4 and 3/0
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from hurnet_stream.adapters.redis.connection import Connection
from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.shard_reader import ShardReader
from hurnet_stream.core.places import TEXTS, number_of
from hurnet_stream.core.stored.batch import KEY_BYTES, MAX_OFFSET, UPSERT
from hurnet_stream.core.stored.entries import EntryId
from hurnet_stream.core.stored.replacing import mode_at

PAGE: Final = 1_000


class HeldKeys:
    """Reads the keys of all shards of the topic of texts in which keyed texts replace others."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reader = ShardReader(OpenedStore(connection))

    def in_several_shards(self) -> Iterator[tuple[str, Sequence[EntryId]]]:
        """Context and entries of each key that is in several shards. What is deleted may be among them."""
        with self._connection.used():
            shards = [
                shard
                for shard, state in self._reader.states().items()
                if number_of(shard) == TEXTS and mode_at(state.modes, MAX_OFFSET) == UPSERT
            ]
            merged = heapq.merge(*map(self._members, shards), key=itemgetter(0))
            for prefix, group in groupby(merged, key=itemgetter(0)):
                entries = [entry for _, entry in group]
                if len({shard for shard, _ in entries}) > 1:
                    yield prefix[KEY_BYTES:-1].decode(), entries

    def _members(self, shard: int) -> Iterator[tuple[bytes, EntryId]]:
        after, key = b"-", self._connection.keys.shard(shard, "keys")
        while members := self._connection.client.zrangebylex(key, after, b"+", 0, PAGE):
            for member in members:
                yield bytes(member[:-8]), (shard, int.from_bytes(member[-8:], "big"))
            after = b"(" + members[-1]
