"""All queries that were read and are not answered: in the order of their partitions, except for those that
wait for their `min_watermarks` (parking.py).

Since those behind a parked query are answered before it, one offset does not say which queries of a partition
are done. `done` gives what to commit, and `resume` takes it up again after a restart:

    offset      10  11  12  13  14  15         10 and 13 are parked, 11, 12 and 14 answered, 15 not yet
                 P   .   .   P   .  next       done: all before 15 except 10 and 13
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hurnet_schemas.places import ShardName
from hurnet_stream.core.offsets import Done
from hurnet_stream.ports import Record
from hurnet_stream.responder.ends import Ends
from hurnet_stream.responder.parking import MOST_PARKED, MOST_PARKED_BYTES, Parking
from hurnet_stream.responder.pending import Pending, pending_of


@dataclass(slots=True)
class _Lane:
    """A partition of queries. `open` are all that are not answered, by ascending offset, and `queue` those of
    them that are neither parked nor taken. `end` is the next offset to be read. All before `top` that is not
    open is done. `before` is what was done when reading began here."""

    end: int
    top: int
    before: Done
    queue: deque[Pending] = field(default_factory=deque)
    open: dict[int, Pending] = field(default_factory=dict)

    def done(self, answered: Iterable[int]) -> Done:
        """What is done of the partition once the offsets `answered` are."""
        now_done = set(answered)
        top = max(self.top, max(now_done, default=-1) + 1)
        # What was open at the start and has not been read again is still open.
        unread = [offset for offset in self.before.open if offset >= self.end]
        still_open = [offset for offset in self.open if offset not in now_done] + unread
        end = next((offset for offset in still_open if offset >= top), max(self.end, top))
        return Done(end, tuple(offset for offset in still_open if offset < top), self.before.log)


class PendingQueries:
    """The queries of all partitions that this responder reads."""

    def __init__(
        self,
        wait_s: float,
        most_parked: int = MOST_PARKED,
        most_bytes: int = MOST_PARKED_BYTES,
        texts: str = "",
    ) -> None:
        """`texts` is the name of the topic of texts."""
        self._wait_s = wait_s
        self._texts = texts
        self._parking = Parking(most_parked, most_bytes)
        self._lanes: dict[int, _Lane] = {}
        self._odd = False

    def __len__(self) -> int:
        return self.parked + sum(len(lane.queue) for lane in self._lanes.values())

    @property
    def parked(self) -> int:
        """How many wait for their min_watermarks."""
        return len(self._parking)

    @property
    def unsure(self) -> frozenset[str | None]:
        """The topics whose end offsets it takes to say if some of them can ever be answered; None: texts."""
        return self._parking.unsure

    def open(self, partition: int) -> int:
        """How many queries of the partition were read and have no reply."""
        lane = self._lanes.get(partition)
        return len(lane.open) if lane else 0

    def oldest(self) -> list[tuple[int, float]]:
        """Of each partition, the first query that has no reply: (timestamp in ms, when it was read, in
        seconds since 1970)."""
        epoch_s = time.time() - time.monotonic()
        first = (next(iter(lane.open.values())) for lane in self._lanes.values() if lane.open)
        return [(pending.record.timestamp_ms, epoch_s + pending.received) for pending in first]

    def resume(self, partition: int, done: Done) -> None:
        """`partition` is read from `done.next` on. What of it is done will be passed over."""
        self.drop([partition])
        self._lanes[partition] = _Lane(done.next, done.end, done)

    def add(self, records: Sequence[Record], now: float) -> None:
        """Decode and queue `records`, without those that are done already."""
        now_ms = time.time() * 1000
        for record in records:
            start = Done(record.offset)
            lane = self._lanes.setdefault(record.partition, _Lane(record.offset, record.offset, start))
            lane.end = record.offset + 1
            if not lane.before.covers(record.offset):
                pending = pending_of(record, self._wait_s, now, now_ms, self._texts)
                lane.open[record.offset] = pending
                lane.queue.append(pending)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget what is held of `partitions`. It will be delivered again, here or elsewhere."""
        for partition in partitions:
            self._lanes.pop(partition, None)
            self._parking.drop(partition)

    def partitions(self) -> frozenset[int]:
        """Those with queries in their queue, which are to be answered before more are read."""
        return frozenset(partition for partition, lane in self._lanes.items() if lane.queue)

    def take(
        self, watermarks: Mapping[ShardName, int], now: float, most: int, ends: Ends | None = None
    ) -> list[Pending]:
        """Up to `most` queries that are next: ready to be answered, timed out, or waiting in vain. They count
        as not done until they are `settled`.

        `watermarks` are those of the entries in memory, `ends` the end offsets of the topics."""
        # Half of the room is for queries that have waited, so that neither kind can starve the other.
        self._odd = not self._odd
        room = (most + self._odd) // 2 if self.partitions() else most
        taken = self._parking.wake(self._lanes, watermarks, now, room, ends)
        for lane in self._lanes.values():
            while lane.queue and len(taken) < most:
                pending = self._unless_parked(lane.queue.popleft(), watermarks, now, ends)
                if pending is not None:
                    taken.append(pending)
        for partition in {pending.record.partition for pending in taken}:
            self._lanes[partition] = self._lanes.pop(partition)  # the next time, others come first
        return taken

    def overdue(self, now: float, most: int, reason: str) -> list[Pending]:
        """While no question can be answered, for `reason`: up to `most` of those that need no answer, since
        they are rejected, and of those that have waited for too long. The others stay."""
        taken = self._parking.wake(self._lanes, {}, now, most, None)
        for lane in self._lanes.values():
            waiting = deque[Pending]()
            for pending in lane.queue:
                settled = bool(pending.rejection or pending.in_vain)
                if len(taken) < most and (settled or pending.deadline <= now):
                    taken.append(pending if settled else replace(pending, in_vain=reason))
                else:
                    waiting.append(pending)
            lane.queue = waiting
        return taken

    def give_back(self, taken: Sequence[Pending]) -> None:
        """There was no time for these: the next time they are first."""
        for pending in reversed(taken):
            self._lanes[pending.record.partition].queue.appendleft(pending)

    def done(self, answered: Sequence[Pending]) -> dict[int, Done]:
        """What is done of their partitions once `answered` are delivered: to be committed with them."""
        offsets: dict[int, list[int]] = {}
        for pending in answered:
            offsets.setdefault(pending.record.partition, []).append(pending.record.offset)
        return {
            partition: self._lanes[partition].done(its_offsets) for partition, its_offsets in offsets.items()
        }

    def settle(self, answered: Sequence[Pending]) -> None:
        """`answered` are delivered."""
        for pending in answered:
            lane = self._lanes[pending.record.partition]
            lane.top = max(lane.top, pending.record.offset + 1)
            lane.open.pop(pending.record.offset, None)

    def _unless_parked(
        self, pending: Pending, watermarks: Mapping[ShardName, int], now: float, ends: Ends | None
    ) -> Pending | None:
        """The query if it is to be answered now; None once it is parked."""
        if pending.rejection or pending.in_vain or pending.deadline <= now:
            return pending
        lacking = pending.watermarks_not_reached(watermarks)
        if not lacking:
            return pending
        reason = self._parking.park(pending, lacking, ends)
        return replace(pending, in_vain=reason) if reason else None
