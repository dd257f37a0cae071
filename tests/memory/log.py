"""A broker in memory for tests and `evaluate`: topics, groups with eager rebalances, atomic exchanges.

It keeps to what is easily got wrong with Kafka: a partition changes hands only once its old owner has given
it up at a poll of its own, one handed back starts again at the committed offset, transactions leave holes in
the offsets, a fenced or evicted member commits nothing. `away`, `fail`, `silent` (polls bring nothing, and no
error), and what a topic refuses (`max_message` bytes, `forbidden`, `stalled`: too few replicas in sync, not
yet seen) are for tests.
"""

from __future__ import annotations

import secrets
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from hurnet.core.offsets import MAX_NOTE
from hurnet.core.stored.batch import LogIdentity
from hurnet.errors import (
    ConfigurationError,
    ForeignLog,
    KafkaFailing,
    Stalled,
    StoreGap,
    Superseded,
    Undeliverable,
)
from hurnet.ports import POLL_BYTES, Committed, EndOffsets, Fault, OffsetRange, Outgoing, Polled, Record

MAX_MESSAGE = 1 << 20


@dataclass(slots=True)
class _Partition:
    """`records[i]` has offset `first + i`; None is a hole: a transaction's marker or an aborted record."""

    first: int = 0
    records: list[Record | None] = field(default_factory=list)
    leader_epoch: int = 0
    cuts: dict[int, int] = field(default_factory=dict)
    """Where each leader that began with fewer records than its predecessor had did so."""

    @property
    def end(self) -> int:
        return self.first + len(self.records)


@dataclass(slots=True)
class _Group:
    """`joined` is the last generation that each member has given its partitions up for."""

    generation: int = 0
    joined: dict[MemorySource, int] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)

    def commit(self, offsets: Mapping[int, int], notes: Mapping[int, str], epochs: Mapping[int, int]) -> None:
        """A string beside an offset goes with it, and the epoch of the leader that was read from."""
        if any(len(note) > MAX_NOTE for note in notes.values()):
            raise ConfigurationError("committing: the string beside an offset is too long")
        self.committed.update(offsets)
        self.notes.update({partition: notes.get(partition, "") for partition in offsets})
        self.epochs.update({partition: epochs.get(partition, -1) for partition in offsets})

    def share(self, member: MemorySource, partitions: int) -> set[int]:
        """As Kafka's range assignor does: the first members get one more."""
        members = list(self.joined)
        each, more = divmod(partitions, len(members))
        i = members.index(member)
        start = i * each + min(i, more)
        return set(range(start, start + each + (i < more)))


