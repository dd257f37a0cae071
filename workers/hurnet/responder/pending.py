"""Queries on their way to an answer: decoded, in the order of their partition, or parked.

A query that has to wait for its `min_watermarks` is parked, and those behind it go on. It waits for
`HURNET_RESPONDER_WAIT` at most, and not at all if what it waits for cannot come: a partition that does not
exist, or an offset at which nothing was written yet when the query was read. So many queries are parked at
most, and so many bytes; one that finds no place is answered at once, as timed out.

Which records of a partition are done is therefore not one offset: `done` says it for the commit, and `place`
takes it up again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hurnet.core.offsets import Done
from hurnet.core.stored.batch import NOTHING
from hurnet.ports import EndOffsets, Record
from hurnet_schemas import InvalidMessage, Query
from hurnet_schemas.dead_letter import Reason

MOST_PARKED = 500
"""Per partition: what is committed beside the offset names each of them, in 4,096 characters at most."""
MOST_PARKED_IN_ALL = 4_000
MOST_PARKED_BYTES = 64 << 20
_BYTES_A_WATERMARK = 200
LEAST_AGE_MS = 1_000
"""Clocks of two machines differ: a question is not called too old before that."""
MOST_AGE_MS = 30 * 86_400_000
"""A timestamp that lies further back is no time at which someone asked (0, or seconds for milliseconds)."""

MAX_CORRELATION_BYTES = 256


@dataclass(frozen=True, slots=True)
class Pending:
    """A query record. Without a query it is rejected, for `rejection`; `in_vain` says why it is answered as
    timed out without another look. Times are monotonic seconds."""

    record: Record
    query: Query | None
    rejection: tuple[Reason, str] | None
    received: float
    deadline: float
    in_vain: str | None = None

    @property
    def id(self) -> str:
        """The query's own id, else the correlation-id header, else the record's coordinates."""
        if self.query and self.query.id:
            return self.query.id
        return self.correlation.decode("utf-8", "replace") or self.record.coordinates

    @property
    def correlation(self) -> bytes:
        """The correlation-id header, as it is repeated: empty if there is none, or one that is too long."""
        correlation = self.record.header("correlation-id") or b""
        return correlation if len(correlation) <= MAX_CORRELATION_BYTES else b""

    @property
    def reply_to(self) -> str | None:
        """The topic that the reply-to header names; a name that can't be one is cut."""
        topic = self.record.header("reply-to")
        return None if topic is None else topic[:1_000].decode("utf-8", "replace")

    def rejected(self, reason: Reason, detail: str) -> Pending:
        """This query, put aside; an earlier rejection stands."""
        return self if self.rejection else replace(self, rejection=(reason, detail))

    def lacking(self, watermarks: Mapping[int, int]) -> dict[int, int]:
        """The watermarks it asks for that the context has not reached."""
        wanted = self.query.min_watermarks if self.query else {}
        return {p: offset for p, offset in wanted.items() if watermarks.get(p, NOTHING) < offset}


@dataclass(slots=True)
class _Parked:
    """A query that waits for what is `lacking`. It is `possible` once the topic was seen to reach so far."""

    pending: Pending
    lacking: list[tuple[int, int]]
    possible: bool = False

    @property
    def size(self) -> int:
        return len(self.pending.record.value or b"") + _BYTES_A_WATERMARK * len(self.lacking)

    def reached(self, watermarks: Mapping[int, int]) -> bool:
        while self.lacking and watermarks.get(self.lacking[-1][0], NOTHING) >= self.lacking[-1][1]:
            self.lacking.pop()
        return not self.lacking

    def never(self, ends: EndOffsets | None) -> str | None:
        """Why what is lacking cannot come, as far as `ends` can tell."""
        if ends is None or self.possible:
            return None
        beyond = [(p, o) for p, o in self.lacking if o >= ends.written.get(p, 0)]
        self.possible = not beyond
        if not beyond or ends.asked < self.pending.received:
            return None
        partition, offset = beyond[0]
        if partition not in ends.written:
            return f"there is no partition {partition} of texts"
        end = ends.written[partition]
        return f"partition {partition} of texts ends before offset {end}: there is no {offset}"


