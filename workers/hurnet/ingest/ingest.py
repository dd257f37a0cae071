"""Ingest: texts from Kafka, embedded, into the context, exactly once.

All correctness rests on one comparison. The worker believes each shard to be at some watermark; an append
states that belief, and the store refuses it, atomically, if the shard stands elsewhere. Overlapping
redelivery, a zombie owner, an append whose reply was lost, a store that lost its tail: each is a refusal,
and each is answered in the same way, by placing the partition anew at the shard's watermark + 1.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import structlog

from hurnet.core.stored.batch import NOTHING, Deletion
from hurnet.dead_letters import DeadLetterAlarm, dead_letter, send_all
from hurnet.errors import HurnetError, StoreGap
from hurnet.ingest.intake import Intake, embed, intakes_of, passed
from hurnet.ingest.placing import Placing
from hurnet.ingest.waiting import Waiting
from hurnet.metrics import Metrics
from hurnet.ports import Appended, Embedder, EntryStore, Polled, Record, Refused, Sink, Source, Unfinished
from hurnet.runtime.progress import Progress
from hurnet.settings.settings import Settings
from hurnet.suspects import Suspects

log = structlog.get_logger()

DELETION_S = 0.25
"""For which one step goes on with deletions of many entries; other partitions wait no longer than that."""
ADMITTED_S = 5.0
"""For which a context is known to be admitted: it may be dropped, and its name given to another."""
CARRY_INTERVAL_S = 0.5
COMMIT_INTERVAL_S = 0.5
"""Commits to Kafka serve lag tools and the next assignment's starting point, so they may lag a little."""