class MemoryLog:
    """The broker. Thread-safe."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.away = False
        self.silent = False
        self.cluster = secrets.token_hex(8)
        self.changed = threading.Condition(threading.RLock())
        self.topics: dict[str, list[_Partition]] = {}
        self.ids: dict[str, str] = {}
        self.compacted: set[str] = set()
        self._groups: dict[tuple[str, str], _Group] = {}
        self._epochs: dict[str, int] = {}
        self._failures = 0
        self.max_message: dict[str, int] = {}
        self.forbidden: set[str] = set()
        self.stalled: set[str] = set()
        self._turn = count()
        self._now = now

    def create(self, topic: str, partitions: int = 1) -> None:
        """Also in place of one that is there: then the old one is deleted, with all that is in it."""
        self.topics[topic] = [_Partition() for _ in range(partitions)]
        self.ids[topic] = uuid.uuid4().hex

    def truncate(self, topic: str, partition: int, end: int) -> None:
        """What an unclean election does: from offset `end` on, acknowledged records are lost."""
        held = self.partition(topic, partition)
        del held.records[max(0, end - held.first) :]
        held.leader_epoch += 1
        held.cuts[held.leader_epoch] = held.end

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """What retention does."""
        held = self.partition(topic, partition)
        del held.records[: offset - held.first]
        held.first = offset

    def damage(self, topic: str, partition: int, offsets: int, fault: Fault) -> None:
        """The next so many offsets can't be unpacked: readers get one record for them all."""
        held = self.partition(topic, partition)
        first = held.end
        stands_for = Record(
            topic, partition, first + offsets - 1, -1, None, b"", fault=replace(fault, first=first)
        )
        held.records += [None] * (offsets - 1) + [stands_for]

    def fail(self, deliveries: int) -> None:
        """The next so many deliveries are aborted."""
        self._failures = deliveries

    def failing(self) -> bool:
        self._failures -= 1
        return self._failures >= 0

    def records(self, topic: str) -> list[Record]:
        """All that a reader of committed records would see, by partition and offset."""
        return [record for held in self.topics[topic] for record in held.records if record]

    def group(self, topic: str, name: str) -> _Group:
        return self._groups.setdefault((topic, name), _Group())

    def partition(self, topic: str, partition: int) -> _Partition:
        return self.topics[topic][partition]

    def fence(self, transactional_id: str) -> int:
        """The new epoch; every earlier one is fenced."""
        self._epochs[transactional_id] = self.epoch(transactional_id) + 1
        return self._epochs[transactional_id]

    def epoch(self, transactional_id: str) -> int:
        return self._epochs.get(transactional_id, 0)

    def check_reachable(self) -> None:
        if self.away:
            raise KafkaFailing("the in-memory log is away")

    def append(
        self, messages: Sequence[Outgoing], mark: Literal["", "committed", "aborted"] = ""
    ) -> list[tuple[int, int]]:
        """The (partition, offset) of each. With a `mark`, as one transaction: a hole ends each partition."""
        self._check(messages)
        with self.changed:
            placed = [self._add(message, hidden=mark == "aborted") for message in messages]
            if mark:
                touched = {(m.topic, partition) for m, (partition, _) in zip(messages, placed, strict=True)}
                for topic, partition in touched:
                    self.partition(topic, partition).records.append(None)
            self.changed.notify_all()
            return placed

    def has(self, topic: str) -> bool:
        """Whether it exists; one that we may not write to may be seen all the same."""
        return topic in self.topics

    def _check(self, messages: Sequence[Outgoing]) -> None:
        closed = {m.topic for m in messages if not self.has(m.topic) or m.topic in self.forbidden}
        if closed:
            suspects = {i for i, message in enumerate(messages) if message.topic in closed}
            names = ", ".join(sorted(closed))
            raise Undeliverable(f"no such topic, or no right to it: {names}", suspects, closed)
        for i, message in enumerate(messages):
            if problem := self._problem(message):
                raise Undeliverable(f"sending to {message.topic}: {problem}", {i})
        if waiting := {message.topic for message in messages} & self.stalled:
            raise Stalled(f"no acknowledgement in time from {', '.join(sorted(waiting))}", waiting)

    def _problem(self, message: Outgoing) -> str | None:
        if message.partition is not None and message.partition >= len(self.topics[message.topic]):
            return f"there is no partition {message.partition}"
        size = len(message.value or b"") + len(message.key or b"")
        size += sum(len(name) + len(value or b"") for name, value in message.headers)
        most = self.max_message.get(message.topic, MAX_MESSAGE)
        return f"the message is too large ({size:,} bytes)" if size > most else None

    def _add(self, m: Outgoing, hidden: bool) -> tuple[int, int]:
        partitions = self.topics[m.topic]
        partition = m.partition
        if partition is None:
            partition = (next(self._turn) if m.key is None else zlib.crc32(m.key)) % len(partitions)
        held = partitions[partition]
        stamp = round(self._now() * 1000) if m.timestamp_ms is None else m.timestamp_ms
        at = m.topic, partition, held.end, stamp
        record = Record(*at, m.key, m.value, m.headers, leader_epoch=held.leader_epoch)
        held.records.append(None if hidden else record)
        return partition, record.offset


