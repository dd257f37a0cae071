"""Removing deleted rows for good, once the solver's saved checkpoint no longer counts them.

    record 3   an entry                  stored
    record 8   deletes record 3          stored, pending: readers skip it, the solver can still subtract it
    a checkpoint with watermark >= 8     the statistics that are saved don't hold it any more
    erase                                gone

The order is what makes unlearning exact: a solver that goes on from the saved checkpoint finds in the store
exactly the targets that its statistics still hold. What each shard notes of it, in case that the checkpoint
is lost again: shard_fence.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, NamedTuple

import redis

from hurnet_stream.adapters.redis import contexts, resealing, shard_fence, stored_json
from hurnet_stream.adapters.redis.keys import Keys
from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.redaction import (
    decode_member,
    encode_member,
    ids_from,
    merged,
    only_id,
)
from hurnet_stream.adapters.redis.resealing import Rounds, rewritten
from hurnet_stream.adapters.redis.stream import Fields, StreamItems, number_of
from hurnet_stream.core.stored.batch import NOTHING, Batch
from hurnet_stream.errors import SegmentsFailing, TransientError

PAGE: Final = 4_096
"""Targets looked at in one step, of each shard."""


class Page(NamedTuple):
    """The next targets of a shard that are pending.

    `due` are those deleted by records up to offset `covered`: offset -> member of the set, ascending.
    `last` is the page's last member, b"" if nothing follows the page.
    """

    due: Mapping[int, bytes]
    last: bytes
    covered: int


class Erased(NamedTuple):
    """Targets that are settled, and what queues the commands for it. That returns the contexts that lose
    rows."""

    done: Sequence[int]
    queue: Callable[[Any], Sequence[str]]


class Eraser:
    """Erases for one solver, page by page."""

    def __init__(self, store: OpenedStore) -> None:
        self._store = store
        # The pending member of each shard after which the next page begins.
        self._looked_up_to: dict[int, bytes] = {}
        self._rounds = Rounds()

    def erase(self, most: int, owner: str, stamp: str) -> int:
        """See `EntryStore.erase`."""
        client, keys = self._store.client, self._store.keys
        covered = covered_by_checkpoint(client, keys, owner, stamp)
        meta = self._store.recheck(client.get(keys.meta))
        meta.check_writer()
        remaining, away = 0, None
        for partition, watermark in covered.items():
            redaction = Redaction(self._store, partition)
            page = redaction.page(watermark, self._looked_up_to.get(partition, b""))
            due = [offset for offset in page.due if offset > redaction.untouched(self._rounds)]
            while due and most:  # each pass rewrites one batch, in a transaction of its own
                try:
                    with self._rounds.writing(partition) if due[0] <= redaction.sealed else nullcontext():
                        due = redaction.erase_first(due, page, owner, stamp)
                except SegmentsFailing as error:  # what is in Redis is erased all the same
                    due, away = [offset for offset in due if offset > redaction.sealed], error
                most -= 1
            # Once all of a page is erased, go on behind it. After the last page start from the front: later
            # deletions may have added entries there.
            if page.due:
                self._store.connection.settle(keys.shard(partition, "settled"))
            if not due:
                self._looked_up_to[partition] = page.last
                if not page.last and self._rounds.is_on(partition):
                    self._rounds.ended(partition)
            remaining += len(due) + bool(page.last)
        if away:
            raise away
        return remaining


def covered_by_checkpoint(client: Any, keys: Keys, owner: str, stamp: str) -> dict[int, int]:
    """The watermark per shard of the solver's saved checkpoint; empty if that is not the one with this stamp.

    Raises `Superseded` if another solver than `owner` holds the role, `StoreReplaced` if none does.
    """
    shard_fence.check_role(client.get(keys.solver("owner")), owner)
    stored, shards = client.hmget(keys.solver("checkpoint"), "stamp", "shards")
    if not stamp or stored != stamp.encode():
        return {}
    return {int(partition): int(state[0]) for partition, state in stored_json.loads(shards).items()}


class Redaction:
    """Erases rows of one shard.

    Every write changes the set of redacted batches and watches it, so of two erasers at once one fails.
    """

    def __init__(self, store: OpenedStore, partition: int) -> None:
        self._store = store
        self._client = client = store.client
        self._keys = keys = store.keys
        self._partition = partition
        self._state = keys.shard(partition, "state")
        self.sealed = int(client.hget(self._state, "sealed") or NOTHING)
        """The position up to which the shard is sealed."""
        self._stream = keys.shard(partition, "stream")
        self._redacted = keys.shard(partition, "redacted")
        self._pending = keys.shard(partition, "pending")
        self._fence = keys.shard(partition, "fence")

    def untouched(self, rounds: Rounds) -> int:
        """The position up to which nothing is erased for now."""
        return NOTHING if rounds.is_on(self._partition) else self.sealed

    def page(self, covered: int, after: bytes) -> Page:
        """The pending targets that follow the member `after`, deleted by records up to offset `covered`."""
        members = self._client.zrangebylex(self._pending, b"(" + after if after else b"-", b"+", 0, PAGE)
        due = {
            int.from_bytes(member[:8], "big"): bytes(member)
            for member in members
            if int.from_bytes(member[8:], "big") <= covered
        }
        return Page(due, bytes(members[-1]) if len(members) == PAGE else b"", covered)

    def erase_first(self, due: Sequence[int], page: Page, owner: str, stamp: str) -> list[int]:
        """Erase those of `due` that lie in one batch with the first of them. Returns the others.

        Raises `TransientError` if the checkpoint was lost or another eraser came in between, `RolledBack` if
        another has fenced the shard, and what `covered_by_checkpoint` raises.
        """
        first_id = due[0] + 1  # a batch with this offset has a watermark at or beyond it
        covered = covered_by_checkpoint(self._client, self._keys, owner, stamp)
        # Looked at again: if the store has lost the checkpoint that covers these rows, the next solver needs
        # them. If it is lost from here on, that solver sees what was erased.
        if covered.get(self._partition, NOTHING) < page.covered:
            raise TransientError("the checkpoint that covers what is to be erased is gone")
        with self._client.pipeline() as pipe:
            try:
                pipe.watch(self._redacted, self._fence)
                last = shard_fence.looked_at(pipe, self._fence, self._partition, owner)
                streamed = pipe.xrange(self._stream, min=f"{first_id}-0", count=1)
                members = pipe.zrangebylex(self._redacted, *ids_from(first_id), 0, 1)
                items = merged(streamed, members, 1, first_id)
                sealed = items and b"piece" in items[0][1]
                erased = self._of_segment(members[0], due) if sealed else self._of_batch(items, due)
                settled = [page.due[offset] for offset in erased.done]
                last = max([last, *(int.from_bytes(member[8:], "big") for member in settled)])
                pipe.multi()
                pipe.hset(self._fence, mapping={"owner": owner, "erased": last})
                pipe.zrem(self._pending, *settled)
                touched = erased.queue(pipe)
                replies = pipe.execute()
            except redis.WatchError as error:
                raise TransientError(f"another erased rows of shard {self._partition} too") from error
        # The last replies are, for each touched context, its rows and its bytes that are left.
        rows_left = replies[len(replies) - 2 * len(touched) :: 2]
        emptied = [name for name, rows in zip(touched, rows_left, strict=True) if rows <= 0]
        contexts.give_back(self._client, self._keys, self._store.meta.epoch, emptied)
        return list(due[len(erased.done) :])

    def _of_batch(self, items: StreamItems, due: Sequence[int]) -> Erased:
        batch = self._store.decode(self._partition, items[0])[0] if items else None
        # If there is no batch at or beyond them, none of them is in the store: all are settled.
        done = [offset for offset in due if batch is None or offset <= batch.watermark]
        rest = batch.without(frozenset(done)) if batch else None
        if batch is None or rest is None or rest.removed == batch.removed:  # none of them is in it
            return Erased(done, lambda _: ())
        return Erased(done, partial(self._rewrite, *items[0], batch, rest))

    def _of_segment(self, member: bytes, due: Sequence[int]) -> Erased:
        """Writes the segment's file anew."""
        end = number_of(decode_member(member)[0]) - 1
        done = [offset for offset in due if offset <= end]
        change = rewritten(self._store, self._partition, member, frozenset(done))
        if change is None:
            return Erased(done, lambda _: ())
        seconds, _ = self._client.time()
        return Erased(done, partial(resealing.queue, self._store, self._partition, change, seconds * 1000))

    def _rewrite(
        self, identifier: bytes, fields: Fields, batch: Batch, rest: Batch, pipe: Any
    ) -> Sequence[str]:
        """Queue the commands that put what is left of a batch in its place.

        Returns the contexts that lose rows.
        """
        pipe.hincrby(self._state, "rewrites", 1)
        pipe.xdel(self._stream, identifier)
        pipe.zremrangebylex(self._redacted, *only_id(number_of(identifier)))
        pipe.zadd(self._redacted, {encode_member(identifier, fields, rest): 0})
        return contexts.subtract(pipe, self._keys, batch, rest)
