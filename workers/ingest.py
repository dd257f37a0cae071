"""Ingest: texts from Kafka, embedded, into the context, exactly once.

All correctness rests on one comparison. The worker believes each shard to be at some watermark; an append
states that belief, and the store refuses it, atomically, if the shard stands elsewhere. Overlapping
redelivery, a zombie owner, an append whose reply was lost, a store that lost its tail: each is a refusal,
and each is answered in the same way, by placing the partition anew at the shard's watermark + 1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import structlog

from schemas import InvalidMessage
from schemas.dead_letter import Reason
from workers.core.context import NOTHING, Batch, Deletion, Entry, Vectors, key_digest
from workers.dead_letters import DeadLetterLimit, dead_letter
from workers.errors import ContextGap
from workers.metrics import Metrics
from workers.ports import Appended, Bounds, ContextStore, Embedder, Polled, Record, Refused, Sink, Source
from workers.progress import Progress
from workers.settings import Settings
from workers.texts import Verdict, deletion_of, embedded, entry_of

log = structlog.get_logger()

COMMIT_INTERVAL_S = 0.5
"""Commits to Kafka serve lag tools and the next assignment's starting point, so they may lag a little."""


Rejected = tuple[Record, Reason, str]


@dataclass(slots=True)
class _Validated:
    """One partition's records on their way to an append."""

    entries: list[Entry] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def keep(self, verdicts: Sequence[Verdict]) -> None:
        """Reject the entries that have a verdict other than None."""
        kept = [row for row, verdict in enumerate(verdicts) if verdict is None]
        for record, verdict in zip(self.records, verdicts, strict=True):
            if verdict is not None:
                self.rejected.append((record, *verdict))
        self.entries = [self.entries[row] for row in kept]
        self.records = [self.records[row] for row in kept]


