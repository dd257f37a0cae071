"""`ForwardNotes` in Redis: what a forwarder needs of the old store, and leaves in the new one.

`followed` in a shard's state keeps compacting.py away from deletions that were not forwarded yet, as a copy
does (copy_notes.py). It makes append.lua add to the set `recent`, too, which is emptied here.
"""

from __future__ import annotations

from collections.abc import Mapping

from hurnet_stream.adapters.redis.connection import Connection, guarded
from hurnet_stream.core.stored.batch import NOTHING


class RedisForwardNotes:
    """`ForwardNotes` (see hurnet_stream/ports/generations.py) from the store of `source` to that of
    `target`."""

    def __init__(self, source: Connection, target: Connection) -> None:
        self.connection = source
        self._source = source.client
        self._target = target.client
        self._from = source.keys
        self._to = target.keys

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

    @guarded
    def leave_out(self, partition: int, reasons: Mapping[int, str]) -> None:
        if reasons:
            named = {f"{partition}/{offset}": reason for offset, reason in reasons.items()}
            self._target.hset(self._to.left_out, mapping=named)

    @guarded
    def left_out(self) -> int:
        return int(self._target.hlen(self._to.left_out))
