"""A Kafka in memory: topics, groups with eager rebalances, transactions.

It keeps to what is easily got wrong with Kafka:

- A partition changes hands only once its old owner has given it up, at a poll of its own.
- A partition that is handed back starts again at the committed offset.
- A transaction leaves holes in the offsets: its marker, and the records of an aborted one.
- A member that was fenced or evicted commits nothing.

For tests it can also fail: it is `away` (every call raises), `silent` (polls bring nothing, and no error), it
aborts deliveries (`fail`), and a topic may refuse messages (`max_message_bytes`, `earliest_ms`, `needs_keys`,
`forbidden`) or have too few replicas in sync to acknowledge them (`stalled`).
"""

from __future__ import annotations

import secrets
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from hurnet_stream.core.offsets import MAX_NOTE
from hurnet_stream.errors import ConfigurationError, KafkaFailing, Stalled, TooLarge, Undeliverable
from hurnet_stream.ports import Fault, Outgoing, Record

MAX_MESSAGE_BYTES = 1 << 20


@dataclass(slots=True)
class Partition:
    """`records[i]` has the offset `first + i`. None is a hole in the offsets."""

    first: int = 0
    records: list[Record | None] = field(default_factory=list)
    leader_epoch: int = 0
    cuts: dict[int, int] = field(default_factory=dict)
    """By leader epoch: the end of the log when that leader took over, if it had lost records."""

    @property
    def end(self) -> int:
        return self.first + len(self.records)

    def at(self, offset: int) -> Record | None:
        """The record at `offset`; None if there is a hole, or if the offset lies outside of the partition."""
        return self.records[offset - self.first] if self.first <= offset < self.end else None

    def epoch_at(self, offset: int) -> int:
        """The epoch of the leader that wrote what is at `offset`, a hole included."""
        return max((leader for leader, end in self.cuts.items() if end <= offset), default=0)

    def cut_since(self, epoch: int) -> int | None:
        """The lowest offset at which the log was cut off since the leader of `epoch`; None if it was not."""
        return min((end for leader, end in self.cuts.items() if leader > epoch >= 0), default=None)


@dataclass(slots=True)
class Group:
    """`joined` holds, by member, the last generation for which it has given its partitions up."""

    generation: int = 0
    joined: dict[Hashable, int] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)

    def commit(self, offsets: Mapping[int, int], notes: Mapping[int, str], epochs: Mapping[int, int]) -> None:
        """With each offset goes a string, and the epoch of the leader that was read from."""
        if any(len(note) > MAX_NOTE for note in notes.values()):
            raise ConfigurationError("committing: the string beside an offset is too long")
        self.committed.update(offsets)
        self.notes.update({partition: notes.get(partition, "") for partition in offsets})
        self.epochs.update({partition: epochs.get(partition, -1) for partition in offsets})

    def share(self, member: Hashable, partitions: int) -> set[int]:
        """The partitions of `member`, as Kafka's range assignor does it: the first get one more."""
        members = list(self.joined)
        each, more = divmod(partitions, len(members))
        i = members.index(member)
        start = i * each + min(i, more)
        return set(range(start, start + each + (i < more)))


