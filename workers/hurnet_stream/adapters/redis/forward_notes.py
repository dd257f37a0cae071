"""`ForwardNotes` in Redis: what a forwarder needs of the old store, and leaves in the new one.

`followed` in a shard's state keeps compacting.py away from deletions that were not forwarded yet, as a copy
does (copy_notes.py). It makes append.lua add to the set `recent`, too, which is emptied here.
"""

from __future__ import annotations

from hurnet_stream.adapters.redis.connection import guarded
from hurnet_stream.adapters.redis.left_out import LeftOut
from hurnet_stream.core.stored.batch import NOTHING


class RedisForwardNotes(LeftOut):
    """`ForwardNotes` (see hurnet_stream/ports/generations.py) from the store of `source` to that of
    `target`."""

    @guarded
    def follow(self, partition: int, done: int) -> None:
        pipe = self._source.pipeline(transaction=False)
        pipe.hset(self._from.shard(partition, "state"), "followed", done)
        if done > NOTHING:
            upto = b"[" + done.to_bytes(8, "big") + b"\xff"
            pipe.zremrangebylex(self._from.shard(partition, "recent"), b"-", upto)
        pipe.execute()

    @guarded
    def deleted(self, partition: int, first: int, last: int) -> frozenset[int]:
        span = b"[" + first.to_bytes(8, "big"), b"[" + last.to_bytes(8, "big") + b"\xff"
        members = self._source.zrangebylex(self._from.shard(partition, "pending"), *span)
        return frozenset(int.from_bytes(member[:8], "big") for member in members)