class Ingest:
    """The ingest worker; see the module's text."""

    name = "ingest"

    def __init__(
        self,
        source: Source,
        store: EntryStore,
        sink: Sink,
        embedder: Embedder,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._source = source
        self._store = store
        self._sink = sink
        self._embedder = embedder
        self._settings = settings.ingest
        self._dead_letters = settings.kafka.dead_letters
        self._metrics = metrics
        self._alarm = DeadLetterAlarm(settings.ingest)
        metrics.dead_letters_alarm.set_function(lambda: float(bool(self._alarm.unready())))
        self._progress = Progress(settings.metrics)
        self._watermarks: dict[int, int] = {}
        self._unplaced: set[int] = set()
        self._waiting = Waiting()
        role = f"{self.name}:{settings.ingest.group}"
        self._suspects = Suspects(store, source, embedder, role, settings.ingest.batch)
        self._served: Collection[int] = ()
        self._full = False
        self._admitted: frozenset[str] = frozenset()
        self._admitted_at = 0.0
        self._delete_until = 0.0
        self._committed: dict[int, int] = {}
        self._committed_at = 0.0
        self._carried_at = 0.0
        self._placing = Placing(source, store, settings.ingest.skip_gap, metrics)
        store.open(embedder.identity, writing=True)
        self._incarnation = store.incarnation()

    def step(self) -> None:
        """Poll once and append what came."""
        self._follow_store()
        self._placing.check_log()
        self._place()
        polled = self._poll()
        self._unplaced = (self._unplaced | polled.assigned) & self._source.assignment()
        self._forget(polled)
        self._queue(polled.records)
        self._placing.check_log()  # before what came is appended, and after it is noted: this may fail
        taken = self._waiting.take(self._settings.batch, self._suspects.alone)
        # Until its append is known to be in, a partition's position in Kafka is ahead of its watermark, and
        # whatever fails from here on must send it back.
        self._unplaced |= taken.keys()
        try:
            self._handle(taken)
        except HurnetError:
            self._suspects.let_go()
            raise
        self._suspects.passed()
        self._carry_forward()
        self._commit()
        self._observe(sum(map(len, taken.values())))

    def _handle(self, taken: Mapping[int, Sequence[Record]]) -> None:
        """Append what was taken."""
        work = self._intakes(taken)
        intakes = [intake for mine in work.values() for intake in mine]
        with self._suspects.unblamed():
            self._admit(intakes)
        self._embed(intakes)
        self._delete_until = time.monotonic() + DELETION_S
        with self._suspects.unblamed():
            for partition, mine in work.items():
                if all(map(self._take, mine)):
                    self._unplaced.discard(partition)

    def _intakes(self, taken: Mapping[int, Sequence[Record]]) -> dict[int, list[Intake]]:
        """Validated; one record that ended other processes is not looked at."""
        records = [record for mine in taken.values() for record in mine]
        if verdict := self._suspects.begin(records):
            (record,) = records
            return {record.partition: [Intake(record.partition, records, rejected=[(record, *verdict)])]}
        row_bytes = 2 * self._embedder.identity.dimension
        return {p: intakes_of(p, mine, row_bytes) for p, mine in taken.items()}

    def _embed(self, intakes: Sequence[Intake]) -> None:
        began = time.perf_counter()
        texts = [entry.text for intake in intakes for entry in intake.entries]
        embed(intakes, self._embedder)
        seconds = time.perf_counter() - began
        if texts:  # a poll that brought none is no measurement
            self._metrics.embed_seconds.observe(seconds)
            self._waiting.learn(texts, seconds)

    def unready(self) -> list[str]:
        return self._progress.unready() + self._alarm.unready()

    def drain(self) -> None:
        self._commit(now=True)

    def close(self) -> None:
        self._suspects.close()  # before others get the partitions
        self._source.close()
        self._sink.close()
        self._store.close()

    def _poll(self) -> Polled:
        """What came of partitions of which nothing waits; at once if there is work for this turn."""
        self._full = len(self._waiting) >= self._settings.batch
        self._source.pause(self._source.assignment() if self._full else self._waiting.partitions())
        try:
            return self._source.poll(0.0 if self._waiting else self._settings.poll, self._settings.batch)
        except StoreGap:
            # Retention overtook a position. Placing says which and what to do, or skips if told to.
            self._unplaced = set(self._source.assignment())
            self._place()
            return Polled()

    def _follow_store(self) -> None:
        """A store that was restarted, or that a replica took over from, may hold less than it acknowledged:
        what is missing is read again at once, and not only when the next record is refused."""
        incarnation = self._store.incarnation()
        if incarnation != self._incarnation:
            log.warning("another server, or a restarted one, holds the context: placing all partitions anew")
            self._unplaced = set(self._source.assignment())
            self._admitted = frozenset()
            self._incarnation = incarnation

    def _place(self) -> None:
        """Put each unplaced partition at its shard's watermark + 1, whatever offsets were committed."""
        if not self._unplaced:
            return
        unplaced = frozenset(self._unplaced)
        self._waiting.drop(unplaced)
        self._suspects.enter(unplaced)
        for partition, (watermark, following) in self._placing.starts(unplaced).items():
            self._source.seek(partition, following)
            self._watermarks[partition] = watermark
            self._unplaced.discard(partition)
            log.info("placed", partition=partition, offset=following)

    def _forget(self, polled: Polled) -> None:
        self._waiting.drop(polled.assigned | polled.revoked)
        self._suspects.moved(polled.assigned, polled.revoked - self._source.assignment())
        for partition in polled.revoked - self._source.assignment():
            self._watermarks.pop(partition, None)
            self._committed.pop(partition, None)

    def _queue(self, records: Sequence[Record]) -> None:
        """What is new waits for its turn. A partition that brought nothing new is placed again."""
        full = self._full or len(records) >= self._settings.batch  # what had no room is not to blame
        for partition, fresh in self._fresh(records).items():
            self._waiting.add(partition, fresh)
        brought = {record.partition for record in records}
        self._unplaced |= brought - self._waiting.partitions()
        self._served = self._source.assignment() if full else brought | self._waiting.partitions()

    def _fresh(self, records: Sequence[Record]) -> dict[int, list[Record]]:
        """What is new, by partition; records of a partition that is not placed yet will come again."""
        if records:
            self._metrics.records.labels(records[0].topic).inc(len(records))
            self._metrics.bytes.labels(records[0].topic).inc(sum(len(r.value or b"") for r in records))
        partitions: dict[int, list[Record]] = {}
        for record in records:
            placed = record.partition not in self._unplaced
            if placed and record.offset > self._watermarks[record.partition]:
                partitions.setdefault(record.partition, []).append(record)
        return partitions

    def _admit(self, intakes: Sequence[Intake]) -> None:
        """Reject entries of contexts that are one too many. A context once admitted stays so, unless it is
        dropped."""
        names = {entry.context for intake in intakes for entry in intake.entries}
        if time.monotonic() - self._admitted_at > ADMITTED_S:
            self._admitted, self._admitted_at = frozenset(), time.monotonic()
        if names - self._admitted:
            self._admitted |= self._store.admit(frozenset(names), self._settings.max_contexts)
            self._metrics.contexts.set(len(self._store.contexts()))
        full = (
            f"there are {self._settings.max_contexts} contexts already (HURNET_INGEST_MAX_CONTEXTS):"
            " `hurnet contexts` lists them, and drops one"
        )
        for intake in intakes:
            intake.keep(
                [None if e.context in self._admitted else ("too-many-contexts", full) for e in intake.entries]
            )

    def _take(self, intake: Intake) -> bool:
        """Append texts, or a deletion; False where the store refused it, or has not finished it."""
        expected = self._watermarks[intake.partition]
        if intake.deletion:
            anchored = replace(intake.deletion, anchor=intake.records[-1].anchor)
            result = self._delete(intake.partition, anchored, expected)
        else:
            result = self._append(intake, expected)
        if isinstance(result, Unfinished):
            return False  # placed anew, the partition comes to the same record, and goes on with it
        if not isinstance(result, Appended):
            self._metrics.refused.inc()
            found = result.state.watermark
            log.warning("append refused", partition=intake.partition, expected=expected, found=found)
            return False
        self._watermarks[intake.partition] = result.state.watermark
        self._count(intake)
        return True

    def _carry_forward(self) -> None:
        """The ends of transactions, and what they aborted, take offsets that no reader gets a record for. The
        watermark passes them too: who asks to see all up to the topic's end does, and no lag stays."""
        if time.monotonic() - self._carried_at < CARRY_INTERVAL_S:
            return
        self._carried_at = time.monotonic()
        busy = self._unplaced | self._waiting.partitions()
        for partition, position in self._source.positions().items():
            watermark = self._watermarks.get(partition, NOTHING)
            if partition in busy or watermark == NOTHING or position - 1 <= watermark:
                continue
            batch = passed(partition, position - 1, self._embedder.identity.dimension)
            if isinstance(result := self._store.append(batch, watermark), Appended):
                self._watermarks[partition] = result.state.watermark
            else:
                self._unplaced.add(partition)

    def _delete(self, partition: int, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        """As much of it as the step has time for, and at least a part."""
        while isinstance(result := self._store.delete(partition, deletion, expected), Unfinished):
            if time.monotonic() >= self._delete_until:
                break
        return result

    def _append(self, intake: Intake, expected: int) -> Appended | Refused:
        """Put aside what was rejected, append the rest. The dead letters go first: a crash in between
        repeats them, rather than losing them."""
        if intake.rejected:
            letters = [dead_letter(self._dead_letters, self.name, *reject) for reject in intake.rejected]
            send_all(self._sink, letters)
        with self._metrics.append_seconds.time():
            return self._store.append(intake.batch(), expected)

    def _count(self, intake: Intake) -> None:
        if intake.deletion:
            self._metrics.deletions.inc()
        else:
            self._metrics.rows.inc(len(intake.entries))
            self._metrics.batches.inc()
        self._count_dead_letters(intake)

    def _count_dead_letters(self, intake: Intake) -> None:
        """After the append, so that tries that failed in between don't count. Raises `TooManyDeadLetters`."""
        for _, reason, _ in intake.rejected:
            self._metrics.dead_letters.labels(reason).inc()
        bad = {record.offset for record, _, _ in intake.rejected}
        for record in intake.records:
            self._alarm.count(record.offset in bad)

    def _commit(self, now: bool = False) -> None:
        if not now and time.monotonic() - self._committed_at < COMMIT_INTERVAL_S:
            return
        behind = {
            p: w + 1 for p, w in self._watermarks.items() if w != NOTHING and self._committed.get(p) != w + 1
        }
        if behind:
            self._source.commit(behind)
            self._committed.update(behind)
        self._committed_at = time.monotonic()

    def _observe(self, moved: int) -> None:
        assigned, held = self._source.assignment(), self._source.held_back()
        lag = {
            p: records + self._waiting.waiting(p)
            for p, records in self._source.lag().items()
            if p not in self._unplaced
        }
        self._metrics.set_by_partition(self._metrics.lag_records, lag)
        self._metrics.set_by_partition(self._metrics.held_records, held)
        self._progress.turn(assigned=bool(assigned), behind=sum(lag.values()), moved=moved)
        self._progress.partitions(assigned, lag, held, self._served)
