"""The stores in this process's memory: for `hurnet evaluate`, and a reference to test the real ones against.

Stores made of one `MemoryServer` see the same data, as clients of one Redis do, and may be shared by threads.
"""

from __future__ import annotations

import secrets
import threading
import time
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from hurnet.core.formats import STORE, NewerFormat, check_format
from hurnet.core.shares import Shares
from hurnet.core.solve.weights import NO_FEATURES
from hurnet.core.stored.batch import (
    MOST_TARGETS,
    NOTHING,
    Batch,
    Deletion,
    EmbedderIdentity,
    Entry,
    LogIdentity,
    ShardState,
)
from hurnet.core.stored.codec import bare, beyond, check, check_deletion
from hurnet.errors import EmbedderMismatch, StoreError, StoreReplaced, Superseded, UpgradeNeeded
from hurnet.ports import (
    Appended,
    Checkpoint,
    Committed,
    DeletionAudit,
    Holding,
    OnProgress,
    PublishedWeights,
    Refused,
    Tail,
    Unfinished,
)

_REPLACED = "the context is not the one that was opened here: it was deleted or begun anew"


@dataclass(slots=True)
class Shard:
    """`keys` are the context and offset of entries that came under a key, `pending` the offsets deleted and
    not yet erased, `first` that of the first entry of each context since it was let in. `parts` are those of
    the deletions that have some, `begun` is the one under way."""

    partition: int
    state: ShardState
    batches: list[Batch] = field(default_factory=list)
    keys: dict[bytes, set[tuple[str, int]]] = field(default_factory=dict)
    pending: dict[int, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    parts: dict[int, list[tuple[int, ...]]] = field(default_factory=dict)
    begun: Deletion | None = None

    def end(self, before: int, dimension: int) -> None:
        """End the deletion under way, if what follows it comes: readers learn of it first."""
        if self.begun and self.begun.offset < before:
            self.conclude(replace(self.begun, targets=()), dimension)

    def conclude(self, deletion: Deletion, dimension: int) -> None:
        """All parts are there: readers may see the deletion."""
        made = replace(deletion, parts=len(self.parts.get(deletion.offset, ())))
        bare_one = bare(self.partition, deletion.offset, dimension)
        self.batches.append(replace(bare_one, deletion=made))
        self.begun = None

    def wanted(self, deletion: Deletion) -> list[int]:
        """The targets of the next part, and whatever more there are."""
        if deletion.drops:
            mine = (e.offset for e in self.entries() if e.context == deletion.context)
            return [offset for offset in mine if offset not in self.pending]
        keyed = self.keys.get(deletion.key or b"", ()) if deletion.key is not None else ()
        named = [found for found in sorted(keyed) if deletion.context in (None, found[0])]
        for found in named[:MOST_TARGETS]:
            self.keys[deletion.key or b""].discard(found)
        return [*deletion.targets, *(offset for _, offset in named)]

    def rows(self, context: str) -> int:
        """Those in it."""
        return sum(entry.context == context for entry in self.entries())

    def entries(self) -> Iterator[Entry]:
        """All of them."""
        return (entry for batch in self.batches for entry in batch.entries)


@dataclass(slots=True)
class Working:
    """Who has a partition in hand, and the record noted last, by how many and by whom at last."""

    owner: str = ""
    record: str = ""
    count: int = 0
    by: str = ""

    def excuse(self, owner: str) -> None:
        """What `owner` noted here does not count."""
        if self.by == owner:
            self.count, self.by = self.count - 1, ""
            self.record = self.record if self.count else ""


@dataclass(slots=True)
class Data:
    """All that the stores hold. Batches and weights in it are never changed."""

    identity: EmbedderIdentity | None = None
    epoch: str = ""
    min_reader: int = STORE
    min_writer: int = STORE
    log: LogIdentity | None = None
    shards: dict[int, Shard] = field(default_factory=dict)
    contexts: set[str] = field(default_factory=set)
    owner: str = ""
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    audit: dict[tuple[int, int], DeletionAudit] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    weights: dict[str, PublishedWeights] = field(default_factory=dict)
    leases: dict[str, tuple[str, float]] = field(default_factory=dict)
    progress: dict[str, dict[int, Committed]] = field(default_factory=dict)
    working: dict[tuple[str, int], Working] = field(default_factory=dict)


class MemoryServer:
    """Data, and who waits for it to change. `incarnation` is another after a restart or a failover."""

    def __init__(self) -> None:
        self.data = Data()
        self.incarnation = secrets.token_hex(4)
        self.changed = threading.Condition()


class MemoryEntryStore:
    """`EntryStore` (see the ports) in memory."""

    def __init__(self, server: MemoryServer | None = None) -> None:
        self._server = server or MemoryServer()
        self._shares = Shares()
        self._identity: EmbedderIdentity | None = None
        self._epoch = ""

    def open(self, identity: EmbedderIdentity, writing: bool = False) -> None:
        with self._server.changed:
            data = self._server.data
            if data.identity is None:
                data.identity, data.epoch = identity, secrets.token_hex(8)
            stored = data.identity
            self._check_formats(writing)
            if (stored.fingerprint, stored.dimension) != (identity.fingerprint, identity.dimension):
                raise EmbedderMismatch(f"the context was made by {stored}, and this is {identity}")
            self._identity, self._epoch = stored, data.epoch

    def incarnation(self) -> str:
        return self._server.incarnation

    def identity(self) -> EmbedderIdentity | None:
        with self._server.changed:
            self._check()
            return self._opened() if self._server.data.identity else None

    def log(self) -> LogIdentity | None:
        return self._server.data.log

    def bind(self, log: LogIdentity) -> LogIdentity:
        with self._server.changed:
            self._opened()
            self._check()
            self._server.data.log = self._server.data.log or log
            return self._server.data.log

    def states(self) -> Mapping[int, ShardState]:
        with self._server.changed:
            self._check()
            return {partition: self.state(partition) for partition in sorted(self._server.data.shards)}

    def state(self, partition: int) -> ShardState:
        self._check()
        shard = self._server.data.shards.get(partition)
        if shard and self._epoch not in ("", shard.state.epoch):
            raise StoreReplaced(_REPLACED)
        return shard.state if shard else ShardState()

    def append(self, batch: Batch, expected: int) -> Appended | Refused:
        with self._server.changed:
            check(batch, self._opened().dimension, expected)
            self._check_formats(writing=True)
            state = self.state(batch.partition)
            if state.watermark != expected:
                return Refused(state)
            shard = self._shard(batch.partition, state)
            shard.end(batch.watermark + 1, self._opened().dimension)
            rows = state.rows + len(batch.entries)
            shard.state = ShardState(batch.watermark, rows, self._epoch, batch.anchor or state.anchor)
            if batch.entries:
                shard.batches.append(replace(batch, keys=(), anchor=None))
            for entry in batch.entries:
                shard.first.setdefault(entry.context, entry.offset)
            for key, entry in zip(batch.keys, batch.entries, strict=bool(batch.keys)):
                if key is not None:
                    shard.keys.setdefault(key, set()).add((entry.context, entry.offset))
            self._server.changed.notify_all()
            return Appended(shard.state)

    def delete(self, partition: int, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        with self._server.changed:
            check_deletion(partition, deletion, expected)
            dimension = self._opened().dimension
            self._check_formats(writing=True)
            state = self.state(partition)
            if state.watermark != expected:
                return Refused(state)
            shard = self._shard(partition, state)
            shard.end(deletion.offset, dimension)
            wanted = shard.wanted(deletion)
            targets = tuple(sorted({*wanted[:MOST_TARGETS]} - shard.pending.keys()))
            there = {entry.offset for entry in shard.entries()}
            shard.pending |= dict.fromkeys(there.intersection(targets), deletion.offset)
            if len(wanted) > MOST_TARGETS:
                shard.parts.setdefault(deletion.offset, []).append(targets)
                shard.begun = replace(deletion, anchor=None)
                return Unfinished(state)
            shard.conclude(replace(deletion, targets=targets, anchor=None), dimension)
            anchor = deletion.anchor or state.anchor
            shard.state = ShardState(deletion.offset, state.rows, self._epoch, anchor)
            if deletion.drops:
                shard.first.pop(deletion.context or "", None)
                self._release({deletion.context or ""})
            self._server.changed.notify_all()
            return Appended(shard.state)

    def deletion_part(self, partition: int, offset: int, number: int) -> Sequence[int]:
        with self._server.changed:
            return self._server.data.shards[partition].parts[offset][number - 1]

    def admit(self, contexts: frozenset[str], limit: int) -> frozenset[str]:
        with self._server.changed:
            self._check()
            names = self._server.data.contexts
            for context in sorted(contexts - names)[: max(0, limit - len(names))]:
                names.add(context)
            return contexts & names

    def remember_progress(self, group: str, committed: Mapping[int, Committed]) -> None:
        self._check()
        self._server.data.progress.setdefault(group, {}).update(committed)

    def progress(self, group: str) -> Mapping[int, Committed]:
        return dict(self._server.data.progress.get(group, {}))

    def enter(self, role: str, owner: str, partitions: frozenset[int]) -> Mapping[int, str]:
        found = {partition: self._working(role, partition) for partition in partitions}
        left = {p: working.record for p, working in found.items() if working.owner not in ("", owner)}
        for working in found.values():
            working.owner = owner
            working.excuse(owner)
        return left

    def leave(self, role: str, owner: str, partitions: frozenset[int]) -> None:
        for working in [self._working(role, partition) for partition in partitions]:
            working.owner = "" if working.owner == owner else working.owner
            working.excuse(owner)

    def attempt(self, role: str, owner: str, partition: int, record: str) -> int:
        working = self._working(role, partition)
        if working.record != record:
            working.record, working.count, working.by = record, 0, ""
        if working.by != owner:
            working.count, working.by = working.count + 1, owner
        return working.count

    def _working(self, role: str, partition: int) -> Working:
        with self._server.changed:
            self._opened()
            self._check()
            return self._server.data.working.setdefault((role, partition), Working())

    def contexts(self) -> frozenset[str]:
        with self._server.changed:
            used = (entry.context for s in self._server.data.shards.values() for entry in s.entries())
            return frozenset(self._server.data.contexts).union(used)

    def holdings(self) -> Mapping[int, Mapping[str, Holding]]:
        with self._server.changed:
            shards = self._server.data.shards.items()
            return {p: {name: _holding(shard, name) for name in sorted(shard.first)} for p, shard in shards}

    def pending_erasures(self) -> Mapping[int, int]:
        with self._server.changed:
            return {p: len(shard.pending) for p, shard in self._server.data.shards.items()}

    def tail(self, positions: Mapping[int, int], max_batches: int, block_s: float = 0.0) -> Tail:
        if max_batches < 1:
            raise ValueError(f"max_batches must be at least 1, not {max_batches}")
        with self._server.changed:
            dimension = self._opened().dimension
            self._check_formats()
            self._server.changed.wait_for(lambda: self._more(positions), block_s)
            self._check()
            states = self.states()
            behind = {p for p, state in states.items() if state.watermark > positions.get(p, NOTHING)}
            batches: list[Batch] = []
            for partition, most in self._shares.of(states, behind, max_batches).items():
                position = positions.get(partition, NOTHING)
                found = self._after(partition, position)
                end = states[partition].watermark
                head = None if len(found) >= most else bare(partition, end, dimension)
                batches += beyond(position, found[:most], head)
            return Tail(batches, states)

    def entry(self, partition: int, offset: int) -> Entry | None:
        with self._server.changed:
            shard = self._server.data.shards.get(partition)
            if not shard or offset in shard.pending:
                return None
            entries = (entry for batch in self._after(partition, offset - 1)[:1] for entry in batch.entries)
            return next((entry for entry in entries if entry.offset == offset), None)

    def stored_at(self, partition: int, offsets: Sequence[int]) -> Iterator[Batch]:
        with self._server.changed:
            wanted = frozenset(offsets)
            batches = self._after(partition, min(offsets, default=0) - 1)
            return iter([found for batch in batches if (found := batch.only(wanted)).entries])

    def erase(self, most: int, owner: str, stamp: str) -> int:
        with self._server.changed:
            self._check_formats(writing=True)
            if self._server.data.owner != owner:
                raise Superseded(f"the solver's role is no longer {owner!r}'s: it erases nothing more")
            if not stamp or self._server.data.checkpoint.stamp != stamp:
                return 0
            left = 0
            lost: set[str] = set()
            for partition, shard in self._server.data.shards.items():
                state = self._server.data.checkpoint.shards.get(partition, ShardState())
                due = {target for target, record in shard.pending.items() if record <= state.watermark}
                for row, batch in enumerate(shard.batches):
                    if most and (here := {entry.offset for entry in batch.entries} & due):
                        shard.batches[row] = batch.without(here)
                        lost |= {entry.context for entry in batch.entries if entry.offset in here}
                        due -= here
                        most -= 1
                        for target in here:
                            del shard.pending[target]
                if most:  # what is still due is not held
                    shard.pending = {t: record for t, record in shard.pending.items() if t not in due}
                else:
                    left += len(due)
            self._release(lost)
            return left

    def close(self) -> None:
        """Nothing to close."""

    def _check_formats(self, writing: bool = False) -> None:
        try:
            check_format("the context", self._server.data.min_reader, STORE)
            if writing:
                check_format("the context's newest entries", self._server.data.min_writer, STORE)
        except NewerFormat as error:
            raise UpgradeNeeded(str(error)) from error

    def _check(self) -> None:
        if self._epoch not in ("", self._server.data.epoch):
            raise StoreReplaced(_REPLACED)

    def _shard(self, partition: int, state: ShardState) -> Shard:
        return self._server.data.shards.setdefault(partition, Shard(partition, state))

    def _release(self, names: Set[str]) -> None:
        """Give back the names of which no shard holds a row."""
        shards = self._server.data.shards.values()
        for name in names:
            if not any(shard.rows(name) for shard in shards):
                self._server.data.contexts.discard(name)
                for shard in shards:
                    shard.first.pop(name, None)

    def _opened(self) -> EmbedderIdentity:
        if self._identity is None:
            self._check_formats()
            if self._server.data.identity is None:
                raise StoreError("there is no context yet")
            self._identity, self._epoch = self._server.data.identity, self._server.data.epoch
        return self._identity

    def _more(self, positions: Mapping[int, int]) -> bool:
        return any(
            self._after(partition, positions.get(partition, NOTHING))
            for partition in self._server.data.shards
        )

    def _after(self, partition: int, position: int) -> Sequence[Batch]:
        shard = self._server.data.shards.get(partition)
        if not shard:
            return ()
        return shard.batches[bisect_right(shard.batches, position, key=lambda batch: batch.watermark) :]


class MemoryWeightsStore:
    """`WeightsStore` (see the ports) in memory."""

    def __init__(self, server: MemoryServer | None = None) -> None:
        self._server = server or MemoryServer()
        self.on_progress: OnProgress = lambda: None
        self._owner = ""

    def claim(self, owner: str) -> None:
        self._server.data.owner = self._owner = owner

    def load_checkpoint(self, dimension: int, features: str = NO_FEATURES) -> Checkpoint:
        with self._server.changed:
            checkpoint = _copied(self._server.data.checkpoint)
        if not (checkpoint.shards or checkpoint.statistics):
            return Checkpoint(features=features)
        if checkpoint.features != features:
            return Checkpoint(features=checkpoint.features)
        self.on_progress()
        if any(statistics.dimension != dimension for statistics in checkpoint.statistics.values()):
            raise StoreError(f"the checkpoint is not of dimension {dimension}")
        return checkpoint

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        with self._server.changed:
            self._check_owner()
            self.on_progress()
            for statistics in checkpoint.statistics.values():
                statistics.mark_saved()
            for unlearned in checkpoint.unlearned:
                self._server.data.audit.setdefault(
                    (unlearned.partition, unlearned.deletion.offset), unlearned
                )
            checkpoint.unlearned.clear()
            checkpoint.stamp = secrets.token_hex(8)
            self._server.data.checkpoint = _copied(checkpoint)

    def audit(self) -> Sequence[DeletionAudit]:
        with self._server.changed:
            return sorted(self._server.data.audit.values(), key=lambda unlearned: unlearned.done_ms)

    def audit_of(self, records: Collection[tuple[int, int]]) -> Sequence[DeletionAudit]:
        return [unlearned for u in records if (unlearned := self._server.data.audit.get(u))]

    def publish(self, weights: PublishedWeights) -> None:
        with self._server.changed:
            self._check_owner()
            before = self._server.data.weights.get(weights.context)
            if weights is before:
                return
            version = self._server.data.versions.get(weights.context, 0)
            watermarks = before.watermarks if before else {}
            back = [p for p, w in watermarks.items() if weights.watermarks.get(p, NOTHING) < w]
            if weights.version != version + 1 or back:
                raise Superseded(
                    f"version {weights.version} can't follow {version}, or shards {back} go back"
                )
            self._server.data.weights[weights.context] = weights
            self._server.data.versions[weights.context] = weights.version

    def withdraw(self, context: str, version: int) -> None:
        with self._server.changed:
            self._check_owner()
            last = self._server.data.versions.get(context, 0)
            if version != last + 1:
                raise Superseded(f"version {version} can't follow {last}")
            self._server.data.weights.pop(context, None)
            self._server.data.versions[context] = version

    def versions(self) -> Mapping[str, int]:
        with self._server.changed:
            return dict(self._server.data.versions)

    def known_by_weights(self) -> Mapping[int, int]:
        with self._server.changed:
            known: dict[int, int] = {}
            for weights in self._server.data.weights.values():
                known |= {p: max(w, known.get(p, NOTHING)) for p, w in weights.watermarks.items()}
            return known

    def published_ms(self) -> Mapping[str, int]:
        with self._server.changed:
            return {context: weights.published_ms for context, weights in self._server.data.weights.items()}

    def weights(self, context: str) -> PublishedWeights | None:
        return self._server.data.weights.get(context)

    def _check_owner(self) -> None:
        if not self._owner or self._server.data.owner != self._owner:
            raise Superseded(
                f"the solver's role belongs to {self._server.data.owner!r}, not to {self._owner!r}"
            )


class MemoryLeaseStore:
    """`LeaseStore` (see the ports) in memory."""

    def __init__(self, server: MemoryServer | None = None) -> None:
        self._server = server or MemoryServer()

    def acquire(self, role: str, owner: str, ttl_s: float) -> str:
        with self._server.changed:
            now = time.monotonic()
            holder, expires = self._server.data.leases.get(role, (owner, now))
            if holder != owner and expires > now:
                return holder
            self._server.data.leases[role] = owner, now + ttl_s
            return owner

    def release(self, role: str, owner: str) -> None:
        with self._server.changed:
            if self._server.data.leases.get(role, ("", 0))[0] == owner:
                del self._server.data.leases[role]


def _holding(shard: Shard, context: str) -> Holding:
    rows = [
        (2 * batch.vectors.shape[1] + len(entry.text.encode()))
        for batch in shard.batches
        for entry in batch.entries
        if entry.context == context
    ]
    return Holding(len(rows), sum(rows), shard.first.get(context))


def _copied(checkpoint: Checkpoint) -> Checkpoint:
    statistics = {context: statistics.copy() for context, statistics in checkpoint.statistics.items()}
    shards, features = dict(checkpoint.shards), checkpoint.features
    return Checkpoint(statistics, shards, features, pane=checkpoint.pane, stamp=checkpoint.stamp)
