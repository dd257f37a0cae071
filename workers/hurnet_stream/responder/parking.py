"""Queries that wait until the entries they ask for are in memory.

A query may name `min_watermarks`: by shard, an offset up to which all entries must be in memory before it is
answered. They are compared with the watermarks of what is in memory:

    asked for     {0: 41, "tickets/3": 7}
    in memory     {0: 40, "tickets/3": 9}       lacking: partition 0 of texts, offset 41

A query that lacks nothing is answered at once. One that lacks something is parked, and those behind it go on.
It is woken when

- what it lacked has come: it is answered;
- its deadline has passed: it is answered as timed out;
- what it lacks cannot come, since the topic is not read or has no such partition, or nothing had been written
  at the offset when the query was read: it is answered as timed out, for this reason.

The number of parked queries and of their bytes is limited. A query beyond that is answered at once, as timed
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from hurnet_schemas.places import ShardName, shard_parts
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.responder.ends import Asked, Ends
from hurnet_stream.responder.pending import Pending

MOST_PARKED = 500
"""Per partition of queries: the note that is committed beside the offset names each of them, and has at most
4,096 characters."""
MOST_PARKED_IN_ALL = 4_000
MOST_PARKED_BYTES = 64 << 20
_BYTES_A_WATERMARK = 200


@dataclass(slots=True)
class _Parked:
    """A query that waits for what is `lacking`, as (shard, offset). `possible` says that the topics were seen
    to reach so far, so that it will come."""

    pending: Pending
    lacking: list[tuple[ShardName, int]]
    size: int
    possible: bool = False

    @classmethod
    def of(cls, pending: Pending, lacking: Mapping[ShardName, int]) -> _Parked:
        size = len(pending.record.value or b"") + _BYTES_A_WATERMARK * len(lacking)
        return cls(pending, list(lacking.items()), size)

    def reached(self, watermarks: Mapping[ShardName, int]) -> bool:
        """Whether nothing is lacking any more. What has come is not looked at again."""
        while self.lacking and watermarks.get(self.lacking[-1][0], NOTHING) >= self.lacking[-1][1]:
            self.lacking.pop()
        return not self.lacking

    def why_never(self, ends: Ends | None) -> str | None:
        """Why what is lacking cannot come, as far as the ends of the topics tell."""
        if ends is None or self.possible:
            return None
        beyond = [(name, offset) for name, offset in self.lacking if not ends.reach(name, offset)]
        self.possible = not beyond
        reasons = (ends.why_never(name, offset, self.pending.received) for name, offset in beyond)
        return next(filter(None, reasons), None)


class Parking:
    """The parked queries, by partition of queries and offset."""

    def __init__(self, most_parked: int = MOST_PARKED, most_bytes: int = MOST_PARKED_BYTES) -> None:
        self._most_parked = most_parked
        self._most_bytes = most_bytes
        self._by_partition: dict[int, dict[int, _Parked]] = {}
        self._bytes = 0
        self._seen_watermarks: Mapping[ShardName, int] | None = None
        self._seen_ends: Asked | None = None

    def __len__(self) -> int:
        return sum(map(len, self._by_partition.values()))

    @property
    def unsure(self) -> frozenset[str | None]:
        """The topics (None: that of texts) whose end offsets would tell of some query if what it lacks can
        come."""
        lacking = (name for parked in self._all() if not parked.possible for name, _ in parked.lacking)
        return frozenset(shard_parts(name)[0] for name in lacking)

    def park(self, pending: Pending, lacking: Mapping[ShardName, int], ends: Ends | None) -> str | None:
        """Let the query wait. Returns why it can't be parked, or None once it is."""
        parked = _Parked.of(pending, lacking)
        partition, offset = pending.record.partition, pending.record.offset
        if reason := parked.why_never(ends) or self._full(partition, parked.size):
            return reason
        self._by_partition.setdefault(partition, {})[offset] = parked
        self._bytes += parked.size
        self._seen_watermarks = None  # this one has not been compared with them
        return None

    def wake(
        self,
        partitions: Iterable[int],
        watermarks: Mapping[ShardName, int],
        now: float,
        most: int,
        ends: Ends | None,
    ) -> list[Pending]:
        """Up to `most` queries that have waited enough, of the first `partitions` first."""
        asked = ends.asked if ends else self._seen_ends
        # There may be thousands, and this is called many times a second: look only if something has changed.
        due = any(parked.pending.deadline <= now for parked in self._all())
        if watermarks == self._seen_watermarks and asked == self._seen_ends and not due:
            return []
        awake: list[Pending] = []
        for partition in partitions:
            awake += self._wake_in(partition, watermarks, now, most - len(awake), ends)
        # If there was no room for all, the others are looked at the next time, whether anything changes or
        # not.
        self._seen_watermarks = None if len(awake) >= most else watermarks
        self._seen_ends = asked
        return awake

    def drop(self, partition: int) -> None:
        """Forget those of `partition`."""
        self._bytes -= sum(parked.size for parked in self._by_partition.pop(partition, {}).values())

    def _wake_in(
        self, partition: int, watermarks: Mapping[ShardName, int], now: float, most: int, ends: Ends | None
    ) -> list[Pending]:
        awake: list[Pending] = []
        by_offset = self._by_partition.get(partition, {})
        for offset, parked in list(by_offset.items()):
            if len(awake) >= most:
                break
            reason = None
            if not parked.reached(watermarks) and parked.pending.deadline > now:
                reason = parked.why_never(ends)
                if reason is None:
                    continue
            self._bytes -= by_offset.pop(offset).size
            awake.append(replace(parked.pending, in_vain=reason) if reason else parked.pending)
        return awake

    def _full(self, partition: int, size: int) -> str | None:
        parked = len(self)
        many = len(self._by_partition.get(partition, {})) >= self._most_parked or parked >= MOST_PARKED_IN_ALL
        if many or self._bytes + size > self._most_bytes:
            return f"{parked} questions wait for their min_watermarks already, and no more may"
        return None

    def _all(self) -> Iterator[_Parked]:
        for by_offset in self._by_partition.values():
            yield from by_offset.values()
