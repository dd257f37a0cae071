"""Reading shards: their states, what is new in them, and single entries."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from typing import Any, Final

from hurnet_stream.adapters.redis.keys import key_range, starting_with
from hurnet_stream.adapters.redis.opened import STATE_FIELDS, OpenedStore
from hurnet_stream.adapters.redis.redaction import ids_from, merged
from hurnet_stream.adapters.redis.stream import StreamItems, item_id, read_items
from hurnet_stream.core.shares import Shares
from hurnet_stream.core.stored.batch import NOTHING, Batch, Entry, ShardState, Vectors
from hurnet_stream.ports import Tail

LOOK_S: Final = 0.002, 0.01
"""How soon it is looked again whether something is new on a cluster: at first, and after some looks."""
UNDER_A_KEY: Final = 64
"""Texts under one key that are looked at."""


class ShardReader:
    """Reads; changes nothing in the store."""

    def __init__(self, store: OpenedStore) -> None:
        self._store = store
        self._client = store.client
        self._keys = store.keys
        self._shares = Shares()
        self._known_shards: frozenset[int] = frozenset()
        self._known_ends: Mapping[int, int] = {}  # watermark of each shard when it was looked at last
        self._floors: Mapping[int, int] = {}  # of the shards that were read last, after they were

    def states(self) -> dict[int, ShardState]:
        partitions = self._store.parse_partitions(self._client.smembers(self._keys.shards))
        pipe = self._client.pipeline(transaction=False)
        for partition in partitions:
            pipe.hmget(self._keys.shard(partition, "state"), STATE_FIELDS)
        *replies, raw_meta = pipe.get(self._keys.meta).execute()
        self._store.recheck_if_opened(raw_meta)
        states = {
            p: self._store.parse_state(p, fields) for p, fields in zip(partitions, replies, strict=True)
        }
        return {p: state for p, state in states.items() if state.epoch}  # without an epoch it has not begun

    def state(self, partition: int) -> ShardState:
        pipe = self._client.pipeline(transaction=False)
        pipe.hmget(self._keys.shard(partition, "state"), STATE_FIELDS)
        fields, raw_meta = pipe.get(self._keys.meta).execute()
        self._store.recheck_if_opened(raw_meta)
        return self._store.parse_state(partition, fields)

    def entry(self, partition: int, offset: int) -> Entry | None:
        deleted = starting_with(offset.to_bytes(8, "big", signed=True))  # -1 is no error: it is in no set
        if self._client.zrangebylex(self._keys.shard(partition, "pending"), *deleted, 0, 1):
            return None  # deleted and not erased yet
        batch = self.batch_reaching(partition, offset)
        return next((entry for entry in batch.entries if entry.offset == offset), None) if batch else None

    def stored_at(self, partition: int, offsets: Sequence[int]) -> Iterator[Batch]:
        """See `EntryStore.stored_at`. One round trip for each batch that holds some of the offsets."""
        done = 0  # how many of the offsets are settled
        while done < len(offsets) and (batch := self.batch_reaching(partition, offsets[done])):
            end = bisect_right(offsets, batch.watermark, done)
            if (wanted := batch.only(frozenset(offsets[done:end]))).entries:
                yield wanted
            done = end

    def under_keys(
        self, partition: int, keys: Sequence[tuple[bytes, str]]
    ) -> dict[tuple[bytes, str], dict[str, Vectors]]:
        """See `EntryStore.under_keys`. A round trip for all keys, and one for each batch that holds some."""
        pipe = self._client.pipeline(transaction=False)
        for key in keys:
            pipe.zrangebylex(self._keys.shard(partition, "keys"), *key_range(*key), 0, UNDER_A_KEY)
        *found_members, sealed = pipe.hget(self._keys.shard(partition, "state"), "sealed").execute()
        key_of = {
            offset: key
            for key, members in zip(keys, found_members, strict=True)
            for member in members
            # To read a piece of a file for each text takes longer than to embed it.
            if (offset := int.from_bytes(member[-8:], "big")) > int(NOTHING if sealed is None else sealed)
        }
        found: dict[tuple[bytes, str], dict[str, Vectors]] = {}
        for batch in self.stored_at(partition, sorted(key_of)):
            for entry, vector in zip(batch.entries, batch.vectors, strict=True):
                found.setdefault(key_of[entry.offset], {})[entry.text] = vector
        return found

    def batch_reaching(self, partition: int, offset: int) -> Batch | None:
        """The first batch whose watermark is at or beyond `offset`; None if the shard ends before it."""
        return self._store.twice(partial(self._reaching, partition, offset))

    def _reaching(self, partition: int, offset: int) -> Batch | None:
        with self._store.connection.used():  # `stored_at` comes here when its caller asks for the next batch
            pipe = self._client.pipeline(transaction=False)
            pipe.xrange(self._keys.shard(partition, "stream"), min=item_id(offset), count=1)
            pipe.zrangebylex(self._keys.shard(partition, "redacted"), *ids_from(offset + 1), 0, 1)
            items, redacted = pipe.execute()
            found = merged(items, redacted, 1, offset + 1)
            return self._store.decode(partition, found[0])[0] if found else None

    def tail(self, positions: Mapping[int, int], max_batches: int, block_s: float) -> Tail:
        """See `EntryStore.tail`. Usually one round trip, which also shows new shards, to be read next time.

        There is a second one if those shards whose turn it was have nothing new, and others have.
        """
        if max_batches < 1:
            raise ValueError(f"max_batches must be at least 1, not {max_batches}")
        self._store.must_exist()
        block_s = min(block_s, self._store.connection.timeout_s / 2)
        shards = sorted(self._known_shards or self.states())
        if not shards:
            time.sleep(block_s)  # there is no stream yet that a reader could block on
            return Tail((), {})
        after = {partition: positions.get(partition, NOTHING) for partition in shards}
        behind = _behind(after, self._known_ends)
        if block_s and not behind and self._store.connection.is_cluster:
            self._await(after, block_s)
            block_s = 0.0
        wait_s = 0.0 if behind else block_s
        states, batches = self._store.twice(partial(self._read, after, behind, max_batches, wait_s))
        # The states that came along may show that shards which stood back have something new.
        if not batches and (behind := _behind(after, self._known_ends)):
            states, batches = self._store.twice(partial(self._read, after, behind, max_batches, 0.0))
        return Tail(batches, {p: state for p, state in states.items() if state.epoch}, self._floors)

    def _await(self, after: Mapping[int, int], block_s: float) -> None:
        """Wait until a shard goes beyond a position, for at most `block_s`. One command can't wait for
        streams in several slots, and a blocked connection for each would cost more than looking now and
        then."""
        until, (wait_s, longest_s) = time.monotonic() + block_s, LOOK_S
        keys = {partition: self._keys.shard(partition, "state") for partition in after}
        while time.monotonic() < until:
            pipe = self._client.pipeline(transaction=False)
            for key in keys.values():
                pipe.hget(key, "watermark")
            if any(int(end or NOTHING) > after[p] for p, end in zip(keys, pipe.execute(), strict=True)):
                return
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, longest_s)

    def _read(
        self, after: Mapping[int, int], behind: Set[int], max_batches: int, block_s: float
    ) -> tuple[dict[int, ShardState], list[Batch]]:
        """The states of all shards, and the batches of those whose turn it is."""
        shares = self._shares.of_next_reply(after, behind, max_batches)
        count = next(iter(shares.values()))  # the same for each
        chosen = {partition: after[partition] for partition in shares}
        states, items = self._pull(list(after), chosen, count, round(block_s * 1000) or None)
        self._known_ends = {partition: state.watermark for partition, state in states.items()}
        batches: list[Batch] = []
        for partition, position in chosen.items():
            if not states[partition].epoch:
                continue  # it has not begun; another store may have left items there
            decoded = [self._store.decode(partition, item) for item in items[partition]]
            dimension = self._store.meta.identity.dimension
            batches += read_items(partition, position, decoded, states[partition], dimension, count)
        return states, batches

    def _pull(
        self, shards: Sequence[int], positions: Mapping[int, int], count: int, block_ms: int | None
    ) -> tuple[dict[int, ShardState], dict[int, StreamItems]]:
        """The states of `shards`, and of each shard in `positions` the first items beyond its position."""
        raw_meta, members, *replies = self._asked(shards, positions, count, block_ms).execute()
        # A store that was emptied, or another one at its address, would have nothing new for ever.
        self._store.recheck(raw_meta)
        self._known_shards = frozenset(self._store.parse_partitions(members)).union(shards)
        states, rest = replies[: len(shards)], replies[len(shards) :]
        reads = len(positions) if self._store.connection.is_cluster else 1
        streamed, rest = [part for reply in rest[:reads] for part in reply], rest[reads:]
        redacted, floors = rest[: len(positions)], rest[len(positions) :]
        self._floors = {p: int(NOTHING if f is None else f) for p, f in zip(positions, floors, strict=True)}
        by_stream = dict(streamed)
        items = {
            p: merged(by_stream.get(self._keys.shard(p, "stream").encode(), ()), members, count, position + 2)
            for (p, position), members in zip(positions.items(), redacted, strict=True)
        }
        return {p: self._store.parse_state(p, s) for p, s in zip(shards, states, strict=True)}, items

    def _asked(
        self, shards: Sequence[int], positions: Mapping[int, int], count: int, block_ms: int | None
    ) -> Any:
        """The questions of `_pull` in one pipeline, in an order that matters:

        1. the states, so that what is read afterwards is at least what they promise;
        2. the streams;
        3. the redacted batches: one that moves here from its stream between 2 and 3 is seen in both, and
           `merged` takes it once. In the other order it might be seen in neither;
        4. the floors: if a deletion was compacted away before 2, the floor is beyond it by now.
        """
        pipe = self._client.pipeline(transaction=False)
        pipe.get(self._keys.meta).smembers(self._keys.shards)
        for partition in shards:
            pipe.hmget(self._keys.shard(partition, "state"), STATE_FIELDS)
        # XREAD gives what lies beyond an id: that of the last item which the reader has seen.
        streams = {self._keys.shard(p, "stream"): item_id(position) for p, position in positions.items()}
        alone = [{key: position} for key, position in streams.items()]
        for together in alone if self._store.connection.is_cluster else [streams]:
            pipe.xread(together, count=count, block=block_ms)
        for partition, position in positions.items():
            pipe.zrangebylex(self._keys.shard(partition, "redacted"), *ids_from(position + 2), 0, count)
        for partition in positions:
            pipe.hget(self._keys.shard(partition, "state"), "floor")
        return pipe


def _behind(positions: Mapping[int, int], ends: Mapping[int, int]) -> set[int]:
    """The shards that are known to hold more than a reader at `positions` has seen."""
    return {partition for partition, position in positions.items() if ends.get(partition, NOTHING) > position}