@dataclass(slots=True)
class _Lane:
    """A partition of queries. `open` are all that are not answered, by ascending offset, `turn` those of them
    that are next, `parked` those that wait; `end` is the next offset to be read. Before `top` all that is not
    open is done; `before` is what was done when reading began here."""

    end: int
    top: int
    before: Done
    turn: deque[Pending] = field(default_factory=deque)
    open: dict[int, Pending] = field(default_factory=dict)
    parked: dict[int, _Parked] = field(default_factory=dict)

    def done(self, answered: Iterable[int]) -> Done:
        """What is done once the offsets `answered` are."""
        now = set(answered)
        top = max(self.top, max(now, default=-1) + 1)
        unread = [offset for offset in self.before.open if offset >= self.end]
        left = [offset for offset in self.open if offset not in now] + unread
        beyond = next((offset for offset in left if offset >= top), max(self.end, top))
        return Done(beyond, tuple(offset for offset in left if offset < top), self.before.log)


class PendingQueries:
    """In order per partition, except for those that wait."""

    def __init__(
        self, wait_s: float, most_parked: int = MOST_PARKED, most_bytes: int = MOST_PARKED_BYTES
    ) -> None:
        self._wait_s = wait_s
        self._most_parked = most_parked
        self._most_bytes = most_bytes
        self._lanes: dict[int, _Lane] = {}
        self._bytes = 0
        self._seen: Mapping[int, int] | None = None
        self._asked = float("-inf")
        self._odd = False

    def __len__(self) -> int:
        return self.parked + sum(len(lane.turn) for lane in self._lanes.values())

    @property
    def parked(self) -> int:
        """How many wait for their min_watermarks."""
        return sum(len(lane.parked) for lane in self._lanes.values())

    @property
    def unsure(self) -> bool:
        """Whether it takes the topic's end offsets to say if some of them can ever be answered."""
        return any(not parked.possible for parked in self._waiting())

    def place(self, partition: int, done: Done) -> None:
        """`partition` is read from `done.next` on; what of it is done will be passed over."""
        self.drop([partition])
        self._lanes[partition] = _Lane(done.next, done.end, done)

    def add(self, records: Sequence[Record], now: float) -> None:
        """Decode and queue `records`, those that are done already left out."""
        now_ms = time.time() * 1000
        for record in records:
            start = Done(record.offset)
            lane = self._lanes.setdefault(record.partition, _Lane(record.offset, record.offset, start))
            lane.end = record.offset + 1
            if not lane.before.covers(record.offset):
                pending = lane.open[record.offset] = self._decode(record, now, now_ms)
                lane.turn.append(pending)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget what is queued of `partitions`; it will be delivered again, here or elsewhere."""
        for partition in partitions:
            lane = self._lanes.pop(partition, None)
            self._bytes -= sum(parked.size for parked in lane.parked.values()) if lane else 0

    def partitions(self) -> frozenset[int]:
        """Those with queries whose turn it is: they are to be answered before more are read."""
        return frozenset(partition for partition, lane in self._lanes.items() if lane.turn)

    def take(
        self, watermarks: Mapping[int, int], now: float, most: int, ends: EndOffsets | None = None
    ) -> list[Pending]:
        """Up to `most` queries whose turn it is: ready to be answered, timed out, or waiting in vain. They
        count as not done until they are `settled`."""
        self._odd = not self._odd
        room = (most + self._odd) // 2 if self.partitions() else most
        taken = self._awake(watermarks, now, room, ends)
        for lane in self._lanes.values():
            while lane.turn and len(taken) < most:
                pending = self._unless_parked(lane, lane.turn.popleft(), watermarks, now, ends)
                if pending is not None:
                    taken.append(pending)
        for partition in {
            pending.record.partition for pending in taken
        }:  # who had a turn is last in the next
            self._lanes[partition] = self._lanes.pop(partition)
        return taken

    def give_back(self, taken: Sequence[Pending]) -> None:
        """There was no time for these in this turn: in the next they are first."""
        for pending in reversed(taken):
            self._lanes[pending.record.partition].turn.appendleft(pending)

    def done(self, answered: Sequence[Pending]) -> dict[int, Done]:
        """What is done of their partitions once `answered` are delivered: to be committed with them."""
        offsets: dict[int, list[int]] = {}
        for pending in answered:
            offsets.setdefault(pending.record.partition, []).append(pending.record.offset)
        return {partition: self._lanes[partition].done(mine) for partition, mine in offsets.items()}

    def settle(self, answered: Sequence[Pending]) -> None:
        """They are delivered."""
        for pending in answered:
            lane = self._lanes[pending.record.partition]
            lane.top = max(lane.top, pending.record.offset + 1)
            lane.open.pop(pending.record.offset, None)

    def _waiting(self) -> Iterator[_Parked]:
        for lane in self._lanes.values():
            yield from lane.parked.values()

    def _unless_parked(
        self,
        lane: _Lane,
        pending: Pending,
        watermarks: Mapping[int, int],
        now: float,
        ends: EndOffsets | None,
    ) -> Pending | None:
        """The query if it is to be answered now; None once it is parked."""
        lacking = {} if pending.rejection or pending.in_vain else pending.lacking(watermarks)
        if not lacking or pending.deadline <= now:
            return pending
        parked = _Parked(pending, list(lacking.items()))
        if reason := parked.never(ends) or self._full(lane, parked):
            return replace(pending, in_vain=reason)
        lane.parked[pending.record.offset] = parked
        self._bytes += parked.size
        self._seen = None
        return None

    def _full(self, lane: _Lane, parked: _Parked) -> str | None:
        many = len(lane.parked) >= self._most_parked or self.parked >= MOST_PARKED_IN_ALL
        if many or self._bytes + parked.size > self._most_bytes:
            return f"{self.parked} questions wait for their min_watermarks already, and no more may"
        return None

    def _awake(
        self, watermarks: Mapping[int, int], now: float, most: int, ends: EndOffsets | None
    ) -> list[Pending]:
        """Those that have waited enough. They are looked at when something changed: there may be many."""
        asked = ends.asked if ends else self._asked
        due = any(parked.pending.deadline <= now for parked in self._waiting())
        if watermarks == self._seen and asked == self._asked and not due:
            return []
        awake: list[Pending] = []
        for lane in self._lanes.values():
            awake += self._awake_in(lane, watermarks, now, most - len(awake), ends)
        self._seen, self._asked = (None if len(awake) >= most else watermarks), asked
        return awake

    def _awake_in(
        self, lane: _Lane, watermarks: Mapping[int, int], now: float, most: int, ends: EndOffsets | None
    ) -> list[Pending]:
        awake: list[Pending] = []
        for offset, parked in list(lane.parked.items()):
            if len(awake) >= most:
                break
            size = parked.size
            reason = None
            if not parked.reached(watermarks) and parked.pending.deadline > now:
                reason = parked.never(ends)
                if reason is None:
                    self._bytes += parked.size - size
                    continue
            self._bytes -= size
            del lane.parked[offset]
            awake.append(replace(parked.pending, in_vain=reason) if reason else parked.pending)
        return awake

    def _decode(self, record: Record, now: float, now_ms: float) -> Pending:
        if record.fault:
            return Pending(record, None, (record.fault.reason, record.fault.detail), now, now)
        try:
            query = Query.decode(record.value)
        except InvalidMessage as error:
            return Pending(record, None, (error.reason, error.detail), now, now)
        asked = self._wait_s if query.timeout_ms is None else query.timeout_ms / 1000
        return Pending(
            record, query, None, now, now + min(asked, self._wait_s), _too_old(record, query, now_ms)
        )


def _too_old(record: Record, query: Query, now_ms: float) -> str | None:
    """Why a query comes too late to be answered, by its own time-out: whoever asked has given up, and those
    behind it should not wait. Only a time-out that it states counts, and only a timestamp that can be one."""
    age_ms = now_ms - record.timestamp_ms
    if query.timeout_ms is None or record.timestamp_ms <= 0 or age_ms > MOST_AGE_MS:
        return None
    if age_ms <= max(query.timeout_ms, LEAST_AGE_MS):
        return None
    return f"it was read {age_ms / 1000:.1f} s after it was asked, and its timeout_ms is {query.timeout_ms}"
