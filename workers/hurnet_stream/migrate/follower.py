"""The follower: fills a second generation from the first one, and goes on while texts come in.

One turn, if this follower leads:

    read      what lies beyond the second store's watermarks in the first one
    copy      item by item: embed its texts anew, append them at the same offsets        copying.py
    tell      the first store how far it is                                              CopyNotes

It needs the two stores and nothing of Kafka, so Kafka may have forgotten the texts long ago. Where it stands
are the second store's own watermarks, and each write compares them: so it may be killed at any point, and
whoever else writes to the second store (a second follower, or ingest once it fills that one) takes nothing
from it and doubles nothing. The lease only keeps two of them from doing the same work.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable

import structlog

from hurnet_stream.core.stored.batch import NOTHING, Batch
from hurnet_stream.core.stored.compaction import Horizon
from hurnet_stream.errors import StoreError, StoreReplaced
from hurnet_stream.metrics.migrate import MigrateMetrics
from hurnet_stream.migrate.copying import Copying, anchors
from hurnet_stream.migrate.pace import Pace
from hurnet_stream.ports import (
    Appended,
    CopyNotes,
    Embedder,
    EntryStore,
    LeaseStore,
    Tail,
    Unfinished,
    check_not_passed,
)
from hurnet_stream.runtime.leading import Leading

log = structlog.get_logger()

ROLE = "migrate"
READ_BATCHES = 16
"""Batches read of each shard at once."""
STEP_S = 1.0
"""How long a turn copies; the batch in hand may take longer."""
WAIT_S = 0.1
"""Longest wait for new rows, and time between two looks at the lease while standing by."""
LEASE_S = 15.0
PATIENCE_S = 300.0
"""How long one batch may take before the lease is no longer renewed."""


class Follower:
    """The worker: `step` is one turn."""

    name = ROLE

    def __init__(
        self,
        source: EntryStore,
        target: EntryStore,
        notes: CopyNotes,
        embedder: Embedder,
        leases: LeaseStore,
        metrics: MigrateMetrics,
    ) -> None:
        self._source = source
        self._target = target
        self._notes = notes
        self._metrics = metrics
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._leading = Leading(leases, ROLE, self._owner, LEASE_S, PATIENCE_S)
        self._copying = Copying(source, target, notes, embedder, self._leading.note_progress)
        self._horizon = Horizon()
        self._queue: deque[Batch] = deque()
        self._watermarks: dict[int, int] | None = None
        """How far each shard is copied; None: the second store has to be asked."""
        self._tail = Tail((), {})
        self._followed: set[int] = set()
        self._pace = Pace()
        self.caught_up = False
        """Whether all that the first store held at the last look is in the second one."""
        target.open(embedder.identity, writing=True)

    def watched_by(self, beat: Callable[[], None]) -> Follower:
        """Call `beat` now and then while a long portion of work is in hand and makes progress."""
        self._leading.beat = beat
        return self

    @property
    def leads(self) -> bool:
        """Whether this follower is the one that copies."""
        return self._leading.holds

    @property
    def rows_left(self) -> int:
        """Rows of the first store that are still to be looked at, as far as is known."""
        return self._pace.left

    def step(self) -> None:
        if not self._leading.leads():
            self._forget()
            self.caught_up = False
            time.sleep(WAIT_S)
            return
        with self._leading.at_work():
            try:
                self._turn()
            except Exception:
                self._forget()
                raise

    def standing(self) -> str:
        if self._leading.holder != self._owner:
            return f"standing by: {self._leading.holder} copies"
        return "following" if self.caught_up else f"copying: {self._pace.told()}"

    def unready(self) -> list[str]:
        """One that stands by, and one that follows, are ready; one that still copies is not."""
        if self._leading.holder != self._owner or self.caught_up:
            return []
        return [f"the generation is being filled: {self._pace.told()}"]

    def drain(self) -> None:
        self._leading.release()

    def close(self) -> None:
        self._source.close()
        self._target.close()

    def _turn(self) -> None:
        if not self._queue:
            self._read()
        until, before = time.monotonic() + STEP_S, dict(self._known())
        with self._metrics.stage("copy"):
            while self._queue and self._copied(self._queue.popleft()) and time.monotonic() < until:
                self._leading.note_progress()
        for partition, watermark in self._known().items():
            if watermark != before.get(partition):
                self._notes.copied(partition, watermark)
        self._observe()

    def _known(self) -> dict[int, int]:
        if self._watermarks is None:
            states = self._target.states()
            self._watermarks = {partition: state.watermark for partition, state in states.items()}
        return self._watermarks

    def _read(self) -> None:
        positions = self._known()
        self._notes.share_log()
        with self._metrics.stage("tail"):
            tail = self._source.tail(positions, READ_BATCHES, WAIT_S if self.caught_up else 0.0)
        self._check(tail)
        for partition in tail.states.keys() - self._followed:
            self._notes.follow(partition, positions.get(partition, NOTHING))
            self._followed.add(partition)
        self._tail = tail
        self._queue.extend(tail.batches)

    def _check(self, tail: Tail) -> None:
        """Raises `StoreError` if deletions that this copy has not seen are gone from the first store."""
        try:
            check_not_passed(self._horizon, self._known(), tail)
        except StoreReplaced as error:
            raise StoreError(
                f"{error}. Drop the generation that was filled (`hurnet migrate --drop NAME`) and begin it"
                " anew"
            ) from error

    def _copied(self, batch: Batch) -> bool:
        """Copy one batch. False: somebody else has moved the second store meanwhile, so all is read anew."""
        expected = self._known().get(batch.partition, NOTHING)
        if batch.watermark <= expected:
            return True
        states = {p: state.anchor for p, state in self._tail.states.items()}
        result, rows = self._copying.copy(batch.after(expected), expected, anchors(states, batch))
        if not isinstance(result, Appended):
            log.info("another worker writes to the second generation", shard=batch.partition)
            if isinstance(result, Unfinished):
                raise StoreError(f"a deletion of shard {batch.partition} did not end")
            self._forget()
            return False
        self._known()[batch.partition] = batch.watermark
        self._metrics.rows_copied.inc(rows)
        self._pace.copied(batch, rows)
        return True

    def _forget(self) -> None:
        self._queue.clear()
        self._watermarks = None

    def _observe(self) -> None:
        known, states = self._known(), self._tail.states
        behind = {p for p, state in states.items() if state.watermark > known.get(p, NOTHING)}
        # A store without shards has nothing to copy; one whose states were never read is not known.
        self.caught_up = not self._queue and not behind and self._source.identity() is not None
        self._pace.look(states, self.caught_up)
        self._metrics.show_copy(self._pace.left, self._notes.left_out(), self.caught_up)
        self._pace.say()
