"""Writing to shards: appends and deletions, each of which moves the shard's watermark or is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hurnet_stream.adapters.redis import contexts
from hurnet_stream.adapters.redis.deletions import delete_arguments, keyed
from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.scripts import APPEND, BEGIN_SHARD, DELETE, SHARD_KEYS
from hurnet_stream.adapters.redis.shard_reader import ShardReader
from hurnet_stream.adapters.redis.stream import item_id
from hurnet_stream.core.stored.batch import NOTHING, Anchor, Batch, Deletion, ShardState
from hurnet_stream.core.stored.codec import check, check_deletion, encode_batch, sorted_offsets
from hurnet_stream.errors import StoreError, StoreReplaced
from hurnet_stream.ports import BEHIND, Appended, Refused, Unfinished

_DONE, _UNFINISHED = 1, 2  # what the scripts return first; 0 if they refuse


class ShardWriter:
    """Appends and deletes. Any call may be repeated if its reply was lost.

    If the lost call was in, the repeated one is refused, and the state of `Refused` shows that it was.
    """

    def __init__(self, store: OpenedStore, reader: ShardReader) -> None:
        self._store = store
        self._reader = reader

    def append(self, batch: Batch, expected: int) -> Appended | Refused:
        meta = self._store.meta
        check(batch, meta.identity.dimension, expected)
        code, state = self._advance(
            APPEND,
            batch.partition,
            expected,
            batch.watermark,
            item_id(batch.watermark),
            len(batch.entries),
            meta.epoch,
            _encoded(batch.anchor),
            *encode_batch(batch),
            *contexts.added_by(batch),
            *keyed(batch),
        )
        return Appended(state) if code == _DONE else Refused(state)

    def delete(self, partition: int, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        store, meta = self._store, self._store.meta
        check_deletion(partition, deletion, expected)

        def batch_reaching(offset: int) -> Batch | None:
            return self._reader.batch_reaching(partition, offset)

        code, state = self._advance(
            DELETE,
            partition,
            expected,
            deletion.offset,
            item_id(deletion.offset),
            meta.epoch,
            _encoded(deletion.anchor),
            *delete_arguments(store.client, store.keys, partition, deletion, batch_reaching),
        )
        if code == _DONE and deletion.drops:
            # A context that was admitted and never got a row has nothing to erase: give its name back now.
            contexts.give_back(store.client, store.keys, meta.epoch, [deletion.context or ""])
        if code == _UNFINISHED:
            return Unfinished(state)
        return Appended(state) if code == _DONE else Refused(state)

    def deletion_part(self, partition: int, offset: int, number: int) -> Sequence[int]:
        packed = self._store.client.hget(self._store.keys.shard(partition, "parts"), f"{offset}/{number}")
        try:
            if packed is None and offset <= self._reader.state(partition).floor:
                raise StoreReplaced(f"the deletion at {partition}/{offset} was compacted away: {BEHIND}")
            if packed is None:
                raise ValueError("it is missing")
            return sorted_offsets(packed)
        except ValueError as error:
            raise StoreError(
                f"part {number} of the deletion at {partition}/{offset} can't be read ({error}): restore the"
                " store from a backup"
            ) from error

    def _advance(self, script: str, partition: int, expected: int, *arguments: Any) -> tuple[int, ShardState]:
        """Run a script that moves the shard's watermark from `expected`, or refuses to."""
        store = self._store
        keys = [store.keys.shard(partition, name) for name in SHARD_KEYS]
        pipe = store.client.pipeline(transaction=False)
        if expected == NOTHING:
            begin_keys = store.keys.meta, store.keys.shards, keys[0]
            pipe.eval(BEGIN_SHARD, len(begin_keys), *begin_keys, store.meta.epoch, partition)
        # EVAL and not EVALSHA: the script's bytes are few beside a batch's, and a restarted server, which
        # knows no scripts, needs no second try.
        pipe.eval(script, len(keys), *keys, expected, *arguments)
        # The meta comes last, so that nothing is acknowledged that went to a store deleted before it.
        pipe.get(store.keys.meta)
        *_, (code, *fields), raw_meta = pipe.execute()
        store.recheck(raw_meta, partition).check_writer()
        return code, store.parse_state(partition, fields)


def _encoded(anchor: Anchor | None) -> bytes:
    return anchor.encode() if anchor else b""