class MemorySource:
    """Fills `hurnet.ports.Source`."""

    def __init__(
        self, log: MemoryLog, topic: str, group: str, *, reset: Literal["earliest", "none"] = "none"
    ) -> None:
        log.check_reachable()
        self._log = log
        self._cluster = log.cluster
        self._topic = topic
        self._reset = reset
        self._group = log.group(topic, group)
        self._generation = 0
        self._positions: dict[int, int] = {}
        self._paused: frozenset[int] = frozenset()
        self._lost: set[int] = set()
        self._epochs: dict[int, int] = {}

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        deadline = time.monotonic() + timeout_s
        with self._log.changed:
            self._reach()
            assigned, revoked = self._rebalance()
            while not (records := [] if self._log.silent else self._take(max_records)) and not (
                assigned or revoked or self._lost
            ):
                left = deadline - time.monotonic()
                if left <= 0 or not self._log.changed.wait(left):
                    break
                assigned, revoked = self._rebalance()
            assigned, self._lost = assigned | self._lost, set()
            return Polled(records, assigned, revoked - assigned)

    def assignment(self) -> frozenset[int]:
        return frozenset(self._positions)

    def seek(self, partition: int, offset: int) -> None:
        if partition in self._positions:
            self._positions[partition] = offset
            self._epochs.pop(partition, None)

    def pause(self, partitions: frozenset[int]) -> None:
        self._paused = partitions

    def offset_ranges(self, partitions: frozenset[int]) -> Mapping[int, OffsetRange]:
        self._reach()
        held = {p: self._log.partition(self._topic, p) for p in partitions}
        return {p: OffsetRange(partition.first, partition.end) for p, partition in held.items()}

    def log(self) -> LogIdentity | None:
        self._reach()
        return LogIdentity(self._cluster, self._log.ids[self._topic])

    def records_at(self, offsets: Mapping[int, int]) -> Mapping[int, Record | None]:
        self._reach()
        held = {p: self._log.partition(self._topic, p) for p in offsets}
        return {
            p: held[p].records[offset - held[p].first] if held[p].first <= offset < held[p].end else None
            for p, offset in offsets.items()
        }

    def compacted(self) -> bool:
        return self._topic in self._log.compacted

    def positions(self) -> Mapping[int, int]:
        return dict(self._positions)

    def lag(self) -> Mapping[int, int]:
        if self._log.away:
            return {}
        ends = {p: self._log.partition(self._topic, p).end for p in self._positions}
        return {p: max(0, end - self._positions[p]) for p, end in ends.items()}

    def held_back(self) -> Mapping[int, int]:
        """Transactions here are over in one step."""
        return {}

    def committed(self, partitions: frozenset[int]) -> Mapping[int, int | None]:
        self._reach()
        return {partition: self._group.committed.get(partition) for partition in partitions}

    def commit(self, next_offsets: Mapping[int, int], notes: Mapping[int, str] | None = None) -> None:
        self._reach()
        with self._log.changed:
            owned = {p: offset for p, offset in next_offsets.items() if p in self._positions}
            self._group.commit(owned, notes or {}, self._epochs)

    def cuts(self, ends: Mapping[int, int]) -> Mapping[int, int]:
        self._log.check_reachable()
        found = {p: self._cut(p, self._group.epochs.get(p, -1)) for p in ends}
        return {p: at for p, at in found.items() if at is not None and at < ends[p]}

    def end_offsets(self, topic: str, max_age_s: float) -> EndOffsets | None:
        if self._log.away or topic not in self._log.topics:
            return None
        ends = {p: held.end for p, held in enumerate(self._log.topics[topic])}
        return EndOffsets(time.monotonic(), ends, ends, self._log.ids[topic])

    def close(self) -> None:
        """Also what a broker does to a member that it no longer hears of."""
        with self._log.changed:
            if self._group.joined.pop(self, None) is not None:
                self._group.generation += 1
            self._positions.clear()
            self._log.changed.notify_all()

    def _reach(self) -> None:
        self._log.check_reachable()
        if self._log.cluster != self._cluster:
            raise ForeignLog(f"another Kafka answers here: {self._log.cluster}, not {self._cluster}")

    def rewind(self) -> None:
        self._epochs.clear()
        self._positions = {p: self._next(p) for p in self._positions}

    def _next(self, partition: int) -> int:
        return self._group.committed.get(partition, self._log.partition(self._topic, partition).first)

    def _rebalance(self) -> tuple[frozenset[int], frozenset[int]]:
        """(assigned, revoked): give all up for a new generation, take a share once everyone has done so."""
        group = self._group
        none: frozenset[int] = frozenset()
        if self in group.joined and self._generation == group.generation:
            return none, none
        revoked = self.assignment()
        self._positions.clear()
        self._epochs.clear()
        if self not in group.joined:
            group.generation += 1
        group.joined[self] = group.generation
        self._log.changed.notify_all()
        if any(joined != group.generation for joined in group.joined.values()):
            return none, revoked
        self._generation = group.generation
        self._positions = {p: self._next(p) for p in group.share(self, len(self._log.topics[self._topic]))}
        return self.assignment(), revoked

    def _take(self, max_records: int) -> list[Record]:
        taken: list[Record] = []
        size = 0
        for partition in sorted(self._positions.keys() - self._paused):
            held = self._log.partition(self._topic, partition)
            self._check_gap(partition, held)
            while self._positions[partition] < held.end and len(taken) < max_records and size < POLL_BYTES:
                record = held.records[self._positions[partition] - held.first]
                self._positions[partition] += 1
                if record:
                    taken.append(record)
                    size += len(record.value or b"")
                    self._epochs[partition] = record.leader_epoch
        return taken

    def _cut(self, partition: int, epoch: int) -> int | None:
        """Where the log was first cut off since a leader of that epoch; None if it was not."""
        cuts = self._log.partition(self._topic, partition).cuts
        return min((at for leader, at in cuts.items() if leader > epoch >= 0), default=None)

    def _check_gap(self, partition: int, held: _Partition) -> None:
        position = self._positions[partition]
        cut = self._cut(partition, self._epochs.get(partition, -1))
        if held.first <= position <= min(held.end, held.end if cut is None else cut):
            return
        if self._reset == "none":
            gone = f"{self._topic}/{partition} at {position}"
            raise StoreGap(f"the topic no longer holds the next record: {gone}")
        self._positions[partition] = max(held.first, min(position, held.end if cut is None else cut))
        self._epochs.pop(partition, None)
        self._lost.add(partition)


