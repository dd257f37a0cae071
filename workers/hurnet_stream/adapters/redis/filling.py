"""An empty prefix filled from a backup, part by part.

    1. `restoring` is set: a restore that is killed leaves a prefix that no worker opens, and the next one
       begins anew
    2. shards, items and keys are written as they come
    3. what was deleted since the backup is erased, and it is counted what each shard holds
    4. the meta is written, under a new epoch: from here on the store is there

Nobody can read the store before it is whole, and nothing that was deleted is ever in one that can.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict
from functools import cached_property
from typing import Any, Final

from hurnet_stream.adapters.redis import contexts, stored_json
from hurnet_stream.adapters.redis.audit import decode_audit
from hurnet_stream.adapters.redis.backup_contents import Contents, ShardContents
from hurnet_stream.adapters.redis.connection import Connection
from hurnet_stream.adapters.redis.keys import STAYS, key_range
from hurnet_stream.adapters.redis.meta import Meta
from hurnet_stream.adapters.redis.redaction import encode_member, ids_from, merged, only_id, whole_member
from hurnet_stream.adapters.redis.stream import Fields, decode_item, number_of
from hurnet_stream.core.stored.backup import Part
from hurnet_stream.core.stored.batch import Batch, Deletion
from hurnet_stream.errors import StoreError

QUEUE_BYTES: Final = 16 << 20
PART_BYTES: Final = 10_000
"""What a part that is no item counts, as many of them are small."""
READ_ITEMS: Final = 32
PAGE: Final = 1_000


class StoreFiller:
    """Fills the prefix of `connection`."""

    def __init__(self, connection: Connection) -> None:
        self.contents = Contents()
        self._connection = connection
        self._client = connection.client
        self._keys = connection.keys
        self._epoch = secrets.token_hex(8)
        self._pipe: Any = self._client.pipeline(transaction=False)
        self._queued_bytes = 0

    def begin(self) -> None:
        """Make sure that nothing is there. Raises `StoreError` if something is."""
        with self._connection.used():
            marker = self._client.exists(self._keys.restoring)
            names = self._names()
            if names and not marker:
                raise StoreError(
                    f"the prefix {self._keys.prefix!r} at {self._connection.server_name} is not empty: set"
                    " HURNET_REDIS_PREFIX to a new name, or put that store aside"
                )
            self._client.set(self._keys.restoring, self._epoch)
            for first in range(0, len(names), PAGE):
                self._client.unlink(*names[first : first + PAGE])
            self._client.set(self._keys.restoring, self._epoch)

    def take(self, part: Part) -> None:
        """Check and write the next part. Raises `Unreadable` if it is damaged."""
        batch = self.contents.take(part)
        with self._connection.used():
            self._write(part, batch)

    def delete(self, deletions: Iterable[tuple[int, Deletion]]) -> None:
        """What these delete, beyond the shard's watermark of the backup, is not to come back."""
        with self._connection.used():
            self._flush()
            for partition, deletion in deletions:
                shard = self.contents.shards.get(partition)
                if shard and deletion.offset > shard.watermark:
                    gone = self.contents.gone.setdefault(partition, set())
                    gone.update(deletion.targets, self._found_by(partition, deletion))

    def finish(self, advance: Callable[[int], None]) -> int:
        """Erase what is gone, and make the store one that can be opened. Returns how many entries it has.

        Raises `Unreadable` if parts are missing.
        """
        self.contents.check_complete()
        with self._connection.used():
            self._flush()
            held: set[str] = set()
            entries = 0
            for partition, shard in self.contents.shards.items():
                for batch in self._settled(partition, shard):
                    held.update(name for name, _, _ in batch.columns.by_context() if batch.entries)
                    entries += len(batch.entries)
                    advance(batch.rows)
            self._flush()
            self._open(held)
        return entries

    def _write(self, part: Part, batch: Batch | None) -> None:
        if batch is not None:
            self._put(batch, *part.content)
        else:
            writes: Mapping[str, Callable[..., object]] = {
                "S": self._begin_shard,
                "D": self._put_part,
                "K": self._put_keys,
                "V": self._put_version,
                "M": self._put_mix,
                "A": self._put_audits,
            }
            if write := writes.get(part.kind):
                write(*part.content)
        self._queued_bytes += sum(map(len, part.content[2].values())) if part.kind == "I" else PART_BYTES
        if self._queued_bytes >= QUEUE_BYTES:
            self._flush()

    def _put_part(self, partition: int, record: int, number: int, packed: bytes) -> None:
        fields = {str(record): number, f"{record}/{number}": packed}
        self._pipe.hset(self._keys.shard(partition, "parts"), mapping=fields)

    def _put_keys(self, partition: int, members: Sequence[bytes]) -> None:
        self._pipe.zadd(self._keys.shard(partition, "keys"), dict.fromkeys(members, 0))

    def _put_version(self, context: str, version: int) -> None:
        self._pipe.hset(self._keys.solver("versions"), context, version)

    def _put_mix(self, context: str, version: int, mix: bytes | None) -> None:
        self._pipe.hset(self._keys.solver("mix-versions"), context, version)
        if mix is not None:
            self._pipe.hset(self._keys.solver("mixes"), context, mix)

    def _put_audits(self, *audits: bytes) -> None:
        for raw in audits:
            audit = decode_audit(raw)
            field = f"{audit.partition}/{audit.deletion.offset}"
            self._pipe.hset(self._keys.solver("audit"), field, raw)

    def _begin_shard(self, partition: int, *_: object) -> None:
        shard = self.contents.shards[partition]
        state = {
            "epoch": self._epoch,
            "watermark": shard.watermark,
            "rows": shard.rows,
            "floor": shard.floor,
            "compacted": shard.compacted,
        }
        # A shard without a meta: no worker begins another store here meanwhile.
        self._pipe.sadd(self._keys.shards, partition)
        self._pipe.hset(self._keys.shard(partition, "state"), mapping=state)
        more = {"anchor": shard.anchor, "modes": shard.modes}
        if said := {name: value for name, value in more.items() if value}:
            self._pipe.hset(self._keys.shard(partition, "state"), mapping=said)

    def _put(self, batch: Batch, partition: int, number: int, fields: Fields) -> None:
        """An item as it was, under the new epoch, without what was known to be deleted."""
        stream, redacted = (self._keys.shard(partition, name) for name in ("stream", "redacted"))
        fields = {**fields, b"epoch": self._epoch.encode()}
        identifier = b"%d-0" % number
        rest = batch.without(self.contents.gone.get(partition, frozenset()))
        if b"since" in fields:  # it takes the place of items that came before it
            self._flush()
            since = int(fields[b"since"])
            self._client.zremrangebylex(redacted, ids_from(since)[0], only_id(number - 1)[1])
            if old := [name for name, _ in self._client.xrange(stream, f"{since}-0", f"{number - 1}-0")]:
                self._client.xdel(stream, *old)
        if rest.removed or b"since" in fields:
            changed = rest.removed != batch.removed
            member = encode_member(identifier, fields, rest) if changed else whole_member(identifier, fields)
            self._pipe.zadd(redacted, {member: 0})
        else:
            self._pipe.xadd(stream, fields, identifier)

    def _found_by(self, partition: int, deletion: Deletion) -> Iterator[int]:
        """What a deletion by key or of a context names in this shard."""
        if deletion.key is not None:
            after, upto = key_range(deletion.key, deletion.context)
            key = self._keys.shard(partition, "keys")
            while members := self._client.zrangebylex(key, after, upto, 0, PAGE):
                yield from (int.from_bytes(member[-8:], "big") for member in members)
                after = b"(" + members[-1]
        elif deletion.context is not None:
            for _, _, batch in self._items(partition):
                for name, entries, _ in batch.columns.by_context() if batch.entries else ():
                    if name == deletion.context:
                        yield from entries.offsets.tolist()

    def _items(self, partition: int) -> Iterator[tuple[bytes, Fields, Batch]]:
        stream, redacted = (self._keys.shard(partition, name) for name in ("stream", "redacted"))
        first = 0
        while True:
            pipe = self._client.pipeline(transaction=False)
            pipe.xrange(stream, f"{first}-0", "+", READ_ITEMS)
            pipe.zrangebylex(redacted, *ids_from(first), 0, READ_ITEMS)
            streamed, members = pipe.execute()
            items = merged(streamed, members, READ_ITEMS)
            if not items:
                return
            for identifier, fields in items:
                yield identifier, fields, decode_item(partition, identifier, fields, self._meta)[0]
            first = number_of(items[-1][0]) + 1

    def _settled(self, partition: int, shard: ShardContents) -> Iterator[Batch]:
        """Erase what is gone of each batch, and count what is left."""
        gone: Set[int] = self.contents.gone.get(partition, frozenset())
        sizes = dict.fromkeys(shard.firsts, (0, 0))
        for identifier, fields, batch in self._items(partition):
            rest = batch.without(gone)
            if rest.removed != batch.removed:
                self._pipe.xdel(self._keys.shard(partition, "stream"), identifier)
                redacted = self._keys.shard(partition, "redacted")
                self._pipe.zremrangebylex(redacted, *only_id(number_of(identifier)))
                self._pipe.zadd(redacted, {encode_member(identifier, fields, rest): 0})
            for name, rows, size in contexts.held_by(rest):
                total = sizes.get(name, (0, 0))
                sizes[name] = total[0] + rows, total[1] + size
            contexts.note_held(self._pipe, self._keys, rest)
            self._flush()
            yield rest
        for name, (rows, size) in sizes.items():
            figures = {f"{name}/rows": rows, f"{name}/bytes": size}
            if name in shard.firsts:
                figures[f"{name}/first"] = shard.firsts[name]
            self._pipe.hset(self._keys.shard(partition, "sizes"), mapping=figures)

    def _open(self, held: Set[str]) -> None:
        for partition, shard in self.contents.shards.items():
            for name in shard.firsts.keys() - held:  # its last row is gone
                fields = (f"{name}/{figure}" for figure in ("rows", "bytes", "first"))
                self._pipe.hdel(self._keys.shard(partition, "sizes"), *fields)
        self._flush()
        with self._client.pipeline() as pipe:
            pipe.watch(self._keys.restoring)
            pipe.multi()
            self._queue_store(pipe, held)
            pipe.execute()

    def _queue_store(self, pipe: Any, held: Set[str]) -> None:
        """The commands after which the store is there."""
        if held:
            pipe.sadd(self._keys.contexts, *sorted(held))
        if self.contents.log:
            pipe.set(self._keys.log, json.dumps(asdict(self.contents.log)))
        if self.contents.topics:
            topics = {name: topic._asdict() for name, topic in self.contents.topics.items()}
            pipe.set(self._keys.topics, json.dumps(topics))
        pipe.set(self._keys.meta, self._meta.raw)
        pipe.delete(self._keys.restoring)

    @cached_property
    def _meta(self) -> Meta:
        """The backup's meta under the new epoch."""
        raw = self.contents.meta.raw if self.contents.meta else b"{}"
        fields = {**stored_json.loads(raw), "epoch": self._epoch}
        return Meta.parse(json.dumps(fields).encode(), self._keys.meta)

    def _names(self) -> list[bytes]:
        found = self._client.scan_iter(f"{self._keys.prefix}:*", count=PAGE)
        return [name for name in found if not STAYS.match(name)]

    def _flush(self) -> None:
        self._pipe.execute()
        self._queued_bytes = 0
