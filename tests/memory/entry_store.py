"""The in-memory twin of `RedisEntryStore`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import islice

from hurnet_stream.core.formats import COMPACTED_FROM, REPLACED_FROM, STORE, NewerFormat, check_format
from hurnet_stream.core.places import NumberedTopic, Topics
from hurnet_stream.core.shares import Shares
from hurnet_stream.core.stored.batch import (
    MAX_OFFSET,
    NOTHING,
    Batch,
    Deletion,
    EmbedderIdentity,
    Entry,
    Expiry,
    LogIdentity,
    ShardState,
    Vectors,
)
from hurnet_stream.core.stored.codec import bare, beyond, check, check_deletion
from hurnet_stream.core.stored.replacing import halves, is_one_record, mode_at, settled
from hurnet_stream.core.stored.segments import Sealing
from hurnet_stream.errors import (
    EmbedderMismatch,
    RolledBack,
    StoreError,
    StoreReplaced,
    Superseded,
    UpgradeNeeded,
)
from hurnet_stream.ports import (
    BEHIND,
    Appended,
    Committed,
    Holding,
    Refused,
    StoreServer,
    Tail,
    Unfinished,
)
from tests.memory import shard as shard_module
from tests.memory.redis import MemoryRedis, Working
from tests.memory.shard import Shard

_REPLACED = "the store is not the one that was opened here: it was deleted or begun anew"


class MemoryEntryStore:
    """Fills `hurnet_stream.ports.EntryStore`."""

    def __init__(self, redis: MemoryRedis | None = None) -> None:
        self._redis = redis or MemoryRedis()
        self._shares = Shares()
        self._identity: EmbedderIdentity | None = None
        self._epoch = ""

    def open(self, identity: EmbedderIdentity, writing: bool = False) -> None:
        with self._redis.changed:
            data = self._redis.data
            if data.identity is None:
                data.identity, data.epoch = identity, secrets.token_hex(8)
            stored = data.identity
            self._check_formats(writing)
            if (stored.fingerprint, stored.dimension) != (identity.fingerprint, identity.dimension):
                raise EmbedderMismatch(f"the store was made by {stored}, and this is {identity}")
            self._identity, self._epoch = stored, data.epoch

    def incarnation(self) -> str:
        return self._redis.incarnation

    def server(self) -> StoreServer:
        return StoreServer()

    def identity(self) -> EmbedderIdentity | None:
        with self._redis.changed:
            self._check_not_replaced()
            return self._opened() if self._redis.data.identity else None

    def log(self) -> LogIdentity | None:
        return self._redis.data.log

    def bind(self, log: LogIdentity) -> LogIdentity:
        with self._redis.changed:
            self._opened()
            self._check_not_replaced()
            self._redis.data.log = self._redis.data.log or log
            return self._redis.data.log

    def topics(self) -> Topics:
        return Topics.of(self._redis.data.topics)

    def number_topics(self, ids: Mapping[str, str]) -> Mapping[str, NumberedTopic]:
        with self._redis.changed:
            self._check_not_replaced()
            known = self._redis.data.topics
            for name in sorted(ids):
                last = max((topic.number for topic in known.values()), default=0)
                topic = known.setdefault(name, NumberedTopic(last + 1, ""))
                known[name] = NumberedTopic(topic.number, topic.id or ids[name])
            return {name: known[name] for name in ids}

    def states(self) -> Mapping[int, ShardState]:
        with self._redis.changed:
            self._check_not_replaced()
            return {partition: self.state(partition) for partition in sorted(self._redis.data.shards)}

    def state(self, partition: int) -> ShardState:
        self._check_not_replaced()
        shard = self._redis.data.shards.get(partition)
        if shard and self._epoch not in ("", shard.state.epoch):
            raise StoreReplaced(_REPLACED)
        return shard.state if shard else ShardState()

    def redaction(self) -> str:
        return self._redis.data.redaction

    def keys_mode(self) -> str:
        return self._redis.data.keys

    def append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        with self._redis.changed:
            check(batch, self._opened().dimension, expected)
            self._check_formats(writing=True)
            state = self.state(batch.partition)
            if state.watermark != expected:
                return Refused(state)
            shard = self._shard(batch.partition, state)
            found, most = shard.replaced_by(batch), shard_module.most_targets()
            if len(found) > most and not is_one_record(batch):
                return self._append_halves(batch, expected)
            whole, batch = len(batch.entries), settled(batch)
            if found or batch.deletion:
                self._raise_format(REPLACED_FROM)
            if len(found) > most:
                shard.begin_replacing(batch.watermark, found[:most])
                return Unfinished(state, most)
            shard.finish_before(batch.watermark + 1, self._opened().dimension)
            replaced = shard.append(batch, found)
            rows = state.rows + len(batch.entries)
            anchor, modes = batch.anchor or state.anchor, state.modes
            if batch.mode and batch.mode != mode_at(modes, MAX_OFFSET):
                modes = (*modes, (expected + 1, batch.mode))
            shard.state = ShardState(batch.watermark, rows, self._epoch, anchor, state.floor, modes)
            self._redis.changed.notify_all()
            return Appended(shard.state, replaced + whole - len(batch.entries), len(batch.entries))

    def _append_halves(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        first, second = halves(batch)
        begun = self.append(first, expected)
        if not isinstance(begun, Appended):
            return begun
        done = self.append(second, first.watermark)
        if isinstance(done, Refused):
            return done
        return replace(done, replaced=begun.replaced + done.replaced, rows=begun.rows + done.rows)

    def delete(self, partition: int, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        with self._redis.changed:
            check_deletion(partition, deletion, expected)
            dimension = self._opened().dimension
            self._check_formats(writing=True)
            state = self.state(partition)
            if state.watermark != expected:
                return Refused(state)
            shard = self._shard(partition, state)
            shard.finish_before(deletion.offset, dimension, deletes=True)
            if not shard.delete(deletion, dimension):
                return Unfinished(state)
            anchor = deletion.anchor or state.anchor
            shard.state = replace(state, watermark=deletion.offset, epoch=self._epoch, anchor=anchor)
            if deletion.drops:
                self._release({deletion.context or ""})
            self._redis.changed.notify_all()
            return Appended(shard.state)

    def repeat_append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        with self._redis.changed:
            state = self.state(batch.partition)
            if state.watermark == expected and (deletion := batch.deletion):
                shard = self._shard(batch.partition, state)
                stored = {entry.offset for entry in shard.entries()}
                by = zip(deletion.targets, deletion.by, strict=True)
                shard.pending |= {t: which for t, which in by if t in stored and t not in shard.pending}
            return self.append(batch, expected)

    def repeat_deletion(
        self, partition: int, deletion: Deletion, targets: Sequence[int], last: bool, expected: int
    ) -> Appended | Unfinished | Refused:
        with self._redis.changed:
            check_deletion(partition, deletion, expected)
            self._check_formats(writing=True)
            state = self.state(partition)
            if state.watermark != expected:
                return Refused(state)
            shard = self._shard(partition, state)
            shard.finish_before(deletion.offset, self._opened().dimension)
            if not shard.repeat(deletion, targets, last, self._opened().dimension):
                return Unfinished(state)
            anchor = deletion.anchor or state.anchor
            shard.state = ShardState(deletion.offset, state.rows, self._epoch, anchor, state.floor)
            if deletion.drops:
                self._release({deletion.context or ""})
            self._redis.changed.notify_all()
            return Appended(shard.state)

    def deletion_part(self, partition: int, offset: int, number: int) -> Sequence[int]:
        with self._redis.changed:
            shard = self._redis.data.shards[partition]
            if offset <= shard.state.floor and offset not in shard.parts:
                raise StoreReplaced(BEHIND)
            return shard.parts[offset][number - 1]

    def admit(self, contexts: frozenset[str], limit: int) -> frozenset[str]:
        with self._redis.changed:
            self._check_not_replaced()
            names = self._redis.data.contexts
            for context in sorted(contexts - names)[: max(0, limit - len(names))]:
                names.add(context)
            return contexts & names

    def remember_progress(self, group: str, committed: Mapping[int, Committed]) -> None:
        self._check_not_replaced()
        self._redis.data.progress.setdefault(group, {}).update(committed)

    def progress(self, group: str) -> Mapping[int, Committed]:
        return dict(self._redis.data.progress.get(group, {}))

    def enter(self, role: str, owner: str, partitions: frozenset[int]) -> Mapping[int, str]:
        working = {partition: self._working(role, partition) for partition in partitions}
        not_left = {p: each.record for p, each in working.items() if each.owner not in ("", owner)}
        for each in working.values():
            each.owner = owner
            each.excuse(owner)
        return not_left

    def leave(self, role: str, owner: str, partitions: frozenset[int]) -> None:
        for working in [self._working(role, partition) for partition in partitions]:
            working.owner = "" if working.owner == owner else working.owner
            working.excuse(owner)

    def attempt(self, role: str, owner: str, partition: int, record: str) -> int:
        working = self._working(role, partition)
        if working.record != record:
            working.record, working.attempts, working.noted_by = record, 0, ""
        if working.noted_by != owner:
            working.attempts, working.noted_by = working.attempts + 1, owner
        return working.attempts

    def contexts(self) -> frozenset[str]:
        with self._redis.changed:
            used = (entry.context for s in self._redis.data.shards.values() for entry in s.entries())
            return frozenset(self._redis.data.contexts).union(used)

    def holdings(self) -> Mapping[int, Mapping[str, Holding]]:
        with self._redis.changed:
            shards = self._redis.data.shards.items()
            return {p: {name: shard.holding(name) for name in sorted(shard.first)} for p, shard in shards}

    def pending_erasures(self) -> Mapping[int, int]:
        with self._redis.changed:
            return {p: len(shard.pending) for p, shard in self._redis.data.shards.items()}

    def oldest_deletion_ms(self) -> int | None:
        with self._redis.changed:
            deletions = {
                (p, at): batch.deletion.timestamp_ms
                for p in self._redis.data.shards
                for batch in self._after(p, NOTHING)
                if batch.deletion
                for at in (batch.deletion.offset, *batch.deletion.by)
            }
            pending = {(p, at) for p, s in self._redis.data.shards.items() for at in s.pending.values()}
            return min((deletions[each] for each in pending if each in deletions), default=None)

    def tail(self, positions: Mapping[int, int], max_batches: int, block_s: float = 0.0) -> Tail:
        if max_batches < 1:
            raise ValueError(f"max_batches must be at least 1, not {max_batches}")
        with self._redis.changed:
            dimension = self._opened().dimension
            self._check_formats()
            self._redis.changed.wait_for(lambda: self._more(positions), block_s)
            self._check_not_replaced()
            states = self.states()
            behind = {p for p, state in states.items() if state.watermark > positions.get(p, NOTHING)}
            batches: list[Batch] = []
            # A shard that fits ends with a batch without entries, which takes the reader to the watermark.
            for partition, most in self._shares.of_next_reply(states, behind, max_batches).items():
                position = positions.get(partition, NOTHING)
                following = self._after(partition, position)
                end = states[partition].watermark
                whole = replace(bare(partition, end, dimension), end=states[partition].rows)
                head = None if len(following) >= most else whole
                batches += beyond(position, following[:most], head)
            return Tail(batches, states, {p: state.floor for p, state in states.items()})

    def entry(self, partition: int, offset: int) -> Entry | None:
        with self._redis.changed:
            shard = self._redis.data.shards.get(partition)
            if not shard or offset in shard.pending:
                return None
            entries = (entry for batch in self._after(partition, offset - 1)[:1] for entry in batch.entries)
            return next((entry for entry in entries if entry.offset == offset), None)

    def expired(self, partition: int) -> Mapping[str, Expiry]:
        with self._redis.changed:
            shard = self._redis.data.shards.get(partition)
            return dict(shard.expired) if shard else {}

    def oldest(self, partition: int, context: str, after: int, most: int) -> Sequence[Entry]:
        with self._redis.changed:
            shard = self._redis.data.shards.get(partition)
            return list(islice(shard.of_context(context, after), most)) if shard else []

    def under_keys(
        self, partition: int, keys: Sequence[tuple[bytes, str]]
    ) -> Mapping[tuple[bytes, str], Mapping[str, Vectors]]:
        shard = self._redis.data.shards.get(partition)
        found: dict[tuple[bytes, str], dict[str, Vectors]] = {}
        for key, context in keys if shard else ():
            offsets = sorted(o for name, o in shard.keys.get(key, ()) if name == context)  # type: ignore[union-attr]
            for batch in self.stored_at(partition, offsets) if offsets else ():
                vectors = found.setdefault((key, context), {})
                vectors |= {entry.text: batch.vectors[row] for row, entry in enumerate(batch.entries)}
        return found

    def stored_at(self, partition: int, offsets: Sequence[int]) -> Iterator[Batch]:
        with self._redis.changed:
            wanted = frozenset(offsets)
            batches = self._after(partition, min(offsets, default=0) - 1)
            # A list: the store may change before the caller has read it all.
            return iter([part for batch in batches if (part := batch.only(wanted)).entries])

    def fence(self, owner: str) -> Mapping[int, int]:
        with self._redis.changed:
            self._check_formats(writing=True)
            for shard in self._redis.data.shards.values():
                shard.fence = owner
            return {p: max(s.erased, s.state.floor) for p, s in self._redis.data.shards.items()}

    def check_fences(self, owner: str) -> None:
        with self._redis.changed:
            if self._redis.data.owner != owner:
                raise Superseded(f"solver {owner!r} no longer holds the role")
            for shard in self._redis.data.shards.values():
                _check_fence(shard, owner)

    def erase(self, most: int, owner: str, stamp: str) -> int:
        with self._redis.changed:
            self._check_formats(writing=True)
            if self._redis.data.owner != owner:
                raise Superseded(f"solver {owner!r} no longer holds the role: it erases nothing more")
            # Whoever works on from another checkpoint has not taken the targets out of it yet.
            if not stamp or self._redis.data.checkpoint.stamp != stamp:
                return 0
            remain, contexts = 0, set[str]()
            for partition, shard in self._redis.data.shards.items():
                state = self._redis.data.checkpoint.shards.get(partition, ShardState())
                due = {target for target, record in shard.pending.items() if record <= state.watermark}
                deletions = dict(shard.pending)
                if due:
                    _check_fence(shard, owner)
                    shard.fence = owner
                rewritten, still_due, lost = shard.erase(due, most)
                gone = deletions.keys() - shard.pending.keys()
                shard.erased = max([shard.erased, *(deletions[target] for target in gone)])
                most, remain, contexts = most - rewritten, remain + still_due, contexts | lost
            self._release(contexts)
            return remain

    def compact(self, most: int, owner: str, stamp: str, keep_s: float) -> int:
        with self._redis.changed:
            self._check_formats(writing=True)
            data = self._redis.data
            if data.owner != owner:
                raise Superseded(f"solver {owner!r} no longer holds the role: it compacts nothing more")
            if not stamp or data.checkpoint.stamp != stamp or data.min_reader < COMPACTED_FROM:
                return 0
            for partition, shard in data.shards.items():
                covered = data.checkpoint.shards.get(partition, ShardState()).watermark
                _check_fence(shard, owner)
                shard.raise_floor(covered, keep_s, time.time())
                shard.compact()
            return 0

    def seal(self, much: Sealing, owner: str, stamp: str) -> bool:
        return False

    def sealed(self) -> Mapping[int, int]:
        return dict.fromkeys(self._redis.data.shards, 0)

    def ask_to_compact(self, upto: Mapping[int, int]) -> None:
        with self._redis.changed:
            self._opened()
            self._raise_format(COMPACTED_FROM)
            for partition, offset in upto.items():
                self._redis.data.shards[partition].asked = offset

    def compacted(self) -> Mapping[int, int]:
        return {partition: shard.compacted for partition, shard in self._redis.data.shards.items()}

    def close(self) -> None:
        """Nothing to close."""

    def _raise_format(self, to: int) -> None:
        data = self._redis.data
        data.min_reader, data.min_writer = max(to, data.min_reader), max(to, data.min_writer)

    def _check_formats(self, writing: bool = False) -> None:
        try:
            check_format("the store", self._redis.data.min_reader, STORE)
            if writing:
                check_format("the store's newest entries", self._redis.data.min_writer, STORE)
        except NewerFormat as error:
            raise UpgradeNeeded(str(error)) from error

    def _check_not_replaced(self) -> None:
        if self._epoch not in ("", self._redis.data.epoch):
            raise StoreReplaced(_REPLACED)

    def _shard(self, partition: int, state: ShardState) -> Shard:
        return self._redis.data.shards.setdefault(partition, Shard(partition, state))

    def _working(self, role: str, partition: int) -> Working:
        with self._redis.changed:
            self._opened()
            self._check_not_replaced()
            return self._redis.data.working.setdefault((role, partition), Working())

    def _release(self, names: Set[str]) -> None:
        """Give back those of the context names of which no shard holds a row."""
        shards = self._redis.data.shards.values()
        for name in names:
            if not any(shard.rows(name) for shard in shards):
                self._redis.data.contexts.discard(name)
                for shard in shards:
                    shard.first.pop(name, None)

    def _opened(self) -> EmbedderIdentity:
        if self._identity is None:
            self._check_formats()
            if self._redis.data.identity is None:
                raise StoreError("there is no store yet")
            self._identity, self._epoch = self._redis.data.identity, self._redis.data.epoch
        return self._identity

    def _more(self, positions: Mapping[int, int]) -> bool:
        return any(
            self._after(partition, positions.get(partition, NOTHING)) for partition in self._redis.data.shards
        )

    def _after(self, partition: int, position: int) -> Sequence[Batch]:
        shard = self._redis.data.shards.get(partition)
        return shard.after(position) if shard else ()


def _check_fence(shard: Shard, owner: str) -> None:
    if shard.fence not in ("", owner):
        raise RolledBack(f"shard {shard.partition} fell back: {shard.fence} may erase there")
