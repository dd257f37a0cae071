"""Reading queries from where the group left off, into `PendingQueries`.

By itself Kafka knows one committed offset a partition, and not what is done beyond it (pending_queries.py). A
partition is therefore *placed* before its records count: `Positions` says what of it is done, and Kafka is
told where to read on. Records that come before that are thrown away; they come again."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from hurnet_stream.ports import Exchange, Record
from hurnet_stream.responder.pending_queries import PendingQueries
from hurnet_stream.responder.positions import Positions
from hurnet_stream.suspects import Suspects


class QueryReader:
    """Fills `pending`, `batch` records at a time."""

    def __init__(
        self,
        exchange: Exchange,
        pending: PendingQueries,
        positions: Positions,
        suspects: Suspects,
        batch: int,
    ) -> None:
        self._exchange = exchange
        self._pending = pending
        self._positions = positions
        self._suspects = suspects
        self._batch = batch
        self._unplaced: set[int] = set()
        self._undone: Mapping[int, int] = {}
        self._oldest: Sequence[tuple[int, float]] = ()
        self.served: Collection[int] = ()
        """Partitions that had their chance in the last poll, or could have none. They are not to blame if
        nothing came of them."""

    def poll(self, wait_s: float) -> int:
        """Read up to a batch of queries, and wait for them for `wait_s` at most. Returns how many records
        came."""
        self._place()
        # A partition with queries in its queue is not read on: what is held in memory stays bounded.
        paused = self._pending.partitions()
        self._exchange.pause(paused)
        polled = self._exchange.poll(wait_s, self._batch)
        self.served = self._had_their_chance(polled.records) | paused
        self._reassign(polled.assigned, polled.revoked)
        placed = [record for record in polled.records if record.partition not in self._unplaced]
        self._pending.add(placed, time.monotonic())
        if len(self._pending) > 0:
            self._undone, self._oldest = self.undone(), self.oldest()
        return len(polled.records)

    def start_over(self) -> None:
        """Forget all that was read and not answered, and read it again from the committed offsets."""
        self._exchange.rewind()
        self._unplace_all()

    def lag(self) -> Mapping[int, int]:
        """Records behind, by partition, without those not placed: their positions say nothing yet."""
        return {p: records for p, records in self._exchange.lag().items() if p not in self._unplaced}

    def undone(self) -> Mapping[int, int]:
        """How many records of each partition have no reply yet. If a partition is read anew, since a delivery
        was rolled back, they are those that were known before."""
        kept = {p: records for p, records in self._undone.items() if p in self._unplaced}
        return kept | {p: records + self._pending.open(p) for p, records in self.lag().items()}

    def oldest(self) -> Sequence[tuple[int, float]]:
        """The oldest queries that have no reply (as `PendingQueries.oldest`), also if they are read anew."""
        return self._pending.oldest() or (self._oldest if self._unplaced else ())

    def _place(self) -> None:
        if self._positions.outdated():  # the topic was made anew: nothing that was read is in it
            self._unplace_all()
        if not self._unplaced:
            return
        self._suspects.enter(self._unplaced)
        for partition, done in self._positions.starts(frozenset(self._unplaced)).items():
            self._exchange.seek(partition, done.next)
            self._pending.resume(partition, done)
            self._unplaced.discard(partition)

    def _unplace_all(self) -> None:
        self._unplaced = set(self._exchange.assignment())
        self._pending.drop(self._unplaced)

    def _reassign(self, assigned: frozenset[int], revoked: frozenset[int]) -> None:
        """What the last poll told of a rebalance."""
        assignment = self._exchange.assignment()
        # Another member may have answered what is held of these: it is read again, or no longer ours.
        self._pending.drop(assigned | revoked)
        self._positions.discard(assigned | revoked)
        self._suspects.moved(assigned, revoked - assignment)
        self._unplaced = (self._unplaced | assigned) & assignment

    def _had_their_chance(self, records: Sequence[Record]) -> frozenset[int]:
        if len(records) >= self._batch:  # a full batch may have had no room for the others
            return frozenset(self._exchange.assignment())
        return frozenset(record.partition for record in records)