class MemorySink:
    """Fills `hurnet.ports.Sink`."""

    def __init__(self, log: MemoryLog) -> None:
        log.check_reachable()
        self._log = log

    def send(self, messages: Sequence[Outgoing]) -> Sequence[tuple[int, int]]:
        self._log.check_reachable()
        try:
            return self._log.append(messages)
        except Undeliverable as error:
            if error.topics:
                raise ConfigurationError(str(error)) from error
            raise

    def close(self) -> None:
        """Nothing to free."""


class MemoryExchange(MemorySource):
    """Fills `hurnet.ports.Exchange`."""

    def __init__(self, log: MemoryLog, topic: str, group: str, transactional_id: str) -> None:
        super().__init__(log, topic, group, reset="earliest")
        self._transactional_id = transactional_id
        self._epoch = log.fence(transactional_id)

    def progress(self, partitions: frozenset[int]) -> Mapping[int, Committed | None]:
        return {
            p: None if offset is None else Committed(offset, self._group.notes.get(p, ""))
            for p, offset in self.committed(partitions).items()
        }

    def deliver(
        self,
        messages: Sequence[Outgoing],
        next_offsets: Mapping[int, int],
        notes: Mapping[int, str] | None = None,
    ) -> bool:
        with self._log.changed:
            if self._epoch != self._log.epoch(self._transactional_id):
                raise Superseded(f"another worker uses the transactional id {self._transactional_id}")
            if self._log.away or not self._positions.keys() >= next_offsets.keys():
                self.rewind()
                return False
            try:
                failing = self._log.failing()
                self._log.append(messages, mark="aborted" if failing else "committed")
            except (Stalled, Undeliverable):
                self.rewind()
                raise
            if failing:
                self.rewind()
                return False
            self._group.commit(next_offsets, notes or {}, self._epochs)
            return True

    def has_topic(self, topic: str) -> bool:
        self._log.check_reachable()
        return self._log.has(topic)

    def unwritable(self, topic: str) -> str | None:
        self._log.check_reachable()
        return None if self._log.has(topic) else "it does not exist"