class Ingest:
    """The ingest worker; see the module's text."""

    name = "ingest"

    def __init__(
        self,
        source: Source,
        store: ContextStore,
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
        self._limit = DeadLetterLimit(settings.ingest)
        self._progress = Progress(settings.metrics)
        self._watermarks: dict[int, int] = {}
        self._unplaced: set[int] = set()
        self._committed: dict[int, int] = {}
        self._committed_at = 0.0
        store.open(embedder.identity)

    def step(self) -> None:
        """Poll once and append what came."""
        self._place()
        polled = self._poll()
        self._unplaced = (self._unplaced | polled.assigned) & self._source.assignment()
        self._forget(polled.revoked)
        batches = _by_partition(polled.records)
        fresh = {p: records for p, records in batches.items() if p not in self._unplaced}
        # Until its append is known to be in, a partition's position in Kafka is ahead of its watermark.
        self._unplaced |= batches.keys()
        for partition, records in fresh.items():
            if self._take(partition, records):
                self._unplaced.discard(partition)
        self._commit()
        self._observe(sum(map(len, fresh.values())))

    def unready(self) -> list[str]:
        return self._progress.unready()

    def drain(self) -> None:
        self._commit(now=True)

    def close(self) -> None:
        self._source.close()
        self._sink.close()
        self._store.close()

    def _poll(self) -> Polled:
        try:
            return self._source.poll(self._settings.poll, self._settings.batch)
        except ContextGap:
            # Retention overtook a position. Placing says which and what to do, or skips if told to.
            self._unplaced = set(self._source.assignment())
            self._place()
            return Polled()

    def _place(self) -> None:
        """Put each unplaced partition at its shard's watermark + 1, whatever offsets were committed."""
        if not self._unplaced:
            return
        unplaced = frozenset(self._unplaced)
        bounds = self._source.bounds(unplaced)
        committed = self._source.committed(unplaced)
        for partition in sorted(unplaced):
            watermark = self._store.state(partition).watermark
            begun = watermark != NOTHING or committed[partition] is not None
            following = self._next_offset(partition, watermark + 1, bounds[partition], begun)
            self._source.seek(partition, following)
            self._watermarks[partition] = watermark
            self._unplaced.discard(partition)
            log.info("placed", partition=partition, offset=following)

    def _next_offset(self, partition: int, needed: int, bounds: Bounds, begun: bool) -> int:
        """Where to go on. A context not yet `begun` may start anywhere; any other goes on without a gap, or
        raises `ContextGap` unless told to skip what is lost."""
        if bounds.first <= needed <= bounds.end:
            return needed
        if needed > bounds.end:
            raise ContextGap(
                f"partition {partition} ends at offset {bounds.end}, but the context has seen {needed - 1}: "
                "the topic was recreated or lost records. Point the worker at the right cluster, or begin a "
                "new context (HURNET_REDIS_PREFIX)."
            )
        if begun and not self._settings.skip_gap:
            raise ContextGap(
                f"partition {partition} begins at offset {bounds.first}, but the context needs {needed}: "
                f"{bounds.first - needed} offsets are gone by retention. Restore them, or set "
                "HURNET_INGEST_SKIP_GAP=true to go on without them."
            )
        log.warning("records are gone", partition=partition, needed=needed, next=bounds.first)
        return bounds.first

    def _forget(self, revoked: frozenset[int]) -> None:
        for partition in revoked - self._source.assignment():
            self._watermarks.pop(partition, None)
            self._committed.pop(partition, None)

    def _take(self, partition: int, records: Sequence[Record]) -> bool:
        """Append one partition's texts and deletions in their order; False where the store refused some."""
        expected = self._watermarks[partition]
        records = [record for record in records if record.offset > expected]
        if not records:
            return True
        self._metrics.records.labels(records[0].topic).inc(len(records))
        self._metrics.bytes.labels(records[0].topic).inc(sum(len(r.value or b"") for r in records))
        return all(
            self._append(partition, texts)
            if deletion is None
            else self._delete(partition, texts[0], deletion)
            for texts, deletion in _runs(records)
        )

    def _append(self, partition: int, records: Sequence[Record]) -> bool:
        """Validate, embed and append texts."""
        validated = self._validate(records)
        vectors = self._embed(validated)
        self._put_aside(validated.rejected)
        keys = [None if record.key is None else key_digest(record.key) for record in validated.records]
        batch = Batch(partition, records[-1].offset, validated.entries, vectors, keys=keys)
        started = time.perf_counter()
        result = self._store.append(batch, self._watermarks[partition])
        self._metrics.append_seconds.observe(time.perf_counter() - started)
        if not self._moved(partition, result):
            return False
        self._metrics.rows.inc(len(batch.entries))
        self._metrics.batches.inc()
        self._count_dead_letters(records, validated.rejected)
        return True

    def _delete(self, partition: int, record: Record, deletion: Deletion) -> bool:
        if not self._moved(partition, self._store.delete(partition, deletion, self._watermarks[partition])):
            return False
        self._metrics.deletions.inc()
        self._count_dead_letters([record], [])
        return True

    def _moved(self, partition: int, result: Appended | Refused) -> bool:
        """Whether the store took it; the watermark is then the store's."""
        if isinstance(result, Appended):
            self._watermarks[partition] = result.state.watermark
            return True
        self._metrics.refused.inc()
        log.warning(
            "append refused",
            partition=partition,
            expected=self._watermarks[partition],
            found=result.state.watermark,
        )
        return False

    def _validate(self, records: Sequence[Record]) -> _Validated:
        validated = _Validated()
        for record in records:
            try:
                validated.entries.append(entry_of(record))
                validated.records.append(record)
            except InvalidMessage as error:
                validated.rejected.append((record, error.reason, error.detail))
        names = frozenset(entry.context for entry in validated.entries)
        admitted = self._store.admit(names, self._settings.max_contexts) if names else names
        full = f"there are {self._settings.max_contexts} contexts already (HURNET_INGEST_MAX_CONTEXTS)"
        validated.keep(
            [None if e.context in admitted else ("too-many-contexts", full) for e in validated.entries]
        )
        return validated

    def _embed(self, validated: _Validated) -> Vectors:
        """The vectors of the entries; puts aside what the embedder fails on or maps to zero."""
        with self._metrics.embed_seconds.time():
            vectors, verdicts = embedded(self._embedder, [entry.text for entry in validated.entries])
        validated.keep(verdicts)
        return vectors[[verdict is None for verdict in verdicts]]

    def _put_aside(self, rejected: Sequence[Rejected]) -> None:
        """Send dead letters before the append: a crash in between repeats them, rather than losing them."""
        if rejected:
            self._sink.send([dead_letter(self._dead_letters, self.name, *reject) for reject in rejected])

    def _count_dead_letters(self, records: Sequence[Record], rejected: Sequence[Rejected]) -> None:
        """After the append, so that tries that failed in between don't count. Raises `TooManyDeadLetters`."""
        for _, reason, _ in rejected:
            self._metrics.dead_letters.labels(reason).inc()
        bad = {record.offset for record, _, _ in rejected}
        for record in records:
            self._limit.count(record.offset in bad)

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
        lag = self._source.lag()
        self._metrics.set_by_partition(self._metrics.lag_records, lag)
        self._progress.turn(assigned=bool(self._source.assignment()), behind=sum(lag.values()), moved=moved)


def _runs(records: Sequence[Record]) -> Iterator[tuple[Sequence[Record], Deletion | None]]:
    """Records in their order: each deletion by itself, and what lies between two of them."""
    run: list[Record] = []
    for record in records:
        if (deletion := deletion_of(record)) is None:
            run.append(record)
            continue
        if run:
            yield run, None
        yield [record], deletion
        run = []
    if run:
        yield run, None


def _by_partition(records: Sequence[Record]) -> dict[int, list[Record]]:
    partitions: dict[int, list[Record]] = {}
    for record in records:
        partitions.setdefault(record.partition, []).append(record)
    return partitions
