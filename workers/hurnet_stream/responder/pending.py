"""A query on its way to an answer: its record, what that says, and until when the query may wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from hurnet_schemas import InvalidMessage, Query
from hurnet_schemas.dead_letter import Reason
from hurnet_schemas.places import ShardName, without_topic
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.embedding import Rejection
from hurnet_stream.ports import CORRELATION_ID, REPLY_TO, TRACEPARENT, Record, TraceContext, parse_traceparent

MAX_CORRELATION_BYTES = 256
_REPLY_TO_BYTES = 1_000
"""A reply-to header is cut there: no topic has so long a name."""
LEAST_AGE_MS = 1_000
"""No query is called too old before that: the clocks of two machines differ."""
MOST_AGE_MS = 30 * 86_400_000
"""A timestamp that lies further back is not when somebody asked. It is 0, say, or seconds for
milliseconds."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A record of the topic of queries. Without a `query` it is rejected, for `rejection`. `in_vain` says why
    it is answered as timed out without another look. `trace` is the asker's span. `wanted` are the query's
    `min_watermarks`. Times are monotonic seconds."""

    record: Record
    query: Query | None
    rejection: Rejection | None
    received: float
    deadline: float
    in_vain: str | None = None
    trace: TraceContext | None = None
    wanted: Mapping[ShardName, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The query's own id, else the correlation-id header, else the record's coordinates."""
        if self.query and self.query.id:
            return self.query.id
        return self.correlation.decode("utf-8", "replace") or self.record.coordinates

    @property
    def correlation(self) -> bytes:
        """The correlation-id header, which the answer repeats. Empty if there is none, or if it is too
        long."""
        correlation = self.record.header(CORRELATION_ID) or b""
        return correlation if len(correlation) <= MAX_CORRELATION_BYTES else b""

    @property
    def reply_to(self) -> str | None:
        """The topic that the reply-to header names. A name that is too long for a topic is cut."""
        topic = self.record.header(REPLY_TO)
        return None if topic is None else topic[:_REPLY_TO_BYTES].decode("utf-8", "replace")

    def rejected(self, reason: Reason, detail: str) -> Pending:
        """This query, put aside. An earlier rejection stands."""
        return self if self.rejection else replace(self, rejection=(reason, detail))

    def with_question(self, change: Callable[[str], str]) -> Pending:
        """This query with its text as `change` makes it."""
        if self.query is None or (text := change(self.query.text)) == self.query.text:
            return self
        return replace(self, query=self.query.model_copy(update={"text": text}))

    def watermarks_not_reached(self, watermarks: Mapping[ShardName, int]) -> dict[ShardName, int]:
        """Of the offsets that the query wants to see, those that are above `watermarks`, the last ones that
        are in memory."""
        return {p: offset for p, offset in self.wanted.items() if watermarks.get(p, NOTHING) < offset}


def pending_of(record: Record, wait_s: float, now: float, now_ms: float, texts: str = "") -> Pending:
    """A record as a pending query, which waits for `wait_s` at most. `now` is in monotonic seconds, `now_ms`
    in milliseconds since 1970, as timestamps of records are. `texts` is the topic of texts."""
    if record.fault:
        return Pending(record, None, (record.fault.reason, record.fault.detail), now, now)
    trace = parse_traceparent(record.header(TRACEPARENT))
    try:
        query = Query.decode(record.value)
    except InvalidMessage as error:
        return Pending(record, None, (error.reason, error.detail), now, now, trace=trace)
    asked_s = wait_s if query.timeout_ms is None else query.timeout_ms / 1000
    deadline = now + min(asked_s, wait_s)
    wanted = without_topic(query.min_watermarks, texts)
    return Pending(record, query, None, now, deadline, _too_old(record, query, now_ms), trace, wanted)


def _too_old(record: Record, query: Query, now_ms: float) -> str | None:
    """Why a query comes too late to be answered: its client has given up, and the queries behind it should
    not wait. Only a time-out that the query itself states counts, and only a timestamp that can be one."""
    age_ms = now_ms - record.timestamp_ms
    if query.timeout_ms is None or record.timestamp_ms <= 0 or age_ms > MOST_AGE_MS:
        return None
    if age_ms <= max(query.timeout_ms, LEAST_AGE_MS):
        return None
    return f"it was read {age_ms / 1000:.1f} s after it was asked, and its timeout_ms is {query.timeout_ms}"
