"""A copy of a whole store, read while ingest and solver go on.

The copy is the store as it was at the watermarks W that are read first, without a row that was deleted by the
time the reading ends:

    read     meta, watermarks W                   the copy ends here, whatever is appended meanwhile
             what is deleted and not erased yet   it may be among the items, and is not to come back
             items and keys up to W               some rows are erased meanwhile: the copy lacks them, too
             deletions beyond W                   their targets may be in the copy, and are not to come back

The checkpoint, the weights and the groups' offsets are not copied: the solver learns them again from the
entries. Only versions are, since they must never go back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np

from hurnet_stream.adapters.redis.connection import Connection
from hurnet_stream.adapters.redis.contexts import parse_sizes
from hurnet_stream.adapters.redis.erasing import PAGE
from hurnet_stream.adapters.redis.meta import Meta
from hurnet_stream.adapters.redis.opened import OpenedStore, encode_modes
from hurnet_stream.adapters.redis.redaction import (
    compacted_member,
    decode_member,
    first_number,
    ids_from,
    merged,
)
from hurnet_stream.adapters.redis.shard_reader import ShardReader
from hurnet_stream.adapters.redis.stream import Item, StreamItems, number_of
from hurnet_stream.core.formats import BACKUP, REPLACED_FROM
from hurnet_stream.core.shares import REPLY_BATCHES
from hurnet_stream.core.stored.backup import Part
from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion, ShardState
from hurnet_stream.core.stored.codec import encode_offsets, sorted_offsets
from hurnet_stream.errors import StoreError, TransientError

READ_ITEMS: Final = REPLY_BATCHES
HASH_FIELDS: Final = 1_000
AUDITS: Final = 100
"""Audits in a part, of a few kB each."""


class StoreCopy:
    """Reads one store. `advance` is told how many rows were read."""

    def __init__(self, connection: Connection, advance: Callable[[int], None]) -> None:
        self._store = OpenedStore(connection)
        self._client = connection.client
        self._keys = connection.keys
        self._connection = connection
        self._advance = advance
        self._reader = ShardReader(self._store)
        self._states: Mapping[int, ShardState] = {}  # as they were when reading began

    def states(self) -> Mapping[int, ShardState]:
        with self._connection.used():
            self._store.must_exist()
            return self._reader.states()

    def parts(self) -> Iterator[Part]:
        """Everything, in the order in which it is restored.

        Raises `StoreError` if there is no store, `TransientError` if another server took its place meanwhile
        or it was compacted beyond what is copied.
        """
        with self._connection.used():
            server = self._connection.primary.run_id
            states = self._states = self.states()
            yield Part("H", self._header(self._store.meta))
            for partition, state in states.items():
                yield self._shard(partition, state)
            for partition in states:
                yield from self._gone(partition, self._pending(partition))
            for partition, state in states.items():
                yield from self._items(partition, state.watermark)
                yield from self._record_keys(partition, state.watermark)
            for partition, state in states.items():
                yield from self._deleted_since(partition, state.watermark)
            yield from self._by_context()
            yield from self._audits()
            self._check_nothing_was_lost(states, server)

    def _header(self, meta: Meta) -> str:
        log = self._client.get(self._keys.log)
        contexts = sorted(bytes(name).decode() for name in self._client.smembers(self._keys.contexts))
        return json.dumps(
            {
                "format": BACKUP,
                "made_ms": int(time.time() * 1000),
                "prefix": self._keys.prefix,
                "meta": meta.raw.decode(),
                "log": None if log is None else log.decode(),
                "topics": (self._client.get(self._keys.topics) or b"{}").decode(),
                "contexts": contexts,
            }
        )

    def _shard(self, partition: int, state: ShardState) -> Part:
        compacted = self._client.hget(self._keys.shard(partition, "state"), "compacted")
        sizes_key = self._keys.shard(partition, "sizes")
        sizes = parse_sizes(self._client.hgetall(sizes_key), sizes_key)
        anchor = state.anchor.encode() if state.anchor else b""
        firsts = {name: held.first for name, held in sizes.items() if held.first is not None}
        figures = [partition, state.watermark, state.rows, anchor, state.floor]
        # Programs before format 3 expect no more than the first seven, and need no more of an older store.
        modes = [encode_modes(state.modes)] if self._store.meta.min_reader >= REPLACED_FROM else []
        return Part("S", [*figures, NOTHING if compacted is None else int(compacted), firsts, *modes])

    def _pending(self, partition: int) -> Iterator[Sequence[int]]:
        """What is deleted and not erased."""
        after = b"-"
        while members := self._client.zrangebylex(
            self._keys.shard(partition, "pending"), after, b"+", 0, PAGE
        ):
            yield [int.from_bytes(member[:8], "big") for member in members]
            after = b"(" + members[-1]

    def _gone(self, partition: int, pages: Iterator[Sequence[int]]) -> Iterator[Part]:
        for offsets in pages:
            if offsets:
                yield Part("G", [partition, encode_offsets(offsets)])

    def _items(self, partition: int, watermark: int) -> Iterator[Part]:
        for identifier, fields in self._between(partition, 0, watermark + 1):
            yield Part("I", [partition, number_of(identifier), dict(fields)])
            batch = self._store.decode(partition, (identifier, fields))[0]
            if batch.deletion:
                for number, offsets in self._parts_of(partition, batch.deletion):
                    yield Part("D", [partition, batch.deletion.offset, number, encode_offsets(offsets)])
            self._advance(batch.rows)

    def _between(self, partition: int, first: int, last: int) -> Iterator[tuple[bytes, Any]]:
        """The items numbered `first` to `last`."""
        while items := self._store.twice(partial(self._read, partition, first, last)):
            yield from items
            first = number_of(items[-1][0]) + 1

    def _read(self, partition: int, first: int, last: int) -> StreamItems:
        if first > last:
            return ()
        stream, redacted = (self._keys.shard(partition, name) for name in ("stream", "redacted"))
        pipe = self._client.pipeline(transaction=False)
        pipe.get(self._keys.meta)
        pipe.xrange(stream, f"{first}-0", f"{last}-0", READ_ITEMS)
        # A piece of a segment may begin before `last` and end behind it, if it was sealed meanwhile.
        pipe.zrangebylex(redacted, *ids_from(first), 0, READ_ITEMS)
        raw_meta, streamed, members = pipe.execute()
        self._store.recheck(raw_meta)
        items = merged(streamed, members, READ_ITEMS, first)
        unsealed = (self._unsealed(partition, item, last) for item in items if first_number(item) <= last)
        return [item for item in unsealed if number_of(item[0]) <= last]

    def _unsealed(self, partition: int, item: Item, last: int) -> Item:
        """A piece of a segment as the item that compaction would have made of its rows, those up to the
        number `last`: what a copy holds needs no other files."""
        if b"piece" not in item[1]:
            return item
        (batch, row), (identifier, fields) = self._store.decode(partition, item), item
        if batch.watermark >= last:
            rows = self._states[partition].rows - row
            batch, identifier = _upto(batch, last - 1, rows), b"%d-0" % last
        return decode_member(compacted_member(identifier, fields, int(fields[b"since"]), batch))

    def _parts_of(self, partition: int, deletion: Deletion) -> Iterator[tuple[int, Sequence[int]]]:
        for number in range(1, deletion.parts + 1):
            packed = self._client.hget(self._keys.shard(partition, "parts"), f"{deletion.offset}/{number}")
            if packed is not None:  # it may have been compacted away meanwhile
                yield number, sorted_offsets(packed)

    def _record_keys(self, partition: int, watermark: int) -> Iterator[Part]:
        after, key = b"-", self._keys.shard(partition, "keys")
        while members := self._client.zrangebylex(key, after, b"+", 0, PAGE):
            # What came after the watermark is not in the copy.
            if held := [m for m in members if int.from_bytes(m[-8:], "big") <= watermark]:
                yield Part("K", [partition, held])
            after = b"(" + members[-1]

    def _deleted_since(self, partition: int, watermark: int) -> Iterator[Part]:
        """What was deleted beyond the copy's watermark, up to now."""
        now = self._reader.state(partition).watermark
        for identifier, fields in self._between(partition, watermark + 2, now + 1):
            if b"deletion" in fields:
                deletion = self._store.decode(partition, (identifier, fields))[0].deletion
                parts = self._parts_of(partition, deletion) if deletion else ()
                pages = [deletion.targets if deletion else (), *(part for _, part in parts)]
                yield from self._gone(partition, iter(pages))
        # A deletion of which only some parts are done has taken its keys away already.
        yield from self._gone(partition, self._pending(partition))

    def _by_context(self) -> Iterator[Part]:
        for context, version in self._client.hgetall(self._keys.solver("versions")).items():
            yield Part("V", [context.decode(), int(version)])
        for context, version in self._client.hgetall(self._keys.solver("mix-versions")).items():
            mix = self._client.hget(self._keys.solver("mixes"), context)
            yield Part("M", [context.decode(), int(version), mix])

    def _audits(self) -> Iterator[Part]:
        cursor = None
        while cursor != 0:
            cursor, page = self._client.hscan(self._keys.solver("audit"), cursor or 0, count=HASH_FIELDS)
            audits = list(page.values())
            for first in range(0, len(audits), AUDITS):
                yield Part("A", audits[first : first + AUDITS])

    def _check_nothing_was_lost(self, states: Mapping[int, ShardState], server: str) -> None:
        now = self.states()
        if self._connection.primary.run_id != server:
            raise TransientError("another server, or a restarted one, holds the store: begin the backup anew")
        for partition, state in states.items():
            if partition not in now or now[partition].watermark < state.watermark:
                raise StoreError(f"shard {partition} lost entries while it was copied: begin the backup anew")
            if now[partition].floor > state.watermark:
                raise TransientError(
                    f"shard {partition} was compacted beyond what is copied: begin the backup anew"
                )


def _upto(batch: Batch, watermark: int, rows: int) -> Batch:
    """The first `rows` rows of a batch, which are those up to a watermark."""
    kept = int(np.searchsorted(batch.columns.offsets, watermark, "right"))
    removed = tuple(offset for offset in batch.removed if offset <= watermark)
    entries, vectors = batch.entries[:kept], batch.vectors[:kept]
    gone = rows - kept - len(removed)
    return replace(
        batch, watermark=watermark, entries=entries, vectors=vectors, removed=removed, gone=gone, end=None
    )
