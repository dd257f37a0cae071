"""Queries that wait until the entries they ask for are in memory.

A query may name `min_watermarks`: by partition of texts, an offset up to which all entries must be in memory
before it is answered. They are compared with the watermarks of what is in memory:

    asked for     {0: 41, 3: 7}
    in memory     {0: 40, 3: 9}       lacking: partition 0, offset 41

A query that lacks nothing is answered at once. One that lacks something is parked, and those behind it go on.
It is woken when

- what it lacked has come: it is answered;
- its deadline has passed: it is answered as timed out;
- what it lacks cannot come, since the partition does not exist, or nothing had been written at the offset
  when the query was read: it is answered as timed out, for this reason.

The number of parked queries and of their bytes is limited. A query beyond that is answered at once, as timed
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.ports import EndOffsets
from hurnet_stream.responder.pending import Pending

MOST_PARKED = 500
"""Per partition of queries: the note that is committed beside the offset names each of them, and has at most
4,096 characters."""
MOST_PARKED_IN_ALL = 4_000
MOST_PARKED_BYTES = 64 << 20
_BYTES_A_WATERMARK = 200


@dataclass(slots=True)
class _Parked:
    """A query that waits for what is `lacking`, as (partition, offset). `possible` says that the topic of
    texts was seen to reach so far, so that it will come."""

    pending: Pending
    lacking: list[tuple[int, int]]
    size: int
    possible: bool = False

    @classmethod
    def of(cls, pending: Pending, lacking: Mapping[int, int]) -> _Parked:
        size = len(pending.record.value or b"") + _BYTES_A_WATERMARK * len(lacking)
        return cls(pending, list(lacking.items()), size)

    def reached(self, watermarks: Mapping[int, int]) -> bool:
        """Whether nothing is lacking any more. What has come is not looked at again."""
        while self.lacking and watermarks.get(self.lacking[-1][0], NOTHING) >= self.lacking[-1][1]:
            self.lacking.pop()
        return not self.lacking

    def why_never(self, ends: EndOffsets | None) -> str | None:
        """Why what is lacking cannot come, as far as the end offsets of texts tell."""
        if ends is None or self.possible:
            return None
        beyond = [(p, offset) for p, offset in self.lacking if offset >= ends.written.get(p, 0)]
        self.possible = not beyond
        # Ends that were asked for before the query came say nothing: the text may have been written between.
        if not beyond or ends.asked < self.pending.received:
            return None
        partition, offset = beyond[0]
        if partition not in ends.written:
            return f"there is no partition {partition} of texts"
        end = ends.written[partition]
        return f"partition {partition} of texts ends before offset {end}: there is no {offset}"


class Parking:
    """The parked queries, by partition of queries and offset."""

    def __init__(self, most_parked: int = MOST_PARKED, most_bytes: int = MOST_PARKED_BYTES) -> None:
        self._most_parked = most_parked
        self._most_bytes = most_bytes
        self._by_partition: dict[int, dict[int, _Parked]] = {}
        self._bytes = 0
        self._seen_watermarks: Mapping[int, int] | None = None
        self._seen_ends_at = float("-inf")

    def __len__(self) -> int:
        return sum(map(len, self._by_partition.values()))

    @property
    def unsure(self) -> bool:
        """Whether it is unknown of some query if its offsets can come; the end offsets would tell."""
        return any(not parked.possible for parked in self._all())

    def park(self, pending: Pending, lacking: Mapping[int, int], ends: EndOffsets | None) -> str | None:
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
        watermarks: Mapping[int, int],
        now: float,
        most: int,
        ends: EndOffsets | None,
    ) -> list[Pending]:
        """Up to `most` queries that have waited enough, of the first `partitions` first."""
        ends_at = ends.asked if ends else self._seen_ends_at
        # There may be thousands, and this is called many times a second: look only if something has changed.
        due = any(parked.pending.deadline <= now for parked in self._all())
        if watermarks == self._seen_watermarks and ends_at == self._seen_ends_at and not due:
            return []
        awake: list[Pending] = []
        for partition in partitions:
            awake += self._wake_in(partition, watermarks, now, most - len(awake), ends)
        # If there was no room for all, the others are looked at the next time, whether anything changes or
        # not.
        self._seen_watermarks = None if len(awake) >= most else watermarks
        self._seen_ends_at = ends_at
        return awake

    def drop(self, partition: int) -> None:
        """Forget those of `partition`."""
        self._bytes -= sum(parked.size for parked in self._by_partition.pop(partition, {}).values())

    def _wake_in(
        self, partition: int, watermarks: Mapping[int, int], now: float, most: int, ends: EndOffsets | None
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
