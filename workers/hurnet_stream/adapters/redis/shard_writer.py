"""Writing to shards: appends and deletions, each of which moves the shard's watermark or is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from hurnet_stream.adapters.redis import contexts, expiries
from hurnet_stream.adapters.redis.deletions import (
    delete_arguments,
    key_member,
    keyed,
    repeated_arguments,
    replacing_arguments,
)
from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.scripts import APPEND, BEGIN_SHARD, DELETE, SHARD_KEYS
from hurnet_stream.adapters.redis.shard_list import ShardList
from hurnet_stream.adapters.redis.shard_reader import ShardReader
from hurnet_stream.adapters.redis.stream import item_id
from hurnet_stream.core import places
from hurnet_stream.core.formats import REPLACED_FROM
from hurnet_stream.core.stored.batch import NOTHING, Anchor, Batch, Deletion, ShardState
from hurnet_stream.core.stored.codec import check, check_deletion, encode_batch, sorted_offsets
from hurnet_stream.core.stored.replacing import halves, is_one_record, settled
from hurnet_stream.errors import StoreError, StoreReplaced
from hurnet_stream.ports import BEHIND, Appended, Refused, Unfinished

NONE_TAKEN: Final[Mapping[int, int]] = {}
_DONE, _UNFINISHED, _CROWDED, _TOO_OLD = 1, 2, 3, 4
"""What the scripts return first; 0 if they refuse."""


class ShardWriter:
    """Appends and deletes. Any call may be repeated if its reply was lost.

    If the lost call was in, the repeated one is refused, and the state of `Refused` shows that it was.
    """

    def __init__(self, store: OpenedStore, reader: ShardReader) -> None:
        self._store = store
        self._reader = reader
        self.shard_list = ShardList(store)

    def append(
        self, batch: Batch, expected: int, taken: Mapping[int, int] = NONE_TAKEN
    ) -> Appended | Unfinished | Refused:
        check(batch, self._store.meta.identity.dimension, expected)
        code, state, replaced = self._append(batch, expected, taken)
        if code == _TOO_OLD:
            # The first text that replaces others: programs that know nothing of it must not read on.
            self._store.raise_format(REPLACED_FROM)
            code, state, replaced = self._append(batch, expected, taken)
        if code == _CROWDED:
            return self._append_halves(batch, expected)
        if code == _UNFINISHED:
            return Unfinished(state, replaced)
        if code == _DONE:
            overtaken = len(batch.entries) - len(settled(batch).entries)
            return Appended(state, replaced + overtaken, len(batch.entries) - overtaken)
        return Refused(state)

    def repeat_append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        deletion = batch.deletion
        if deletion is None:
            return self.append(batch, expected)
        by = dict(zip(deletion.targets, deletion.by, strict=True))
        stored = self._reader.stored_at(batch.partition, sorted(by))
        held = {entry.offset: entry for found in stored for entry in found.entries}
        keys = dict(zip(batch.columns.offsets.tolist(), batch.keys, strict=False))
        members = [
            key_member(key, entry.context, target)
            for target, entry in held.items()
            if (key := keys.get(by[target])) is not None
        ]
        if members:  # as an append that finds them by their key leaves the set of keys
            self._store.client.zrem(self._store.keys.shard(batch.partition, "keys"), *members)
        absent = {target: which for target, which in by.items() if target not in held}
        told = replace(deletion, targets=tuple(absent), by=tuple(absent.values()))
        return self.append(replace(batch, deletion=told), expected, {target: by[target] for target in held})

    def _append_halves(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        """A batch that replaces more than one step may, in two batches."""
        first, second = halves(batch)
        begun = self.append(first, expected)
        if not isinstance(begun, Appended):
            return begun
        done = self.append(second, first.watermark)
        if isinstance(done, Refused):
            return done
        return replace(done, replaced=begun.replaced + done.replaced, rows=begun.rows + done.rows)

    def _append(self, whole: Batch, expected: int, taken: Mapping[int, int]) -> tuple[int, ShardState, int]:
        meta, batch = self._store.meta, settled(whole)
        return self._advance(
            APPEND,
            batch.partition,
            expected,
            batch.watermark,
            item_id(batch.watermark),
            len(batch.entries),
            meta.epoch,
            _encoded(batch.anchor),
            *encode_batch(batch),
            *replacing_arguments(batch, meta.min_reader >= REPLACED_FROM, is_one_record(whole), taken),
            *contexts.added_by(batch),
            *keyed(batch),
        )

    def delete(self, partition: int, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        store, meta = self._store, self._store.meta
        check_deletion(partition, deletion, expected)

        def batch_reaching(offset: int) -> Batch | None:
            return self._reader.batch_reaching(partition, offset)

        self._note_expiry(partition, deletion)
        code, state, _ = self._advance(
            DELETE,
            partition,
            expected,
            deletion.offset,
            item_id(deletion.offset),
            meta.epoch,
            _encoded(deletion.anchor),
            *delete_arguments(store.client, store.keys, partition, deletion, batch_reaching),
        )
        return self._deleted(code, state, deletion)

    def repeat_deletion(
        self, partition: int, deletion: Deletion, targets: Sequence[int], last: bool, expected: int
    ) -> Appended | Unfinished | Refused:
        check_deletion(partition, replace(deletion, targets=tuple(targets)), expected)
        held = [entry for batch in self._reader.stored_at(partition, targets) for entry in batch.entries]
        there = [entry.offset for entry in held]
        if deletion.key is not None and held:  # as a deletion by key leaves the set of keys
            members = [key_member(deletion.key, entry.context, entry.offset) for entry in held]
            self._store.client.zrem(self._store.keys.shard(partition, "keys"), *members)
        absent = sorted({*targets} - {*there})
        self._note_expiry(partition, deletion)
        code, state, _ = self._advance(
            DELETE,
            partition,
            expected,
            deletion.offset,
            item_id(deletion.offset),
            self._store.meta.epoch,
            _encoded(deletion.anchor),
            *repeated_arguments(deletion, there, absent, last),
        )
        return self._deleted(code, state, deletion)

    def _note_expiry(self, partition: int, deletion: Deletion) -> None:
        """Outside the shards of texts no record tells of it."""
        if deletion.expiry and places.number_of(partition) != places.TEXTS:
            store = self._store
            expiries.note(store.client, store.keys, partition, deletion.context or "", deletion.expiry)

    def _deleted(self, code: int, state: ShardState, deletion: Deletion) -> Appended | Unfinished | Refused:
        store = self._store
        if code == _DONE and deletion.drops:
            # A context that was admitted and never got a row has nothing to erase: give its name back now.
            contexts.give_back(store.client, store.keys, store.meta.epoch, [deletion.context or ""])
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

    def _advance(
        self, script: str, partition: int, expected: int, *arguments: Any
    ) -> tuple[int, ShardState, int]:
        """Run a script that moves the shard's watermark from `expected`, or refuses to. Returns what it says,
        the shard's state, and how many entries were replaced."""
        store = self._store
        keys = [store.keys.shard(partition, name) for name in SHARD_KEYS]
        self.shard_list.see_to(partition, begin=expected == NOTHING)
        pipe = store.client.pipeline(transaction=False)
        if expected == NOTHING and not store.connection.is_cluster:
            begin_keys = store.keys.meta, store.keys.shards, keys[0]
            pipe.eval(BEGIN_SHARD, len(begin_keys), *begin_keys, store.meta.epoch, partition)
        # EVAL and not EVALSHA: the script's bytes are few beside a batch's, and a restarted server, which
        # knows no scripts, needs no second try.
        pipe.eval(script, len(keys), *keys, expected, *arguments)
        waits = store.connection.queue_wait(pipe, keys[0])
        # The meta comes last, so that nothing is acknowledged that went to a store deleted before it.
        pipe.get(store.keys.meta)
        *replies, raw_meta = pipe.execute()
        acknowledged = replies.pop() if waits else 0
        code, *fields = replies[-1]
        store.recheck(raw_meta, partition).check_writer()
        if code in (_DONE, _UNFINISHED):
            store.connection.check_acknowledged(acknowledged)
        return code, store.parse_state(partition, fields[:3]), int(fields[3]) if len(fields) > 3 else 0


def _encoded(anchor: Anchor | None) -> bytes:
    return anchor.encode() if anchor else b""
