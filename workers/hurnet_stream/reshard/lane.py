"""One partition of the old topic on its way: which records were read, and how far it is done."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.ports import Committed, OffsetRange, Record


@dataclass(slots=True)
class Lane:
    """`next` is the first offset that is not done, `first` the first one that Kafka holds, `floor` that of
    the old store's shard when forwarding began, and `needs` what a reader of the new topic must have seen to
    have seen all that is done."""

    next: int
    first: int
    floor: int
    queue: deque[Record] = field(default_factory=deque)
    needs: dict[int, int] = field(default_factory=dict)

    @classmethod
    def resumed(cls, committed: Committed | None, held: OffsetRange, floor: int) -> Lane:
        """Where the group goes on. `floor` is the shard's now, which counts if it begins."""
        if committed is None:
            return cls(0, held.first, floor)
        known = committed.note.removeprefix("-")
        return cls(committed.offset, held.first, int(committed.note) if known.isdecimal() else floor)

    def add(self, record: Record) -> None:
        """A record was read."""
        if record.offset >= self.next:
            self.queue.append(record)

    def due(self, watermark: int) -> int | None:
        """Up to which offset there is something to do, if the old store has come to `watermark`; None if
        there is nothing."""
        last = self.queue[-1].offset if self.queue else self.first - 1
        upto = min(last, watermark)
        return upto if upto >= self.next else None

    def records(self, upto: int) -> Sequence[Record]:
        """Those that were read, up to this offset."""
        return [record for record in self.queue if record.offset <= upto]

    def done(self, upto: int) -> None:
        """All before `upto` is done."""
        self.next = upto
        while self.queue and self.queue[0].offset < upto:
            self.queue.popleft()

    def seen(self, places: Sequence[tuple[int, int]]) -> None:
        """What was written to the new topic for it, as (partition, offset)."""
        for partition, offset in places:
            self.needs[partition] = max(offset, self.needs.get(partition, NOTHING))
