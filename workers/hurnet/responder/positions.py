"""Where the responders go on reading `queries`, and what they say when that is not where they left off.

| found                                                     | reading goes on                              |
|-----------------------------------------------------------|----------------------------------------------|
| a committed position within the topic                     | there, past what the note says is done       |
| one of another topic of this name (it was made anew)      | at its beginning: nothing in it is answered  |
| one beyond the end, or a log that was cut off before it   | where it was cut, as far as the leaders'     |
| and has grown again (it lost its tail)                    | epochs tell, else at the end                 |
| one below the beginning (retention overtook the group)    | at the beginning: what is gone is counted    |
| none, but the store remembers one (the group expired)     | where the store says, by these same rules    |
| none at all (a new group, or a new partition)             | at the beginning, which is committed at once |

Which topic it was stands beside the committed offset, by the topic's UUID. Brokers forget the offsets of a
group that had no member for a week (`offsets.retention.minutes`), or when a person deletes them; answering
all that the topic retains again would be as wrong as passing over what nobody has answered. The context's
store therefore keeps what was committed, a second late at most, and it counts only if Kafka has nothing: then
the answers of the last second before a kill are repeated, and no others.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog

from hurnet.core import offsets
from hurnet.core.offsets import Done
from hurnet.errors import HurnetError
from hurnet.metrics import Metrics
from hurnet.ports import Committed, EntryStore, Exchange, OffsetRange

log = structlog.get_logger()

REMEMBER_INTERVAL_S = 1.0


class Positions:
    """Of one group in one topic."""

    def __init__(self, exchange: Exchange, store: EntryStore, group: str, metrics: Metrics) -> None:
        self._exchange = exchange
        self._store = store
        self._group = group
        self._metrics = metrics
        self._log = ""
        self._latest: dict[int, Committed] = {}
        self._remembered_at = 0.0

    def starts(self, partitions: frozenset[int]) -> dict[int, Done]:
        """Where each of `partitions` goes on. What differs from what is committed is committed."""
        if not partitions:
            return {}
        self._log = self._log_now()
        bounds = self._exchange.offset_ranges(partitions)
        committed = self._exchange.progress(partitions)
        found = {p: self._read(p, at) for p, at in committed.items() if at is not None}
        if len(found) < len(partitions):
            found |= self._recalled(partitions - found.keys())
        found = {p: done for p, done in found.items() if self._is_ours(p, done)}
        cuts = self._exchange.cuts({p: done.end for p, done in found.items()})
        starts = {}
        for partition, held in bounds.items():
            done = found.get(partition, Done(held.first))
            end = min(held.end, cuts.get(partition, held.end))
            starts[partition] = self._fitted(partition, done, OffsetRange(held.first, end))
        self._commit({p: done for p, done in starts.items() if _as_committed(done) != committed[p]})
        return starts

    def outdated(self) -> bool:
        """Whether the topic was made anew since `starts`: then all that was read is of no more use."""
        return bool(self._log) and self._log_now() not in ("", self._log)

    def delivered(self, done: Mapping[int, Done]) -> None:
        """These were committed. The store is told, now and then."""
        self._latest |= {partition: _as_committed(mine) for partition, mine in done.items()}
        if time.monotonic() - self._remembered_at >= REMEMBER_INTERVAL_S:
            self.remember()

    def remember(self) -> None:
        """Tell the store now."""
        self._remembered_at = time.monotonic()
        if not self._latest:
            return
        try:
            self._store.remember_progress(self._group, self._latest)
        except HurnetError as error:  # a second copy, and it may be that we have no right to write
            log.warning("what was committed could not be kept in the store too", error=str(error))
        self._latest = {}

    def forget(self, partitions: frozenset[int]) -> None:
        """They are another member's now, who may be further than we knew."""
        for partition in partitions:
            self._latest.pop(partition, None)

    def _commit(self, moved: Mapping[int, Done]) -> None:
        if moved:
            stored = {partition: _as_committed(done) for partition, done in moved.items()}
            self._exchange.commit(
                {p: at.offset for p, at in stored.items()}, {p: at.note for p, at in stored.items()}
            )
            self._latest |= stored
            self.remember()

    def _log_now(self) -> str:
        log = self._exchange.log()
        return log.topic if log else ""

    def _recalled(self, partitions: frozenset[int]) -> dict[int, Done]:
        """What the store knows of partitions that Kafka has no offset of. It forgets those of a topic that is
        deleted at once."""
        remembered = self._store.progress(self._group)
        found = {p: self._read(p, remembered[p]) for p in partitions if p in remembered}
        for partition, done in found.items():
            if not self._is_another(done):
                what = "the group has no offset here any more, and goes on where the store says"
                self._moved(partition, "expired", 0, what)
        return found

    def _is_another(self, done: Done) -> bool:
        return bool(done.log and self._log and done.log != self._log)

    def _is_ours(self, partition: int, done: Done) -> bool:
        if self._is_another(done):
            what = "the topic was deleted and made anew: nothing in it is answered yet"
            self._moved(partition, "recreated", 0, what)
            return False
        return True

    def _fitted(self, partition: int, done: Done, bounds: OffsetRange) -> Done:
        """To what the partition holds."""
        done = Done(done.end, done.open, self._log or done.log)
        if done.end > bounds.end:
            lost = sum(offset >= bounds.end for offset in done.open)
            what = f"the log ends, or was cut off, at {bounds.end}, before the committed {done.end}"
            self._moved(partition, "lost-tail", lost, what)
            done = done.until(bounds.end)
        if done.next < bounds.first:
            gone = sum(offset < bounds.first for offset in done.open) + max(0, bounds.first - done.end)
            what = f"retention removed everything before {bounds.first}, and {done.next} was to be read next"
            self._moved(partition, "retention", gone, what)
            done = done.since(bounds.first)
        return done

    def _read(self, partition: int, found: Committed) -> Done:
        try:
            return offsets.read(found.offset, found.note)
        except ValueError as error:
            log.warning(
                "what stands beside a committed offset is not used", partition=partition, reason=str(error)
            )
            return Done(found.offset)

    def _moved(self, partition: int, reason: str, skipped: int, what: str) -> None:
        self._metrics.positions_moved.labels(reason).inc()
        self._metrics.queries_skipped.labels(reason).inc(skipped)
        log.warning(
            "queries are not read on from the committed offset",
            partition=partition,
            reason=reason,
            unanswered=skipped,
            what=what,
        )


def _as_committed(done: Done) -> Committed:
    return Committed(done.next, done.note())
