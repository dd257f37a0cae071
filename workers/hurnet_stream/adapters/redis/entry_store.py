"""`EntryStore` in Redis: this file is its table of contents, and each part stands in a file of its own.

    open, identity, log, bind            opened.py
    states, state, tail, entry           shard_reader.py, which reads items by stream.py and redaction.py
    append, delete, and repeated ones     shard_writer.py, whose steps are scripts/append.lua and delete.lua
    fence, check_fences                  shard_fence.py
    erase                                erasing.py
    oldest_deletion_ms                   pending.py
    oldest                               context_walk.py
    compact                              compacting.py
    seal                                 sealing.py; erasing of what is sealed: resealing.py
    admit, contexts, holdings            contexts.py
    progress, enter, leave, attempt      worker_notes.py

Which keys hold what: keys.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from hurnet_stream.adapters.redis import compacting, expiries, pending, shard_fence
from hurnet_stream.adapters.redis.compacting import Compactor
from hurnet_stream.adapters.redis.connection import Connection, guarded
from hurnet_stream.adapters.redis.context_walk import ContextWalk
from hurnet_stream.adapters.redis.contexts import parse_sizes
from hurnet_stream.adapters.redis.erasing import Eraser
from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.scripts import ADMIT, BIND_LOG, NUMBER_TOPICS
from hurnet_stream.adapters.redis.sealing import Sealer
from hurnet_stream.adapters.redis.shard_reader import ShardReader
from hurnet_stream.adapters.redis.shard_writer import ShardWriter
from hurnet_stream.adapters.redis.worker_notes import RedisGroupProgress, RedisPartitionMarks
from hurnet_stream.core.formats import COMPACTED_FROM, NUMBERED_FROM
from hurnet_stream.core.places import NumberedTopic, Topics
from hurnet_stream.core.stored.batch import (
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
from hurnet_stream.core.stored.segments import Sealing
from hurnet_stream.ports import Appended, Committed, Holding, Refused, StoreServer, Tail, Unfinished


class RedisEntryStore:
    """`EntryStore` (see hurnet_stream/ports/entry_store.py) in Redis. Threads may share it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.server_name = connection.server_name
        self._client = connection.client
        self._keys = connection.keys
        self._opened = OpenedStore(connection)
        self._reader = ShardReader(self._opened)
        self._writer = ShardWriter(self._opened, self._reader)
        self._walk = ContextWalk(self._opened, self._reader)
        self._eraser = Eraser(self._opened)
        self._compactor = Compactor(self._opened)
        self._sealer = Sealer(self._opened)
        self._group_progress = RedisGroupProgress(self._opened)
        self._marks = RedisPartitionMarks(self._opened)
        self._writes = False

    @guarded
    def open(self, identity: EmbedderIdentity, writing: bool = False) -> None:
        self._opened.open(identity, writing)
        self._writes = writing

    @guarded
    def incarnation(self) -> str:
        return self.connection.primary.run_id

    def server(self) -> StoreServer:
        return self.connection.primary.state

    @guarded
    def identity(self) -> EmbedderIdentity | None:
        return self._opened.identity()

    @guarded
    def log(self) -> LogIdentity | None:
        return self._opened.parse_log(self._client.get(self._keys.log))

    @guarded
    def keys_mode(self) -> str:
        return self._opened.meta.keys

    @guarded
    def redaction(self) -> str:
        return self._opened.meta.redaction

    @guarded
    def bind(self, log: LogIdentity) -> LogIdentity:
        keys = self._keys.meta, self._keys.log
        raw = self._opened.run(BIND_LOG, keys, self._opened.meta.epoch, json.dumps(asdict(log)))
        return self._opened.parse_log(raw) or log

    @guarded
    def topics(self) -> Topics:
        return Topics.of(self._opened.parse_topics(self._client.get(self._keys.topics)))

    @guarded
    def number_topics(self, ids: Mapping[str, str]) -> Mapping[str, NumberedTopic]:
        keys = self._keys.meta, self._keys.topics
        names = [argument for topic in sorted(ids) for argument in (topic, ids[topic])]
        raw = self._opened.run(NUMBER_TOPICS, keys, self._opened.meta.epoch, *names)
        if known := self._opened.parse_topics(raw):
            self._opened.raise_format(NUMBERED_FROM)
        return {topic: known[topic] for topic in ids}

    @guarded
    def states(self) -> Mapping[int, ShardState]:
        return self._reader.states()

    @guarded
    def state(self, partition: int) -> ShardState:
        state = self._reader.state(partition)
        if self._writes and state.epoch:
            self._writer.shard_list.see_to(partition)
            # A writer goes on from here: what replicas did not acknowledge in time they must have by now.
            self.connection.settle(self._keys.shard(partition, "settled"))
        return state

    @guarded
    def share_privacy(self, other: RedisEntryStore) -> None:
        """Have digests of keys under the secret of another store, from which this one, still empty, is
        filled, and texts redacted by its rules."""
        if key_check := other._opened.meta.key_check:
            self._opened.adopt_key_check(key_check)
        if rules := other._opened.meta.redaction:
            self._opened.adopt_redaction(rules)

    @guarded
    def share_keys_mode(self, other: RedisEntryStore) -> None:
        """Have keyed texts taken in as another store does unless a setting says it, if this one is still
        empty."""
        self._opened.adopt_keys_mode(other._opened.meta.keys)

    @guarded
    def append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        return self._writer.append(batch, expected)

    @guarded
    def delete(self, partition: int, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        return self._writer.delete(partition, deletion, expected)

    @guarded
    def repeat_append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        return self._writer.repeat_append(batch, expected)

    @guarded
    def repeat_deletion(
        self, partition: int, deletion: Deletion, targets: Sequence[int], last: bool, expected: int
    ) -> Appended | Unfinished | Refused:
        return self._writer.repeat_deletion(partition, deletion, targets, last, expected)

    @guarded
    def deletion_part(self, partition: int, offset: int, number: int) -> Sequence[int]:
        return self._writer.deletion_part(partition, offset, number)

    @guarded
    def under_keys(
        self, partition: int, keys: Sequence[tuple[bytes, str]]
    ) -> Mapping[tuple[bytes, str], Mapping[str, Vectors]]:
        return self._reader.under_keys(partition, keys)

    def stored_at(self, partition: int, offsets: Sequence[int]) -> Iterator[Batch]:
        return self._reader.stored_at(partition, offsets)

    @guarded
    def fence(self, owner: str) -> Mapping[int, int]:
        return shard_fence.fence(self._opened, list(self._reader.states()), owner)

    @guarded
    def check_fences(self, owner: str) -> None:
        shard_fence.check(self._opened, list(self._reader.states()), owner)

    @guarded
    def erase(self, most: int, owner: str, stamp: str) -> int:
        return self._eraser.erase(most, owner, stamp)

    @guarded
    def compact(self, most: int, owner: str, stamp: str, keep_s: float) -> int:
        return self._compactor.compact(most, owner, stamp, keep_s)

    @guarded
    def seal(self, much: Sealing, owner: str, stamp: str) -> bool:
        return self._sealer.seal(much, owner, stamp)

    @guarded
    def sealed(self) -> Mapping[int, int]:
        pipe = self._client.pipeline(transaction=False)
        partitions = list(self._reader.states())
        for partition in partitions:
            pipe.hget(self._keys.shard(partition, "state"), "sealed-rows")
        return dict(zip(partitions, (int(rows or 0) for rows in pipe.execute()), strict=True))

    @guarded
    def ask_to_compact(self, upto: Mapping[int, int]) -> None:
        self._opened.raise_format(COMPACTED_FROM)
        compacting.ask(self._client, self._keys, upto)

    @property
    def is_compacted(self) -> bool:
        """Whether the store may be compacted, which programs before format 2 can't read."""
        with self.connection.used():
            self._opened.identity()
            return self._opened.meta.is_compacted

    @guarded
    def items(self) -> Mapping[int, int]:
        """How many items each shard has: batches and deletions."""
        redacted = self._per_shard("zcard", "redacted")
        return {p: count + redacted.get(p, 0) for p, count in self._per_shard("xlen", "stream").items()}

    @guarded
    def compacted(self) -> Mapping[int, int]:
        pipe = self._client.pipeline(transaction=False)
        partitions = list(self._reader.states())
        for partition in partitions:
            pipe.hget(self._keys.shard(partition, "state"), "compacted")
        offsets = (NOTHING if raw is None else int(raw) for raw in pipe.execute())
        return dict(zip(partitions, offsets, strict=True))

    @guarded
    def admit(self, contexts: frozenset[str], limit: int) -> frozenset[str]:
        keys = self._keys.contexts, self._keys.meta
        # Sorted, so that it does not depend on chance which names are admitted if not all can be.
        admitted = self._opened.run(ADMIT, keys, limit, self._opened.meta.epoch, *sorted(contexts))
        return frozenset(name.decode() for name in admitted)

    @guarded
    def contexts(self) -> frozenset[str]:
        admitted = frozenset(bytes(name).decode() for name in self._client.smembers(self._keys.contexts))
        # An append may come just after a name was given back: then rows are there, and no name.
        held = (name for of_shard in self.holdings().values() for name, h in of_shard.items() if h.rows)
        return admitted.union(held)

    @guarded
    def holdings(self) -> Mapping[int, Mapping[str, Holding]]:
        sizes = self._per_shard("hgetall", "sizes")
        return {p: parse_sizes(raw, self._keys.shard(p, "sizes")) for p, raw in sizes.items()}

    @guarded
    def pending_erasures(self) -> Mapping[int, int]:
        return self._per_shard("zcard", "pending")

    @guarded
    def oldest_deletion_ms(self) -> int | None:
        return min(pending.deletion_timestamps_ms(self._client, self._keys, self._reader), default=None)

    @guarded
    def tail(self, positions: Mapping[int, int], max_batches: int, block_s: float = 0.0) -> Tail:
        return self._reader.tail(positions, max_batches, block_s)

    @guarded
    def expired(self, partition: int) -> Mapping[str, Expiry]:
        return expiries.read(self._client, self._keys, partition)

    @guarded
    def oldest(self, partition: int, context: str, after: int, most: int) -> Sequence[Entry]:
        return list(islice(self._walk.entries(partition, context, after), most))

    @guarded
    def entry(self, partition: int, offset: int) -> Entry | None:
        return self._reader.entry(partition, offset)

    @guarded
    def was_deleted(self, partition: int, offset: int) -> bool:
        """Whether there was an entry at this offset that has been erased."""
        batch = self._reader.batch_reaching(partition, offset)
        return batch is not None and offset in batch.removed

    @guarded
    def remember_progress(self, group: str, committed: Mapping[int, Committed]) -> None:
        self._group_progress.remember(group, committed)

    @guarded
    def progress(self, group: str) -> Mapping[int, Committed]:
        return self._group_progress.read(group)

    @guarded
    def enter(self, role: str, owner: str, partitions: frozenset[int]) -> Mapping[int, str]:
        return self._marks.enter(role, owner, partitions)

    @guarded
    def leave(self, role: str, owner: str, partitions: frozenset[int]) -> None:
        self._marks.leave(role, owner, partitions)

    @guarded
    def attempt(self, role: str, owner: str, partition: int, record: str) -> int:
        return self._marks.attempt(role, owner, partition, record)

    def close(self) -> None:
        self.connection.close()

    def _per_shard(self, command: str, name: str) -> dict[int, Any]:
        """One command on a key of each shard, in one round trip after the states."""
        partitions = list(self._reader.states())
        pipe = self._client.pipeline(transaction=False)
        for partition in partitions:
            getattr(pipe, command)(self._keys.shard(partition, name))
        return dict(zip(partitions, pipe.execute(), strict=True))
