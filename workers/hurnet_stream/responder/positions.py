"""Where responders go on reading queries after a start or a rebalance, and what is logged and counted if that
is not where they left off.

| found                                                     | reading goes on                              |
|-----------------------------------------------------------|----------------------------------------------|
| a committed position within the topic                     | there, past what the note says is done       |
| one of another topic of this name (it was made anew)      | at its beginning: nothing in it is answered  |
| one beyond the end, or a log that was cut off before it   | where it was cut, as far as the leaders'     |
| and has grown again (it lost its tail)                    | epochs tell, else at the end                 |
| one below the beginning (retention overtook the group)    | at the beginning: what is gone is counted    |
| none, but the store remembers one (the group expired)     | where the store says, by these same rules    |
| none at all (a new group, or a new partition)             | at the beginning, which is committed at once |

The note beside a committed offset says of which topic it is, by the topic's UUID, and which queries beyond
the offset are done (core/offsets.py). Brokers forget the offsets of a group that had no member for a week
(`offsets.retention.minutes`), or when a person deletes them. To answer again all that the topic retains would
be as wrong as to pass over what nobody has answered. So the store keeps a copy of what was committed, a
second late at most, which counts only if Kafka has nothing: then the answers of the last second before a kill
are repeated, and no others."""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog

from hurnet_stream.core import offsets
from hurnet_stream.core.offsets import Done
from hurnet_stream.errors import HurnetError
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import Committed, Exchange, GroupProgress, OffsetRange

log = structlog.get_logger()

REMEMBER_INTERVAL_S = 1.0
"""How often the store is told what was committed."""


class Positions:
    """The positions of one group in the topic of queries."""

    def __init__(
        self, exchange: Exchange, store: GroupProgress, group: str, metrics: ResponderMetrics
    ) -> None:
        self._exchange = exchange
        self._store = store
        self._group = group
        self._metrics = metrics
        self._log = ""
        """The topic's UUID at the last `starts`; "" if the brokers are too old to tell."""
        self._latest: dict[int, Committed] = {}
        """What was committed since the store was last told."""
        self._remembered_at = 0.0

    def starts(self, partitions: frozenset[int]) -> dict[int, Done]:
        """What is done of each of `partitions`, so where reading goes on. If that differs from what is
        committed, it is committed."""
        if not partitions:
            return {}
        self._log = self._log_now()
        ranges = self._exchange.offset_ranges(partitions)
        committed = self._exchange.progress(partitions)
        known = {p: self._decoded(p, stored) for p, stored in committed.items() if stored is not None}
        if len(known) < len(partitions):
            known |= self._recalled(partitions - known.keys())
        known = {p: done for p, done in known.items() if self._is_of_this_topic(p, done)}
        cuts = self._exchange.cuts({p: done.end for p, done in known.items()})
        starts = {}
        for partition, held in ranges.items():
            done = known.get(partition, Done(held.first))
            # A log that was cut off and has grown again holds other records beyond the cut.
            end = min(held.end, cuts.get(partition, held.end))
            starts[partition] = self._within(partition, done, OffsetRange(held.first, end))
        self._commit({p: done for p, done in starts.items() if _as_committed(done) != committed[p]})
        return starts

    def outdated(self) -> bool:
        """Whether the topic was made anew since the last `starts`: then nothing that was read is in it."""
        return bool(self._log) and self._log_now() not in ("", self._log)

    def delivered(self, done: Mapping[int, Done]) -> None:
        """`done` was committed with the answers. The store is told now and then."""
        self._latest |= {p: _as_committed(partition_done) for p, partition_done in done.items()}
        if time.monotonic() - self._remembered_at >= REMEMBER_INTERVAL_S:
            self.remember()

    def remember(self) -> None:
        """Tell the store now what was committed."""
        self._remembered_at = time.monotonic()
        if not self._latest:
            return
        try:
            self._store.remember_progress(self._group, self._latest)
        except HurnetError as error:  # it is a second copy, and we may have no right to write there
            log.warning("what was committed could not be kept in the store too", error=str(error))
        self._latest = {}

    def discard(self, partitions: frozenset[int]) -> None:
        """Don't tell the store about `partitions`: another member has them now, and may be further on."""
        for partition in partitions:
            self._latest.pop(partition, None)

    def _commit(self, moved: Mapping[int, Done]) -> None:
        if moved:
            stored = {partition: _as_committed(done) for partition, done in moved.items()}
            self._exchange.commit(
                {p: position.offset for p, position in stored.items()},
                {p: position.note for p, position in stored.items()},
            )
            self._latest |= stored
            self.remember()

    def _log_now(self) -> str:
        log = self._exchange.log()
        return log.topic if log else ""

    def _recalled(self, partitions: frozenset[int]) -> dict[int, Done]:
        """What the store remembers of `partitions`, of which Kafka has no committed offset. Brokers forget
        these at once with a deleted topic, too: what is remembered of another topic has not expired."""
        remembered = self._store.progress(self._group)
        recalled = {p: self._decoded(p, remembered[p]) for p in partitions if p in remembered}
        for partition, done in recalled.items():
            if not self._is_of_another_topic(done):
                what = "the group has no offset here any more, and goes on where the store says"
                self._moved(partition, "expired", 0, what)
        return recalled

    def _is_of_another_topic(self, done: Done) -> bool:
        return bool(done.log and self._log and done.log != self._log)

    def _is_of_this_topic(self, partition: int, done: Done) -> bool:
        if self._is_of_another_topic(done):
            what = "the topic was deleted and made anew: nothing in it is answered yet"
            self._moved(partition, "recreated", 0, what)
            return False
        return True

    def _within(self, partition: int, done: Done, held: OffsetRange) -> Done:
        """What is done of the records that the partition holds."""
        done = Done(done.end, done.open, self._log or done.log)
        if done.end > held.end:
            unanswered = sum(offset >= held.end for offset in done.open)
            what = f"the log ends, or was cut off, at {held.end}, before the committed {done.end}"
            self._moved(partition, "lost-tail", unanswered, what)
            done = done.until(held.end)
        if done.next < held.first:
            unanswered = sum(offset < held.first for offset in done.open) + max(0, held.first - done.end)
            what = f"retention removed everything before {held.first}, and {done.next} was to be read next"
            self._moved(partition, "retention", unanswered, what)
            done = done.since(held.first)
        return done

    def _decoded(self, partition: int, stored: Committed) -> Done:
        try:
            return offsets.read(stored.offset, stored.note)
        except ValueError as error:
            log.warning(
                "what stands beside a committed offset is not used", partition=partition, reason=str(error)
            )
            return Done(stored.offset)

    def _moved(self, partition: int, reason: str, unanswered: int, what: str) -> None:
        """Count and log that `partition` does not go on where it left off, and how many queries that
        skips."""
        self._metrics.positions_moved.labels(reason).inc()
        self._metrics.queries_skipped.labels(reason).inc(unanswered)
        log.warning(
            "queries are not read on from the committed offset",
            partition=partition,
            reason=reason,
            unanswered=unanswered,
            what=what,
        )


def _as_committed(done: Done) -> Committed:
    return Committed(done.next, done.note())