class MemoryKafka:
    """A cluster with one broker. Thread-safe."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.away = False
        self.silent = False
        self.cluster = secrets.token_hex(8)
        self.changed = threading.Condition(threading.RLock())
        self.topics: dict[str, list[Partition]] = {}
        self.ids: dict[str, str] = {}
        self.compacted: set[str] = set()
        self.max_message_bytes: dict[str, int] = {}
        self.earliest_ms: dict[str, int] = {}
        self.needs_keys: set[str] = set()
        self.forbidden: set[str] = set()
        self.stalled: set[str] = set()
        self._groups: dict[tuple[str, str], Group] = {}
        self._epochs: dict[str, int] = {}
        self._failures_left = 0
        self._round_robin = count()
        self._now = now

    def create(self, topic: str, partitions: int = 1) -> None:
        """Create a topic. If there is one of that name, it is deleted first with all that is in it."""
        self.topics[topic] = [Partition() for _ in range(partitions)]
        self.ids[topic] = uuid.uuid4().hex

    def truncate(self, topic: str, partition: int, end: int) -> None:
        """Lose acknowledged records from offset `end` on, as an unclean election of a leader does."""
        held = self.partition(topic, partition)
        del held.records[max(0, end - held.first) :]
        held.leader_epoch += 1
        held.cuts[held.leader_epoch] = held.end

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Drop what lies before `offset`, as retention does."""
        held = self.partition(topic, partition)
        del held.records[: offset - held.first]
        held.first = offset

    def damage(self, topic: str, partition: int, offsets: int, fault: Fault) -> None:
        """Append a batch of `offsets` records that can't be unpacked: readers get one for it all."""
        held = self.partition(topic, partition)
        first = held.end
        stands_for = Record(
            topic, partition, first + offsets - 1, -1, None, b"", fault=replace(fault, first=first)
        )
        held.records += [None] * (offsets - 1) + [stands_for]

    def fail(self, deliveries: int) -> None:
        """Abort the next `deliveries` transactions."""
        self._failures_left = deliveries

    def failing(self) -> bool:
        """Whether the transaction that asks is to be aborted."""
        self._failures_left -= 1
        return self._failures_left >= 0

    def records(self, topic: str) -> list[Record]:
        """All that a reader of committed records would see, by partition and offset."""
        return [record for held in self.topics[topic] for record in held.records if record]

    def group(self, topic: str, name: str) -> Group:
        return self._groups.setdefault((topic, name), Group())

    def partition(self, topic: str, partition: int) -> Partition:
        return self.topics[topic][partition]

    def fence(self, transactional_id: str) -> int:
        """Begin a new epoch of this id, which fences every producer of an earlier one."""
        self._epochs[transactional_id] = self.epoch(transactional_id) + 1
        return self._epochs[transactional_id]

    def epoch(self, transactional_id: str) -> int:
        return self._epochs.get(transactional_id, 0)

    def check_reachable(self) -> None:
        if self.away:
            raise KafkaFailing("the in-memory Kafka is away")

    def append(
        self, messages: Sequence[Outgoing], mark: Literal["", "committed", "aborted"] = ""
    ) -> list[tuple[int, int]]:
        """The (partition, offset) of each message. With a `mark` the messages are one transaction, whose
        marker is a hole at the end of each partition that it touched."""
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
        """Whether it exists. One that we may not write to can be seen all the same."""
        return topic in self.topics

    def _check(self, messages: Sequence[Outgoing]) -> None:
        closed = {m.topic for m in messages if not self.has(m.topic) or m.topic in self.forbidden}
        if closed:
            suspects = {i for i, message in enumerate(messages) if message.topic in closed}
            names = ", ".join(sorted(closed))
            raise Undeliverable(f"no such topic, or no right to it: {names}", suspects, closed)
        for i, message in enumerate(messages):
            if problem := self._problem(message):
                kind = TooLarge if "large" in problem else Undeliverable
                raise kind(f"sending to {message.topic}: {problem}", {i})
        if waiting := {message.topic for message in messages} & self.stalled:
            raise Stalled(f"no acknowledgement in time from {', '.join(sorted(waiting))}", waiting)

    def _problem(self, message: Outgoing) -> str | None:
        topic, at_ms = message.topic, message.timestamp_ms
        if message.partition is not None and message.partition >= len(self.topics[topic]):
            return f"there is no partition {message.partition}"
        if at_ms is not None and at_ms < self.earliest_ms.get(topic, at_ms):
            return f"timestamp {at_ms} is out of range"
        if topic in self.needs_keys and message.key is None:
            return "a compacted topic takes no message without a key"
        size = len(message.value or b"") + len(message.key or b"")
        size += sum(len(name) + len(value or b"") for name, value in message.headers)
        most = self.max_message_bytes.get(topic, MAX_MESSAGE_BYTES)
        return f"the message is too large ({size:,} bytes)" if size > most else None

    def _add(self, message: Outgoing, hidden: bool) -> tuple[int, int]:
        partition = self._partition_of(message)
        held = self.partition(message.topic, partition)
        timestamp_ms = round(self._now() * 1000) if message.timestamp_ms is None else message.timestamp_ms
        record = Record(
            *(message.topic, partition, held.end, timestamp_ms, message.key, message.value, message.headers),
            leader_epoch=held.leader_epoch,
        )
        held.records.append(None if hidden else record)
        return partition, record.offset

    def _partition_of(self, message: Outgoing) -> int:
        """As a client chooses: by the message itself, by its key, or else in turn."""
        if message.partition is not None:
            return message.partition
        number = next(self._round_robin) if message.key is None else zlib.crc32(message.key)
        return number % len(self.topics[message.topic])
