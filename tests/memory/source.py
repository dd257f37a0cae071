"""The in-memory twin of `KafkaSource`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal

from hurnet_stream.core.stored.batch import LogIdentity
from hurnet_stream.errors import ForeignLog, StoreGap
from hurnet_stream.ports import POLL_BYTES, EndOffsets, OffsetRange, Polled, Record
from tests.memory.kafka import MemoryKafka, Partition

_NONE: frozenset[int] = frozenset()


class MemorySource:
    """Fills `hurnet_stream.ports.Source`."""

    def __init__(
        self, kafka: MemoryKafka, topic: str, group: str, *, reset: Literal["earliest", "none"] = "none"
    ) -> None:
        kafka.check_reachable()
        self._kafka = kafka
        self._cluster = kafka.cluster
        self._topic = topic
        self._reset = reset
        self._group = kafka.group(topic, group)
        self._generation = 0
        self._positions: dict[int, int] = {}
        self._paused: frozenset[int] = frozenset()
        self._lost: set[int] = set()
        self._epochs: dict[int, int] = {}
        self._rebalances = 0

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        deadline = time.monotonic() + timeout_s
        with self._kafka.changed:
            self._reach()
            assigned, revoked = self._rebalance()
            while not (records := [] if self._kafka.silent else self._take(max_records)) and not (
                assigned or revoked or self._lost
            ):
                left = deadline - time.monotonic()
                if left <= 0 or not self._kafka.changed.wait(left):
                    break
                assigned, revoked = self._rebalance()
            assigned, self._lost = assigned | self._lost, set()
            return Polled(records, assigned, revoked - assigned)

    def assignment(self) -> frozenset[int]:
        return frozenset(self._positions)

    def rebalances(self) -> int:
        return self._rebalances

    def has_share(self) -> bool:
        return self in self._group.joined and self._generation == self._group.generation

    def seek(self, partition: int, offset: int) -> None:
        if partition in self._positions:
            self._positions[partition] = offset
            self._epochs.pop(partition, None)

    def pause(self, partitions: frozenset[int]) -> None:
        self._paused = partitions

    def offset_ranges(self, partitions: frozenset[int]) -> Mapping[int, OffsetRange]:
        self._reach()
        held = {p: self._kafka.partition(self._topic, p) for p in partitions}
        return {p: OffsetRange(partition.first, partition.end) for p, partition in held.items()}

    def log(self) -> LogIdentity | None:
        self._reach()
        return LogIdentity(self._cluster, self._kafka.ids[self._topic])

    def records_at(self, offsets: Mapping[int, int]) -> Mapping[int, Record | None]:
        self._reach()
        return {p: self._kafka.partition(self._topic, p).at(offset) for p, offset in offsets.items()}

    def topic_ids(self) -> Mapping[str, str]:
        """Nothing: it reads one topic."""
        return {}

    def compacted(self, partition: int) -> bool:
        return self._topic in self._kafka.compacted

    def positions(self) -> Mapping[int, int]:
        return dict(self._positions)

    def lag(self) -> Mapping[int, int]:
        if self._kafka.away:
            return {}
        ends = {p: self._kafka.partition(self._topic, p).end for p in self._positions}
        return {p: max(0, end - self._positions[p]) for p, end in ends.items()}

    def held_back(self) -> Mapping[int, int]:
        """Nothing: a transaction in memory is over in one step."""
        return {}

    def retention_headroom(self) -> Mapping[int, float]:
        """Nothing: a topic in memory drops only what a test tells it to."""
        return {}

    def committed(self, partitions: frozenset[int]) -> Mapping[int, int | None]:
        self._reach()
        return {partition: self._group.committed.get(partition) for partition in partitions}

    def commit(self, next_offsets: Mapping[int, int], notes: Mapping[int, str] | None = None) -> None:
        self._reach()
        with self._kafka.changed:
            owned = {p: offset for p, offset in next_offsets.items() if p in self._positions}
            self._group.commit(owned, notes or {}, self._epochs)

    def cuts(self, ends: Mapping[int, int]) -> Mapping[int, int]:
        self._kafka.check_reachable()
        cuts = {p: self._cut(p, self._group.epochs.get(p, -1)) for p in ends}
        return {p: cut for p, cut in cuts.items() if cut is not None and cut < ends[p]}

    def end_offsets(self, topic: str, max_age_s: float) -> EndOffsets | None:
        if self._kafka.away or topic not in self._kafka.topics:
            return None
        ends = {p: held.end for p, held in enumerate(self._kafka.topics[topic])}
        return EndOffsets(time.monotonic(), ends, ends, self._kafka.ids[topic])

    def rewind(self) -> None:
        self._epochs.clear()
        self._positions = {p: self._next(p) for p in self._positions}

    def close(self) -> None:
        """Leave the group, as a broker makes a member leave that it no longer hears of."""
        with self._kafka.changed:
            if self._group.joined.pop(self, None) is not None:
                self._group.generation += 1
            self._positions.clear()
            self._kafka.changed.notify_all()

    def _reach(self) -> None:
        self._kafka.check_reachable()
        if self._kafka.cluster != self._cluster:
            raise ForeignLog(f"another Kafka answers here: {self._kafka.cluster}, not {self._cluster}")

    def _next(self, partition: int) -> int:
        return self._group.committed.get(partition, self._kafka.partition(self._topic, partition).first)

    def _rebalance(self) -> tuple[frozenset[int], frozenset[int]]:
        """(assigned, revoked): give everything up for a new generation; take a share of the partitions once
        every member has given up its own."""
        group = self._group
        if self in group.joined and self._generation == group.generation:
            return _NONE, _NONE
        revoked = self.assignment()
        self._positions.clear()
        self._epochs.clear()
        if self not in group.joined:
            group.generation += 1
        group.joined[self] = group.generation
        self._kafka.changed.notify_all()
        if any(joined != group.generation for joined in group.joined.values()):
            return _NONE, revoked
        self._generation = group.generation
        self._rebalances += 1
        self._positions = {p: self._next(p) for p in group.share(self, len(self._kafka.topics[self._topic]))}
        return self.assignment(), revoked

    def _take(self, max_records: int) -> list[Record]:
        taken: list[Record] = []
        size = 0
        for partition in sorted(self._positions.keys() - self._paused):
            held = self._kafka.partition(self._topic, partition)
            self._check_gap(partition, held)
            while self._positions[partition] < held.end and len(taken) < max_records and size < POLL_BYTES:
                offset = self._positions[partition]
                record = held.at(offset)
                self._epochs[partition] = record.leader_epoch if record else held.epoch_at(offset)
                self._positions[partition] += 1
                if record:
                    taken.append(record)
                    size += len(record.value or b"")
        return taken

    def _cut(self, partition: int, epoch: int) -> int | None:
        return self._kafka.partition(self._topic, partition).cut_since(epoch)

    def _check_gap(self, partition: int, held: Partition) -> None:
        """If the position is no longer in the log: raise `StoreGap`, or go to the nearest that is."""
        position = self._positions[partition]
        cut = self._cut(partition, self._epochs.get(partition, -1))
        end = held.end if cut is None else cut
        if held.first <= position <= min(held.end, end):
            return
        if self._reset == "none":
            gone = f"{self._topic}/{partition} at {position}"
            raise StoreGap(f"the topic no longer holds the next record: {gone}")
        self._positions[partition] = max(held.first, min(position, end))
        self._epochs.pop(partition, None)
        self._lost.add(partition)
