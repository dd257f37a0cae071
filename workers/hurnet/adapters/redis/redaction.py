"""Batches out of which rows were erased.

A stream entry can't be changed, nor replaced in its place. So one that loses rows leaves the stream, and what
is left of it goes to a sorted set that readers read beside the stream:

    P:{shard-N}:redacted    sorted set, by bytes: id (8 bytes, the number before "-0"), then in msgpack
                            the fields of the stream entry, and removed (offsets)

The server gives the memory of an erased stream entry back at once only where stream-node-max-entries is 1;
else it may lie unreachable in its node, also in what the server saves, until its neighbours go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack
import redis

from hurnet.adapters.redis.holdings import forget, release, shard_key
from hurnet.adapters.redis.stream import Fields, Meta, StreamEntries, decode
from hurnet.core.stored.batch import NOTHING, Batch
from hurnet.core.stored.codec import pack, pack_offsets
from hurnet.errors import StoreReplaced, Superseded, TransientError, Unreadable

PAGE: Final = 4_096
"""Targets looked at in one step."""


class Page(NamedTuple):
    """What is due to be erased in a page of what is pending, deleted by records up to offset `covered`:
    offset -> member, ascending. `last` is the page's last member, empty if nothing follows."""

    members: Mapping[int, bytes]
    last: bytes
    covered: int


def from_id(number: int) -> tuple[bytes, bytes]:
    """The range of members whose id is at least `number`."""
    return b"[" + number.to_bytes(8, "big"), b"+"


def merged(entries: StreamEntries, members: Sequence[bytes], limit: int) -> StreamEntries:
    """The first `limit` of both, in order. Where an entry is in both it was moved between two reads."""
    if not members:
        return entries
    redacted = dict(map(_parsed, members))
    both = [*redacted.items(), *((name, fields) for name, fields in entries if name not in redacted)]
    return sorted(both, key=lambda entry: _number(entry[0]))[:limit]


class Redaction:
    """Erases rows of one shard. All its writes change the sorted set, and watch it: of two, one fails."""

    def __init__(self, client: Any, prefix: str, partition: int, meta: Meta) -> None:
        self._client = client
        self._partition = partition
        self._meta = meta
        self._prefix = prefix
        self._stream, self._redacted, self._pending = (
            shard_key(prefix, partition, name) for name in ("stream", "redacted", "pending")
        )

    @staticmethod
    def covered(client: Any, prefix: str, owner: str, stamp: str) -> dict[int, int]:
        """The watermark per shard of the solver's saved checkpoint; empty where that is not the one with this
        stamp. Raises `Superseded` where the solver's role is not `owner`'s, `StoreReplaced` where it is
        nobody's."""
        holder = client.get(_owner(prefix))
        if holder is None:
            raise StoreReplaced("the store knows no solver any more: it was restored or emptied")
        if holder != owner.encode():
            raise Superseded(f"the solver's role is no longer {owner!r}'s: it erases nothing more")
        stored, shards = client.hmget(_checkpoint(prefix), "stamp", "shards")
        if not stamp or stored != stamp.encode():
            return {}
        return {int(partition): int(state[0]) for partition, state in json.loads(shards).items()}

    def due(self, covered: int, after: bytes) -> Page:
        """What was deleted by records up to offset `covered` and is not yet erased, among the next that
        follow the member `after`."""
        found = self._client.zrangebylex(self._pending, b"(" + after if after else b"-", b"+", 0, PAGE)
        due = {
            int.from_bytes(member[:8], "big"): bytes(member)
            for member in found
            if int.from_bytes(member[8:], "big") <= covered
        }
        return Page(due, bytes(found[-1]) if len(found) == PAGE else b"", covered)

    def erase_first(self, due: Sequence[int], page: Page, owner: str, stamp: str) -> list[int]:
        """Erase what of `due` lies in one batch with the first of them; returns the rest. Raises
        `TransientError` where the checkpoint was lost or another got in between, and as `covered` does."""
        first = due[0] + 1
        with self._client.pipeline() as pipe:
            try:
                pipe.watch(self._redacted, _checkpoint(self._prefix), _owner(self._prefix))
                # Should the store have lost the checkpoint that covers them, the next solver needs the rows.
                now = self.covered(pipe, self._prefix, owner, stamp)
                if now.get(self._partition, NOTHING) < page.covered:
                    raise TransientError("the checkpoint that covers what is to be erased is gone")
                found = merged(
                    pipe.xrange(self._stream, min=f"{first}-0", count=1),
                    pipe.zrangebylex(self._redacted, *from_id(first), 0, 1),
                    1,
                )
                batch = decode(self._partition, *found[0], self._meta)[0] if found else None
                # If there is nothing at or beyond them, all are settled.
                done = [offset for offset in due if batch is None or offset <= batch.watermark]
                pipe.multi()
                pipe.zrem(self._pending, *(page.members[offset] for offset in done))
                contexts = self._rewrite(pipe, *found[0], batch, done) if batch else []
                replies = pipe.execute()
            except redis.WatchError as error:
                raise TransientError(f"another erased rows of shard {self._partition} too") from error
        rows = replies[len(replies) - 2 * len(contexts) :: 2]
        gone = [name for name, left in zip(contexts, rows, strict=True) if left <= 0]
        release(self._client, self._prefix, self._meta.epoch, gone)
        return list(due[len(done) :])

    def _rewrite(
        self, pipe: Any, identifier: bytes, fields: Fields, batch: Batch, done: Sequence[int]
    ) -> Sequence[str]:
        """Queue what puts the rest of a batch in its place, last what its contexts lose; returns them."""
        rest = batch.without(frozenset(done))
        if rest.removed == batch.removed:
            return ()
        entries, vectors = pack(rest)
        changed = {b"entries": entries, b"vectors": vectors, b"removed": pack_offsets(rest.removed)}
        number = _number(identifier)
        own = number.to_bytes(8, "big")
        pipe.xdel(self._stream, identifier)
        pipe.zremrangebylex(self._redacted, b"[" + own, b"(" + (number + 1).to_bytes(8, "big"))
        pipe.zadd(self._redacted, {own + msgpack.packb({**fields, **changed}): 0})
        return forget(pipe, self._prefix, batch, rest)


def _checkpoint(prefix: str) -> str:
    return f"{prefix}:{{solver}}:checkpoint"


def _owner(prefix: str) -> str:
    return f"{prefix}:{{solver}}:owner"


def _number(identifier: bytes) -> int:
    return int(identifier.partition(b"-")[0])


def _parsed(member: bytes) -> tuple[bytes, Fields]:
    name = b"%d-0" % int.from_bytes(member[:8], "big")
    try:
        fields: Fields = msgpack.unpackb(member[8:])
        if not isinstance(fields, dict) or not all(isinstance(name, bytes) for name in fields):
            raise ValueError("no map of fields")
    except (msgpack.UnpackException, ValueError) as error:
        raise Unreadable(f"what is left of entry {name.decode()} is corrupt ({error})") from error
    return name, fields
