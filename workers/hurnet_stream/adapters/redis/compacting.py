"""Compacting what deletions leave behind, below a floor that nobody needs them from any more.

    next      a watermark that a saved checkpoint covered at `next_ms`
    floor     the last `next` that was old enough, and to which nothing is left to erase
    compacted up to which offset the work below the floor is done
    asked     up to which offset somebody wants it at once (`hurnet compact`)
    followed  up to which offset another generation was filled from this one: it needs what lies beyond

               compacted          floor               next          the checkpoint's watermark
    -------------|------------------|-------------------|-------------|-------------> offsets
     one item     may be compacted   readers may still need it
     a full batch at any time

All stand in the shard's state. The floor moves first, and each run of neighbours (core/stored/compaction.py)
is replaced in a transaction of its own. So a crash loses nothing: who comes next goes on behind `compacted`.

A deletion may have emptied batches far below it. It goes only after these, since it is what names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import redis

from hurnet_stream.adapters.redis import contexts, shard_fence
from hurnet_stream.adapters.redis.erasing import PAGE, covered_by_checkpoint
from hurnet_stream.adapters.redis.keys import Keys
from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.redaction import (
    compacted_member,
    first_number,
    ids_from,
    merged,
    only_id,
)
from hurnet_stream.adapters.redis.scripts import RAISE_FLOOR
from hurnet_stream.adapters.redis.stream import Item, StreamItems, number_of
from hurnet_stream.core.shares import REPLY_BATCHES
from hurnet_stream.core.stored import compaction
from hurnet_stream.core.stored.batch import MAX_OFFSET, NOTHING, Batch
from hurnet_stream.core.stored.codec import sorted_offsets
from hurnet_stream.errors import TransientError

FIELDS: Final = ("floor", "compacted", "next", "next_ms", "asked", "followed")
READ_ITEMS: Final = REPLY_BATCHES
"""Items read at once."""


class Compactor:
    """Compacts for one solver, step by step."""

    def __init__(self, store: OpenedStore) -> None:
        self._store = store
        self._shards: dict[int, ShardCompaction] = {}
        self._work: dict[int, Iterator[None]] = {}
        """By shard, what is in hand below its floor. Each step of it looks at some items."""

    def compact(self, most: int, owner: str, stamp: str, keep_s: float) -> int:
        """See `EntryStore.compact`."""
        store = self._store
        meta = store.recheck(store.client.get(store.keys.meta))
        meta.check_writer()
        if not meta.is_compacted:
            return 0
        for partition, watermark in covered_by_checkpoint(store.client, store.keys, owner, stamp).items():
            shard = self._shards.setdefault(partition, ShardCompaction(store, partition))
            shard.owner, shard.stamp = owner, stamp
            shard.raise_floor(watermark, keep_s)
            most = self._go_on(shard, most)
        return len(self._work)

    def _go_on(self, shard: ShardCompaction, most: int) -> int:
        """Up to `most` steps of one shard. Returns how many are left for others."""
        # Taken out while it runs: if a step fails, the work begins anew behind what is done.
        work = self._work.pop(shard.partition, None) or shard.work()
        for step in range(most):
            if next(work, work) is work:
                return most - step
        self._work[shard.partition] = work
        return 0


class ShardCompaction:
    """The work on one shard, for the solver `owner` that goes on from the checkpoint with this stamp."""

    def __init__(self, store: OpenedStore, partition: int) -> None:
        self._store = store
        self._client = store.client
        self._keys: Keys = store.keys
        self.partition = partition
        self.owner = self.stamp = ""
        names = ("state", "stream", "redacted", "parts", "pending", "fence")
        shard_keys = [self._keys.shard(partition, name) for name in names]
        self._state, self._stream, self._redacted, self._parts, self._pending, self._fence = shard_keys

    def raise_floor(self, covered: int, keep_s: float) -> None:
        """Move the floor as far as it may be. `covered` is the saved checkpoint's watermark."""
        floor, _, following, next_ms, asked, followed = self._figures()
        limit = min(covered, self._least_pending() - 1, followed)
        seconds, micros = self._client.time()
        now_ms = seconds * 1000 + micros // 1000
        grown_old = now_ms >= next_ms + 1000 * keep_s
        target = min(max(following if grown_old else NOTHING, asked), limit)
        if target > floor:
            self._client.eval(RAISE_FLOOR, 2, self._state, self._fence, self.owner, target)
        clock_went_back = now_ms < next_ms
        if following < limit and (grown_old or clock_went_back):
            self._client.hset(self._state, mapping={"next": limit, "next_ms": now_ms})

    def work(self) -> Iterator[None]:
        """Compact what lies between `compacted` and the floor. Yields after each bounded step."""
        floor, done, *_ = self._figures()
        while items := self._items(self._client, done + 2, floor + 1, READ_ITEMS):
            last = number_of(items[-1][0])
            yield from self._compact_what_they_deleted(items)
            # The item before them, too: what is left of rows that are gone goes to it.
            yield from self._compact(self._before(first_number(items[0])), last)
            done = last - 1
            self._client.hset(self._state, "compacted", done)
            yield
        if done < floor:
            self._client.hset(self._state, "compacted", floor)

    def _figures(self) -> list[int]:
        raw = self._client.hmget(self._state, FIELDS)
        *figures, followed = [int(NOTHING if value is None else value) for value in raw]
        return [*figures, MAX_OFFSET if raw[-1] is None else followed]

    def _least_pending(self) -> int:
        """The offset of the first deletion of which something is not erased; 0, which allows for nothing, if
        there are too many of them to look at."""
        members = self._client.zrange(self._pending, 0, PAGE - 1)
        if len(members) == PAGE:
            return 0
        return min((int.from_bytes(member[8:], "big") for member in members), default=MAX_OFFSET)

    def _compact_what_they_deleted(self, items: StreamItems) -> Iterator[None]:
        """Compact the batches before `items` of which deletions among these have erased rows."""
        begin = first_number(items[0])
        targets = (target for item in items for target in self._targets(item) if target < begin - 1)
        done = NOTHING
        for target in sorted(set(targets)):
            if target <= done:
                continue
            found = self._items(self._client, target + 1, begin - 1, 2)
            if found and self._decoded(found[0]).removed:
                yield from self._compact(self._before(first_number(found[0])), number_of(found[-1][0]))
            done = number_of(found[0][0]) - 1 if found else begin
            yield

    def _targets(self, item: Item) -> Iterator[int]:
        """What a deletion deletes; nothing if the item is none. Missing parts were compacted away."""
        if b"deletion" not in item[1] or not (deletion := self._decoded(item).deletion):
            return
        for number in range(1, deletion.parts + 1):
            yield from sorted_offsets(self._client.hget(self._parts, f"{deletion.offset}/{number}") or b"")
        yield from deletion.targets

    def _compact(self, first: int, last: int) -> Iterator[None]:
        """Make one item of each run among those numbered `first` to `last`. Yields after each transaction."""
        while True:
            replaced, following, more = self._replace_first_run(first, last)
            yield
            if not (replaced or more) or following > last:
                return
            first = following

    def _replace_first_run(self, first: int, last: int) -> tuple[bool, int, bool]:
        """Replace the first run of neighbours from which something is gained.

        Returns whether there was one, the number of the item to go on with, and whether there may be more.
        """
        covered = covered_by_checkpoint(self._client, self._keys, self.owner, self.stamp)
        if self.partition not in covered:
            raise TransientError("the checkpoint that covers what is to be compacted is gone")
        with self._client.pipeline() as pipe:
            try:
                pipe.watch(self._redacted, self._fence)
                shard_fence.looked_at(pipe, self._fence, self.partition, self.owner)
                items = self._items(pipe, first, last, READ_ITEMS)
                batches = [self._decoded(item) for item in items]
                for run in compaction.runs(batches):
                    chosen = slice(run.first, run.last + 1)
                    self._queue(pipe, items[chosen], batches[chosen])
                    pipe.execute()
                    return True, number_of(items[run.last][0]), True
            except redis.WatchError as error:
                raise TransientError(f"shard {self.partition} changed while it was compacted") from error
        # The last item may make a run with those behind it.
        return False, number_of(items[-1][0]) if items else last, len(items) == READ_ITEMS

    def _queue(self, pipe: Any, items: StreamItems, batches: Sequence[Batch]) -> None:
        """The commands that put one item in the place of these."""
        batch = compaction.merged(batches)
        pipe.multi()
        pipe.hincrby(self._state, "rewrites", 1)
        pipe.xdel(self._stream, *(name for name, _ in items))
        for name, _ in items:
            pipe.zremrangebylex(self._redacted, *only_id(number_of(name)))
        if batch is not None:
            member = compacted_member(items[-1][0], items[0][1], first_number(items[0]), batch)
            pipe.zadd(self._redacted, {member: 0})
        contexts.move(pipe, self._keys, batches, batch)
        for deletion in (each.deletion for each in batches):
            if deletion and deletion.parts:
                numbers = (f"{deletion.offset}/{number}" for number in range(1, deletion.parts + 1))
                pipe.hdel(self._parts, str(deletion.offset), *numbers)

    def _items(self, pipe: Any, first: int, last: int, count: int) -> StreamItems:
        """The items numbered `first` to `last`, the first `count` of them."""
        if first > last:
            return ()
        streamed = pipe.xrange(self._stream, f"{first}-0", f"{last}-0", count)
        members = pipe.zrangebylex(self._redacted, ids_from(first)[0], only_id(last)[1], 0, count)
        # What is sealed stays as it is: it lies before all others.
        return [item for item in merged(streamed, members, count, first) if b"piece" not in item[1]]

    def _before(self, number: int) -> int:
        """The number of the item before the one with this number; that one's if there is none."""
        streamed = self._client.xrevrange(self._stream, f"{number - 1}-0", "-", 1)
        members = self._client.zrevrangebylex(self._redacted, only_id(number - 1)[1], b"-", 0, 1)
        items = [item for item in merged(streamed, members, 2) if b"piece" not in item[1]]
        return number_of(items[-1][0]) if items else number

    def _decoded(self, item: Item) -> Batch:
        return self._store.decode(self.partition, item)[0]


def ask(client: Any, keys: Keys, upto: Mapping[int, int]) -> None:
    """Note in each shard up to which offset somebody wants it compacted."""
    pipe = client.pipeline(transaction=False)
    for partition, offset in upto.items():
        pipe.hset(keys.shard(partition, "state"), "asked", offset)
    pipe.execute()
