"""Queries on their way to an answer: decoded, and held until the context has what they ask to see.

Queries of one partition are answered in order, because progress in Kafka is one offset per partition: one
that waits for its `min_watermarks` holds up those behind it, at most until its time-out, and no other
partition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from schemas import InvalidMessage, Query
from schemas.dead_letter import Reason
from workers.core.context import NOTHING
from workers.ports import Record

MAX_CORRELATION_BYTES = 256


@dataclass(frozen=True, slots=True)
class Pending:
    """A query record. Without a query it is rejected, for `rejection`. Times are monotonic seconds."""

    record: Record
    query: Query | None
    rejection: tuple[Reason, str] | None
    received: float
    deadline: float

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


class PendingQueries:
    """First in, first out per partition."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._queues: dict[int, deque[Pending]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def add(self, records: Sequence[Record], now: float) -> None:
        """Decode and queue `records`."""
        for record in records:
            self._queues.setdefault(record.partition, deque()).append(self._decode(record, now))

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget what is queued of `partitions`; it will be delivered again, here or elsewhere."""
        for partition in partitions:
            self._queues.pop(partition, None)

    def partitions(self) -> frozenset[int]:
        """Those with queries queued."""
        return frozenset(self._queues)

    def take(self, watermarks: Mapping[int, int], now: float, most: int) -> list[Pending]:
        """Remove and return up to `most` queries whose turn it is: ready to be answered, or timed out."""
        taken: list[Pending] = []
        for partition in list(self._queues):
            queue = self._queues[partition]
            while (
                queue and len(taken) < most and (queue[0].deadline <= now or not queue[0].lacking(watermarks))
            ):
                taken.append(queue.popleft())
            if not queue:
                del self._queues[partition]
        return taken

    def _decode(self, record: Record, now: float) -> Pending:
        if record.fault:
            return Pending(record, None, (record.fault.reason, record.fault.detail), now, now)
        try:
            query = Query.decode(record.value)
        except InvalidMessage as error:
            return Pending(record, None, (error.reason, error.detail), now, now)
        wait = self._wait_s if query.timeout_ms is None else query.timeout_ms / 1000
        return Pending(record, query, None, now, now + wait)
