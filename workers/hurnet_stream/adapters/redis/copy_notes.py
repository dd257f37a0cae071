"""`CopyNotes` in Redis: what a second generation is filled with beside batches.

A shard's set `keys` finds offsets by record key, and a copy asks the other way round. So whoever follows a
shard sets `followed` in its state, which has two effects from then on:

    append.lua      adds to the set `recent`, for each entry that came under a key: offset, digest
    compacting.py   leaves all deletions alone that lie beyond `followed`

and looks at the whole of `keys` once. What was appended before is in `keys`, and what comes afterwards is in
`recent`. A key under which everything was deleted before is in neither, and is not needed: the copy repeats a
deletion by its targets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.adapters.redis.connection import Connection, guarded
from hurnet_stream.adapters.redis.left_out import LeftOut
from hurnet_stream.adapters.redis.scripts import REPLACE_VALUE
from hurnet_stream.core.stored.batch import KEY_BYTES

PAGE: Final = 10_000
"""Members of a set that are read at once."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at all keys of a shard found: ascending offsets (n,), and their digests (n, KEY_BYTES)."""

    offsets: NDArray[np.int64]
    digests: NDArray[np.uint8]

    def get(self, offset: int) -> bytes | None:
        row = int(np.searchsorted(self.offsets, offset))
        there = row < len(self.offsets) and self.offsets[row] == offset
        return self.digests[row].tobytes() if there else None


class RedisCopyNotes(LeftOut):
    """`CopyNotes` (see hurnet_stream/ports/generations.py) from the store of `source` to that of `target`."""

    def __init__(self, source: Connection, target: Connection) -> None:
        super().__init__(source, target)
        self._seen: dict[int, _Seen] = {}
        self._shared_log = b""

    @guarded
    def share_log(self) -> None:
        raw = self._source.get(self._from.log)
        if raw is None or raw == self._shared_log:
            return
        there = self._target.get(self._to.log)
        ours, theirs = stored_json.loads(raw), stored_json.loads(there or b"{}")
        # Once ingest fills the second store, that may know more topics than the first one.
        topics = {**ours.get("topics", {}), **theirs.get("topics", {})}
        merged = {**ours, **({"topics": topics} if topics else {})}
        arguments = self._to.log, there or b"", json.dumps(merged)
        if self._target.eval(REPLACE_VALUE, 1, *arguments):
            self._shared_log = raw

    @guarded
    def follow(self, partition: int, watermark: int) -> None:
        self._source.hset(self._from.shard(partition, "state"), "followed", watermark)
        self._seen[partition] = self._look(partition, watermark)

    @guarded
    def copied(self, partition: int, watermark: int) -> None:
        pipe = self._source.pipeline(transaction=False)
        pipe.hset(self._from.shard(partition, "state"), "followed", watermark)
        upto = b"[" + watermark.to_bytes(8, "big") + b"\xff"
        pipe.zremrangebylex(self._from.shard(partition, "recent"), b"-", upto)
        pipe.hget(self._from.shard(partition, "state"), "modes")
        *_, modes = pipe.execute()
        if modes is not None:  # how keyed texts were taken in: `hurnet verify` asks for it
            self._target.hset(self._to.shard(partition, "state"), "modes", modes)

    @guarded
    def keys_of(self, partition: int, offsets: Sequence[int]) -> Sequence[bytes | None]:
        if not offsets:
            return []
        first, last = (offset.to_bytes(8, "big") for offset in (offsets[0], offsets[-1]))
        recent = self._source.zrangebylex(
            self._from.shard(partition, "recent"), b"[" + first, b"[" + last + b"\xff" * (KEY_BYTES + 1)
        )
        found = {int.from_bytes(member[:8], "big"): bytes(member[8:]) for member in recent}
        seen = self._seen.get(partition)
        return [found.get(offset) or (seen.get(offset) if seen else None) for offset in offsets]

    @guarded
    def take_back(self, partition: int, offsets: Sequence[int]) -> None:
        if offsets:
            self._target.hdel(self._to.left_out, *(f"{partition}/{offset}" for offset in offsets))

    def _look(self, partition: int, watermark: int) -> _Seen:
        """All record keys of the shard's entries beyond `watermark`."""
        offsets, digests, after = bytearray(), bytearray(), b"-"
        key = self._from.shard(partition, "keys")
        while members := self._source.zrangebylex(key, after, b"+", 0, PAGE):
            for member in members:
                if int.from_bytes(member[-8:], "big") > watermark:
                    offsets += member[-8:]
                    digests += member[:KEY_BYTES]
            after = b"(" + members[-1]
        found = np.frombuffer(bytes(offsets), ">i8").astype(np.int64)
        order = np.argsort(found)
        by_row = np.frombuffer(bytes(digests), np.uint8).reshape(-1, KEY_BYTES)
        return _Seen(found[order], by_row[order])


def let_go(client: Any, connection: Connection, partitions: Iterable[int]) -> None:
    """These shards are no longer followed."""
    for partition in partitions:
        client.hdel(connection.keys.shard(partition, "state"), "followed")
        client.unlink(connection.keys.shard(partition, "recent"))
