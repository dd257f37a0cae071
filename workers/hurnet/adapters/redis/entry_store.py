"""The context as streams: an entry per batch, a stream and a state per shard.

    P:meta                  JSON: the embedder, the epoch drawn when the context was begun, and which formats
                            one must speak to read it and to write to it (core/formats.py)
    P:log                   JSON: the Kafka cluster and the UUID of the topic that it is filled from
    P:shards                set of partitions
    P:{shard-N}:state       hash: watermark, rows, epoch, anchor (of the last record)
    P:{shard-N}:stream      entries "<watermark + 1>-0": row (number of the first), epoch, entries, vectors;
                            or, for a deletion: row, epoch, deletion, targets, parts
    P:{shard-N}:keys, pending, parts, redacted, sizes, holds; P:contexts
                            see deletions.py, redaction.py and holdings.py
    P:working:ROLE          hash: N, the owner that has partition N of the role's topic in hand, and N/record,
                            "DIGEST COUNT OWNER", the record handled last while that was done one by one

Entries are found by offset, not by row, so a reader's position means the same after a shard that lost its
tail has been filled again in other batches. The epoch ties a shard to its context: where they differ, what is
left of a deleted context meets one begun anew.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict
from typing import Any, Final

from hurnet.adapters.redis.connection import Connection, guarded
from hurnet.adapters.redis.deletions import asked, keyed
from hurnet.adapters.redis.holdings import noted, parsed, release, shard_key
from hurnet.adapters.redis.redaction import Redaction, from_id, merged
from hurnet.adapters.redis.scripts import ADMIT, APPEND, ATTEMPT, BEGIN, BIND, DELETE, ENTER, LEAVE, REMEMBER
from hurnet.adapters.redis.stream import Meta, StreamEntries, decode, named, read, same_vectors
from hurnet.core.offsets import is_number
from hurnet.core.shares import Shares
from hurnet.core.stored.batch import (
    NOTHING,
    Anchor,
    Batch,
    Deletion,
    EmbedderIdentity,
    Entry,
    LogIdentity,
    ShardState,
)
from hurnet.core.stored.codec import check, check_deletion, pack, sorted_offsets
from hurnet.errors import EmbedderMismatch, StoreError, StoreReplaced, Unreadable
from hurnet.ports import Appended, Committed, Holding, Refused, Tail, Unfinished

_FIELDS: Final = ("watermark", "rows", "epoch", "anchor")
_KEYS: Final = ("state", "stream", "keys", "pending", "parts", "sizes", "holds")
"""Of a shard, as the scripts have them."""
_DONE, _UNFINISHED = 1, 2
"""What the scripts say, or 0 if they refuse."""


class RedisEntryStore:
    """`EntryStore` (see the ports) in Redis. May be shared by threads."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.place = connection.place
        self._timeout = connection.timeout
        self._client = connection.client
        self._prefix = connection.prefix
        self._bound = connection.bound
        self._meta: Meta | None = None
        self._shards: frozenset[int] = frozenset()
        self._erased: dict[int, bytes] = {}  # the pending member of each shard up to which has been looked
        self._shares = Shares()
        self._ends: Mapping[int, int] = {}

    @guarded
    def open(self, identity: EmbedderIdentity, writing: bool = False) -> None:
        stored = self._stored_meta(identity)
        if not same_vectors(stored.identity, identity):
            raise EmbedderMismatch(
                f"the context {self._prefix!r} was made by {named(stored.identity)}, and this is"
                f" {named(identity)}: use that embedder, or another HURNET_REDIS_PREFIX for another context"
            )
        if writing:
            stored.check_writer()
        self._use(stored)

    @guarded
    def incarnation(self) -> str:
        return self.connection.primary.run_id

    @guarded
    def identity(self) -> EmbedderIdentity | None:
        raw = self._client.get(self._key("meta"))
        if self._meta is None and isinstance(raw, bytes):
            self._use(Meta.parse(raw, self._key("meta")))
        self._check(raw)
        return self._meta.identity if self._meta else None

    @guarded
    def log(self) -> LogIdentity | None:
        return self._met(self._client.get(self._key("log")))

    @guarded
    def bind(self, log: LogIdentity) -> LogIdentity:
        keys = self._key("meta"), self._key("log")
        epoch = self._opened().epoch
        bound = self._met(self._client.eval(BIND, len(keys), *keys, epoch, json.dumps(asdict(log))))
        if bound is None:
            raise self._replaced()
        return bound

    @guarded
    def states(self) -> Mapping[int, ShardState]:
        partitions = self._partitions(self._client.smembers(self._key("shards")))
        pipe = self._client.pipeline(transaction=False)
        for partition in partitions:
            pipe.hmget(self._key("state", partition), _FIELDS)
        pipe.get(self._key("meta"))
        *fields, raw = pipe.execute()
        self._check(raw)
        states = {p: self._state(p, found) for p, found in zip(partitions, fields, strict=True)}
        return {p: state for p, state in states.items() if state.epoch}

    @guarded
    def state(self, partition: int) -> ShardState:
        pipe = self._client.pipeline(transaction=False)
        fields, raw = pipe.hmget(self._key("state", partition), _FIELDS).get(self._key("meta")).execute()
        self._check(raw)
        return self._state(partition, fields)

    @guarded
    def append(self, batch: Batch, expected: int) -> Appended | Refused:
        """May be repeated when its fate is unknown: if it was in, the state of `Refused` says so."""
        meta = self._opened()
        check(batch, meta.identity.dimension, expected)
        at = batch.watermark, f"{batch.watermark + 1}-0"
        claim = expected, *at, len(batch.entries), meta.epoch, _packed(batch.anchor)
        added = *pack(batch), *noted(batch), *keyed(batch)
        code, state = self._advance(batch.partition, APPEND, *claim, *added)
        return Appended(state) if code == _DONE else Refused(state)

    @guarded
    def delete(self, partition: int, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        """May be repeated as an append may."""
        meta = self._opened()
        check_deletion(partition, deletion, expected)
        at = deletion.offset, f"{deletion.offset + 1}-0"
        claim = expected, *at, meta.epoch, _packed(deletion.anchor)

        def reaching(offset: int) -> Batch | None:
            return self._reaching(partition, offset)

        wanted = asked(self._client, self._prefix, partition, deletion, reaching)
        code, state = self._advance(partition, DELETE, *claim, *wanted)
        if code == _DONE and deletion.drops:
            release(self._client, self._prefix, meta.epoch, [deletion.context or ""])  # it may have no rows
        if code == _UNFINISHED:
            return Unfinished(state)
        return Appended(state) if code == _DONE else Refused(state)

    def _advance(self, partition: int, script: str, *arguments: Any) -> tuple[int, ShardState]:
        """Run a script that moves the shard's watermark, or refuses to."""
        keys = [self._key(name, partition) for name in _KEYS]
        pipe = self._client.pipeline(transaction=False)
        # Not EVALSHA: its bytes don't show beside a batch's, and a restarted server need not know it.
        if arguments[0] == NOTHING:
            begun = self._key("meta"), self._key("shards"), keys[0]
            pipe.eval(BEGIN, len(begun), *begun, self._opened().epoch, partition)
        pipe.eval(script, len(keys), *keys, *arguments)
        pipe.get(self._key("meta"))  # last, so that nothing is acknowledged that went to a deleted context
        *_, (code, *fields), raw = pipe.execute()
        self._recheck(raw, partition).check_writer()
        return code, self._state(partition, fields)

    @guarded
    def admit(self, contexts: frozenset[str], limit: int) -> frozenset[str]:
        keys = self._key("contexts"), self._key("meta")
        asked = limit, self._opened().epoch, *sorted(contexts)
        reply: list[bytes] | None = self._client.eval(ADMIT, len(keys), *keys, *asked)
        if reply is None:
            raise self._replaced()
        return frozenset(name.decode() for name in reply)

    @guarded
    def contexts(self) -> frozenset[str]:
        admitted = frozenset(bytes(name).decode() for name in self._client.smembers(self._key("contexts")))
        used = (name for held in self.holdings().values() for name, h in held.items() if h.rows)
        return admitted.union(used)

    @guarded
    def holdings(self) -> Mapping[int, Mapping[str, Holding]]:
        partitions = list(self.states())
        pipe = self._client.pipeline(transaction=False)
        for partition in partitions:
            pipe.hgetall(self._key("sizes", partition))
        found = zip(partitions, pipe.execute(), strict=True)
        return {p: parsed(sizes, self._key("sizes", p)) for p, sizes in found}

    @guarded
    def pending_erasures(self) -> Mapping[int, int]:
        partitions = list(self.states())
        pipe = self._client.pipeline(transaction=False)
        for partition in partitions:
            pipe.zcard(self._key("pending", partition))
        return dict(zip(partitions, pipe.execute(), strict=True))

    @guarded
    def remember_progress(self, group: str, committed: Mapping[int, Committed]) -> None:
        """A hash per group: partition -> offset and note, with a space between."""
        stored = [part for p, at in committed.items() for part in (p, f"{at.offset} {at.note}")]
        keys = self._key("meta"), self._key(f"progress:{group}")
        if stored and not self._client.eval(REMEMBER, len(keys), *keys, self._opened().epoch, *stored):
            raise self._replaced()

    @guarded
    def progress(self, group: str) -> Mapping[int, Committed]:
        key = self._key(f"progress:{group}")
        found: dict[int, Committed] = {}
        for partition, value in self._client.hgetall(key).items():
            offset, _, note = bytes(value).decode(errors="replace").partition(" ")
            if not (is_number(offset) and is_number(bytes(partition).decode(errors="replace"))):
                raise StoreError(
                    f"{key} is corrupt: without that key, which holds offsets and nothing else, its topic is"
                    " read from where the group has committed, or from the beginning"
                )
            found[int(partition)] = Committed(int(offset), note)
        return found

    @guarded
    def enter(self, role: str, owner: str, partitions: frozenset[int]) -> Mapping[int, str]:
        left = [bytes(part).decode() for part in self._working(ENTER, role, owner, *partitions)]
        return dict(zip(map(int, left[::2]), left[1::2], strict=True))

    @guarded
    def leave(self, role: str, owner: str, partitions: frozenset[int]) -> None:
        self._working(LEAVE, role, owner, *partitions)

    @guarded
    def attempt(self, role: str, owner: str, partition: int, record: str) -> int:
        return int(self._working(ATTEMPT, role, owner, partition, record))

    def _working(self, script: str, role: str, *arguments: Any) -> Any:
        keys = self._key("meta"), self._key(f"working:{role}")
        reply = self._client.eval(script, len(keys), *keys, self._opened().epoch, *arguments)
        if reply is None:
            raise self._replaced()
        return reply

    @guarded
    def tail(self, positions: Mapping[int, int], max_batches: int, block_s: float = 0.0) -> Tail:
        """One round trip, in which new shards are found too, to be read the next time; a second one if other
        shards have something than those whose turn it was. An empty batch at a shard's end only carries its
        watermark forward."""
        if max_batches < 1:
            raise ValueError(f"max_batches must be at least 1, not {max_batches}")
        self._opened()
        block_s = min(block_s, self._timeout / 2)
        shards = sorted(self._shards or self.states())
        if not shards:  # no stream to wait at
            time.sleep(block_s)
            return Tail((), {})
        after = {p: positions.get(p, NOTHING) for p in shards}
        behind = _behind(after, self._ends)
        states, batches = self._read(after, behind, max_batches, 0.0 if behind else block_s)
        if not batches and (late := _behind(after, self._ends)):
            states, batches = self._read(after, late, max_batches, 0.0)
        return Tail(batches, {p: state for p, state in states.items() if state.epoch})

    @guarded
    def entry(self, partition: int, offset: int) -> Entry | None:
        """The entry at these coordinates, None where there is none or it was deleted."""
        start = offset.to_bytes(8, "big", signed=True)
        pending = self._key("pending", partition)
        if self._client.zrangebylex(pending, b"[" + start, b"[" + start + b"\xff" * 8, 0, 1):
            return None
        batch = self._reaching(partition, offset)
        return next((entry for entry in batch.entries if entry.offset == offset), None) if batch else None

    @guarded
    def was_deleted(self, partition: int, offset: int) -> bool:
        """Whether there was an entry at these coordinates, and is none any more."""
        batch = self._reaching(partition, offset)
        return batch is not None and offset in batch.removed

    @guarded
    def deletion_part(self, partition: int, offset: int, number: int) -> Sequence[int]:
        """Raises `StoreError` if it is missing or damaged."""
        packed = self._client.hget(self._key("parts", partition), f"{offset}/{number}")
        try:
            if packed is None:
                raise ValueError("it is missing")
            return sorted_offsets(packed)
        except ValueError as error:
            raise StoreError(
                f"part {number} of the deletion at {partition}/{offset} can't be read ({error}): restore the"
                " store from a backup"
            ) from error

    def stored_at(self, partition: int, offsets: Sequence[int]) -> Iterator[Batch]:
        """A round trip for each batch that they lie in."""
        done = 0
        while done < len(offsets) and (batch := self._reaching(partition, offsets[done])):
            end = bisect_right(offsets, batch.watermark, done)
            if (found := batch.only(frozenset(offsets[done:end]))).entries:
                yield found
            done = end

    @guarded
    def erase(self, most: int, owner: str, stamp: str) -> int:
        covered = Redaction.covered(self._client, self._prefix, owner, stamp)
        meta = self._recheck(self._client.get(self._key("meta")))
        meta.check_writer()
        left = 0
        for partition, watermark in covered.items():
            redaction = Redaction(self._client, self._prefix, partition, meta)
            page = redaction.due(watermark, self._erased.get(partition, b""))
            due = list(page.members)
            while due and most:
                due = redaction.erase_first(due, page, owner, stamp)
                most -= 1
            if not due:
                self._erased[partition] = page.last
            left += len(due) + bool(page.last)
        return left

    @guarded
    def _reaching(self, partition: int, offset: int) -> Batch | None:
        """The first batch whose watermark is at or beyond `offset`."""
        pipe = self._client.pipeline(transaction=False)
        pipe.xrange(self._key("stream", partition), min=f"{offset + 1}-0", count=1)
        pipe.zrangebylex(self._key("redacted", partition), *from_id(offset + 1), 0, 1)
        entries, members = pipe.execute()
        for identifier, fields in merged(entries, members, 1):
            return decode(partition, identifier, fields, self._opened())[0]
        return None

    def close(self) -> None:
        self.connection.close()

    def _read(
        self, after: Mapping[int, int], behind: Set[int], most: int, block_s: float
    ) -> tuple[dict[int, ShardState], list[Batch]]:
        """The states of all shards, and the batches of those whose turn it is."""
        shares = self._shares.of(after, behind, most)
        count = next(iter(shares.values()))
        mine = {partition: after[partition] for partition in shares}
        states, found = self._pull(after, mine, count, round(block_s * 1000) or None)
        self._ends = {partition: state.watermark for partition, state in states.items()}
        batches: list[Batch] = []
        for partition, position in mine.items():
            entries = found[partition]
            batches += read(partition, position, entries, states[partition], self._opened(), count)
        return states, batches

    def _pull(
        self, shards: Iterable[int], after: Mapping[int, int], count: int, block_ms: int | None
    ) -> tuple[dict[int, ShardState], dict[int, StreamEntries]]:
        """The states of `shards`, and what some of them held beyond the positions `after` afterwards."""
        shards = list(shards)
        pipe = self._client.pipeline(transaction=False)
        pipe.get(self._key("meta")).smembers(self._key("shards"))
        for partition in shards:
            pipe.hmget(self._key("state", partition), _FIELDS)
        streams = {self._key("stream", p): f"{position + 1}-0" for p, position in after.items()}
        pipe.xread(streams, count=count, block=block_ms)
        for partition, position in after.items():  # last, so that a batch moved here meanwhile is not missed
            pipe.zrangebylex(self._key("redacted", partition), *from_id(position + 2), 0, count)
        raw, *replies = pipe.execute()
        self._recheck(raw)  # a store that was emptied, or another one, would have nothing new for ever
        members, states, found = replies[0], replies[1 : len(shards) + 1], dict(replies[len(shards) + 1])
        self._shards = frozenset(self._partitions(members)).union(shards)
        entries = {
            p: merged(found.get(self._key("stream", p).encode(), ()), redacted, count)
            for p, redacted in zip(after, replies[len(shards) + 2 :], strict=True)
        }
        return {p: self._state(p, fields) for p, fields in zip(shards, states, strict=True)}, entries

    def _stored_meta(self, identity: EmbedderIdentity) -> Meta:
        """The context's, begun with `identity` where there is none."""
        key = self._key("meta")
        shards, raw = self._client.pipeline(transaction=False).scard(self._key("shards")).get(key).execute()
        if raw is None and shards:  # in this order: whoever begins a shard has begun the context before
            raise StoreError(
                f"{key} at {self.place} is gone but its shards are not. Nothing was changed: restore that"
                " key from a backup, or set HURNET_REDIS_PREFIX to a new name and let another context be"
                " filled from Kafka"
            )
        if raw is None:
            self._client.setnx(key, Meta.begin(identity).raw)
            raw = self._client.get(key)
        return Meta.parse(raw, key)

    def _recheck(self, raw: Any, partition: int | None = None) -> Meta:
        """The context's meta, which was read anew: it may have been begun anew, or be for newer programs."""
        known = self._opened()
        if raw == known.raw:
            return known
        found = Meta.parse(raw, self._key("meta")) if isinstance(raw, bytes) else None
        if found is None or found.epoch != known.epoch:
            raise self._replaced(partition)
        return self._use(found)

    def _opened(self) -> Meta:
        if self._meta is None:
            raw = self._client.get(self._key("meta"))
            if not isinstance(raw, bytes):
                raise StoreError(f"there is no context {self._prefix!r} at {self.place} yet")
            return self._use(Meta.parse(raw, self._key("meta")))
        return self._meta

    def _use(self, meta: Meta) -> Meta:
        self._meta = meta
        self._bound.epoch = meta.epoch
        return meta

    def _check(self, raw: Any) -> None:
        """As `_recheck`, where a context was opened or read before."""
        if self._meta is not None:
            self._recheck(raw)

    def _met(self, raw: Any) -> LogIdentity | None:
        if raw is None:
            return None
        try:
            fields = json.loads(raw)
            log = LogIdentity(str(fields["cluster"]), str(fields["topic"]))
        except (ValueError, TypeError, KeyError) as error:
            raise Unreadable(f"{self._key('log')} is not readable: {error!r}") from error
        self._bound.meet(log.cluster)
        return log

    def _state(self, partition: int, fields: Sequence[Any]) -> ShardState:
        watermark, rows, epoch, anchor = (*fields, None)[:4]
        try:
            tied = Anchor.unpack(anchor) if anchor else None
            state = ShardState(int(watermark or NOTHING), int(rows or 0), (epoch or b"").decode(), tied)
        except ValueError as error:
            raise StoreError(f"{self._key('state', partition)} is corrupt: {error}") from error
        if self._meta and state.epoch not in ("", self._meta.epoch):
            raise self._replaced(partition)
        return state

    def _replaced(self, partition: int | None = None) -> StoreReplaced:
        what = "the context" if partition is None else f"shard {partition} of the context"
        return StoreReplaced(
            f"{what} {self._prefix!r} at {self.place} is not the one that was opened here: it was deleted or"
            " begun anew, or another store took this address. What was read of it no longer counts"
        )

    def _partitions(self, members: Iterable[Any]) -> list[int]:
        try:
            return sorted(int(member) for member in members)
        except ValueError as error:
            raise StoreError(f"{self._key('shards')} is corrupt: {error}") from error

    def _key(self, name: str, partition: int | None = None) -> str:
        return f"{self._prefix}:{name}" if partition is None else shard_key(self._prefix, partition, name)


def _packed(anchor: Anchor | None) -> bytes:
    return anchor.pack() if anchor else b""


def _behind(positions: Mapping[int, int], ends: Mapping[int, int]) -> set[int]:
    """Shards that are known to hold more."""
    return {partition for partition, position in positions.items() if ends.get(partition, NOTHING) > position}
