"""What was parsed and embedded goes into the store, or what it deletes out of it: each once, in order."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

import structlog

from hurnet_stream.core.stored.batch import NOTHING, Deletion
from hurnet_stream.dead_letters import DeadLetterAlarm, put_aside
from hurnet_stream.ingest.intake import Intake
from hurnet_stream.ingest.shards import Shards
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.ports import Appended, EntryStore, Refused, Sink, Unfinished
from hurnet_stream.settings.settings import Settings

log = structlog.get_logger()

WORKER: Final = "ingest"
DELETION_S = 0.25
"""How long one turn goes on with deletions of many entries: other partitions wait no longer than that."""


class Appending:
    """Brings intakes into the store, and those of their records that were rejected to the dead letters."""

    def __init__(
        self,
        store: EntryStore,
        sink: Sink,
        shards: Shards,
        settings: Settings,
        metrics: IngestMetrics,
        alarm: DeadLetterAlarm,
    ) -> None:
        self._store = store
        self._sink = sink
        self._shards = shards
        self._dead_letters = settings.kafka.dead_letters
        self._excerpts = settings.privacy.excerpts
        self._metrics = metrics
        self._alarm = alarm
        self._delete_until = 0.0
        self._put_aside: dict[int, int] = {}
        """By shard, up to which offset an append that is not finished has sent its dead letters."""

    def begin_turn(self) -> None:
        """From now on, one turn's time for deletions runs."""
        self._delete_until = time.monotonic() + DELETION_S

    def take_in(self, intake: Intake) -> bool:
        """Append it, or delete what it says; False if the store refused that, or has not finished it."""
        expected = self._shards.watermark(intake.partition)
        deletion = intake.deletion
        result = self._delete(intake, deletion, expected) if deletion else self._append(intake, expected)
        if isinstance(result, Unfinished):
            return False  # the partition is placed again, comes to the same record, and goes on with it
        if isinstance(result, Refused):
            self._metrics.refused.inc()
            stands_at = result.state.watermark
            log.warning("append refused", partition=intake.partition, expected=expected, found=stands_at)
            return False
        self._shards.reached(intake.partition, result.state.watermark)
        self._count(intake)
        return True

    def _delete(self, intake: Intake, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        """As much of the deletion as this turn has time for, and one part of it at least."""
        anchored = replace(deletion, anchor=intake.records[-1].anchor)
        while True:
            result = self._store.delete(intake.partition, anchored, expected)
            if not isinstance(result, Unfinished) or time.monotonic() >= self._delete_until:
                return result

    def _append(self, intake: Intake, expected: int) -> Appended | Unfinished | Refused:
        # The dead letters go first: a crash in between sends them twice, instead of losing them.
        sent = self._put_aside.pop(intake.partition, NOTHING)
        rejected = [each for each in intake.rejected if each[0].offset > sent]
        put_aside(self._sink, self._dead_letters, WORKER, rejected, self._excerpts)
        batch = intake.batch()
        while True:
            with self._metrics.append_seconds.time():
                result = self._store.append(batch, expected)
            if isinstance(result, Refused):
                return result
            self._metrics.replaced.inc(result.replaced)
            self._metrics.rows.inc(result.rows)
            if isinstance(result, Appended):
                return result
            if result.state.watermark != expected or time.monotonic() >= self._delete_until:
                self._put_aside[intake.partition] = intake.records[-1].offset
                return result

    def _count(self, intake: Intake) -> None:
        """Only after the append, so that attempts that failed do not count. Raises `TooManyDeadLetters`."""
        if intake.deletion:
            self._metrics.deletions.inc()
        else:
            self._metrics.batches.inc()
        for _, (reason, _) in intake.rejected:
            self._metrics.dead_letters.labels(reason).inc()
        rejected_offsets = {record.offset for record, _ in intake.rejected}
        for record in intake.records:
            self._alarm.count(record.offset in rejected_offsets)
