"""Ingest: texts from Kafka are parsed, embedded and appended to the store, each exactly once.

    Kafka ─ poll ─▶ Waiting ─ take ─▶ intakes ─ admit ─ embed ─▶ append ─▶ store
                                         └─ rejected ─▶ dead letters

All correctness rests on one comparison. The worker believes each shard to be at some watermark; an append
states that belief, and the store refuses it, atomically, if the shard stands elsewhere. A record that is
delivered twice, a worker that lost its partition without knowing it, an append whose reply was lost, a store
that lost what it acknowledged: each of them ends in a refusal. The answer is always the same: the partition
is placed again, which means that it is read from the shard's watermark + 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain

import structlog

from hurnet_stream.core import places
from hurnet_stream.core.stored.batch import UPSERT
from hurnet_stream.dead_letters import DeadLetterAlarm
from hurnet_stream.errors import HurnetError, StoreGap, TransientError
from hurnet_stream.ingest.admission import Admission
from hurnet_stream.ingest.appending import WORKER, Appending
from hurnet_stream.ingest.intake import Intake, embed_intakes, intakes_of
from hurnet_stream.ingest.placing import Placing
from hurnet_stream.ingest.retention import Retention
from hurnet_stream.ingest.reuse import Reuse
from hurnet_stream.ingest.shards import Shards
from hurnet_stream.ingest.stopped import StoppedTopics
from hurnet_stream.ingest.traces import TextTraces
from hurnet_stream.ingest.waiting import Waiting
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.places import Places
from hurnet_stream.ports import (
    Embedder,
    EntryStore,
    Polled,
    Readers,
    Record,
    Sink,
    Source,
    Tracer,
)
from hurnet_stream.records import TextReader
from hurnet_stream.runtime.progress import Progress
from hurnet_stream.settings.ingest import IngestSettings
from hurnet_stream.settings.settings import Settings
from hurnet_stream.suspects import Suspects

log = structlog.get_logger()


class Ingest:
    """The ingest worker: fills the store from the topic of texts."""

    name = WORKER

    def __init__(
        self,
        source: Source,
        store: EntryStore,
        sink: Sink,
        embedder: Embedder,
        settings: Settings,
        metrics: IngestMetrics,
    ) -> None:
        self._source = source
        self._store = store
        self._sink = sink
        self._embedder = embedder
        self._settings = settings.ingest
        self._texts = settings.kafka.texts
        self._metrics = metrics
        metrics.describe(embedder=embedder.identity.name, fingerprint=embedder.identity.fingerprint)
        self._alarm = DeadLetterAlarm(settings.ingest)
        metrics.dead_letters_alarm.set_function(lambda: float(bool(self._alarm.unready())))
        self._progress = Progress(settings.metrics)
        self._waiting = Waiting()
        self._shards = Shards(source, store, embedder.identity.dimension)
        self._reuse = Reuse(store)
        self._admission = Admission(store, settings.ingest.max_contexts, metrics)
        self._placing = Placing(source, store, settings.ingest.skip_gap, metrics)
        self._stopped = StoppedTopics()
        role = f"{self.name}:{settings.ingest.group}"
        self._suspects = Suspects(store, source, embedder, role, settings.ingest.batch)
        self._appending = Appending(store, sink, self._shards, settings, metrics, self._alarm)
        self._retention = Retention(store, sink, self._shards, settings, metrics)
        self._traces = TextTraces(settings.kafka.texts, settings.ingest.group, metrics.stage)
        self._room = True  # for what the next poll brings
        # Partitions that brought records, or that could not because there was no room for more.
        self._not_stalled: Collection[int] = ()
        self.beat: Callable[[], None] = lambda: None
        """Called in a long turn now and then, as a sign that it gets on."""
        store.open(embedder.identity, writing=True)
        metrics.name_by(Places.of(store.topics(), settings.kafka.texts))
        self._readers = Readers(TextReader(upserts(settings.ingest, store)))
        self._incarnation = store.incarnation()

    def reading_by(self, readers: Readers) -> Ingest:
        """Read records by `readers`, and not only hurnet's own messages."""
        self._readers = readers
        return self

    def traced_by(self, tracer: Tracer | None) -> Ingest:
        """Record what becomes of texts by `tracer`."""
        self._traces.traced_by(tracer)
        return self

    def step(self) -> None:
        """Poll once, and append what one turn has time for."""
        moved = 0
        try:
            moved = self._turn()
        finally:
            self._observe(moved)  # of a turn that failed, too: Kafka fills while the store is away

    def _turn(self) -> int:
        """Returns how many records were appended, deleted or put aside."""
        self._metrics.stage.begin_turn()
        self._follow_store()
        self._check_log()
        self._place()
        polled = self._poll()
        self._note_assignment(polled)
        self._queue(polled.records)
        # Another log may have answered this poll. Its partitions are noted as assigned by now, so if this
        # raises, they are placed again before anything is taken.
        self._check_log()
        taken = self._waiting.take(self._settings.batch, self._suspects.alone)
        # The source is ahead of the watermark until the append is known to be in. Whatever fails from here on
        # must send it back.
        self._shards.unplace(taken.keys())
        try:
            self._handle(taken)
        except HurnetError:
            self._suspects.let_go()
            raise
        self._suspects.passed()
        self._traces.handled(taken)
        with self._metrics.stage("commit"):
            self._shards.carry_forward(busy=self._waiting.partitions())
            self._shards.commit()
        self._retention.step()
        return sum(map(len, taken.values()))

    def unready(self) -> list[str]:
        return self._progress.unready() + self._alarm.unready() + self._stopped.unready()

    def standing(self) -> str:
        return self._progress.standing()

    def drain(self) -> None:
        self._shards.commit(now=True)

    def close(self) -> None:
        self._suspects.close()  # before others get the partitions
        self._source.close()
        self._sink.close()
        self._store.close()

    def _follow_store(self) -> None:
        """A store that was restarted, or that a replica took over from, may hold less than it acknowledged.
        What is missing is read again at once, and not only when the next append is refused."""
        incarnation = self._store.incarnation()
        if incarnation != self._incarnation:
            log.warning("another server, or a restarted one, holds the store: placing all partitions anew")
            self._shards.unplace_all()
            self._admission.clear()
            self._incarnation = incarnation

    def _check_log(self) -> None:
        """Raises if the store or the topic of texts is another one. Another topic that is, is left alone."""
        self._placing.check_log()
        for number, why in self._placing.troubles().items():
            self._stopped.stop(number, why)
            shards = {shard for shard in self._source.assignment() if places.number_of(shard) == number}
            self._shards.unplace(shards)
            self._waiting.drop(shards)

    def _place(self) -> None:
        """Send the source to each unplaced shard's watermark + 1, whatever offsets were committed."""
        unplaced = self._shards.unplaced
        if not unplaced:
            return
        self._waiting.drop(unplaced)
        tried = unplaced - self._stopped.left_alone(unplaced)
        self._suspects.enter(tried)
        for number in sorted(set(map(places.number_of, tried))):
            self._place_topic(number, frozenset(s for s in tried if places.number_of(s) == number))

    def _place_topic(self, number: int, shards: frozenset[int]) -> None:
        try:
            starts = self._placing.starts(shards)
        except StoreGap as error:
            if number == places.TEXTS:
                raise
            self._stopped.stop(number, str(error))
        else:
            self._shards.place(starts)
            self._stopped.go_on(shards)

    def _poll(self) -> Polled:
        """Poll the partitions of which no record waits. Returns at once if there is work for this turn."""
        self._room = len(self._waiting) < self._settings.batch
        # What is left alone is unplaced: it would be read only to be dropped.
        not_wanted = self._waiting.partitions() | self._stopped.left_alone(self._shards.unplaced)
        self._source.pause(not_wanted if self._room else self._source.assignment())
        try:
            with self._metrics.stage("poll"):
                return self._source.poll(0.0 if self._waiting else self._settings.poll, self._settings.batch)
        except StoreGap:
            # Retention overtook a position. Placing says which one and what to do, or skips if told to.
            self._shards.unplace_all()
            self._place()
            return Polled()

    def _note_assignment(self, polled: Polled) -> None:
        lost = polled.revoked - self._source.assignment()
        self._shards.unplace(polled.assigned)
        self._shards.let_go(lost)
        self._waiting.drop(polled.assigned | polled.revoked)
        self._suspects.moved(polled.assigned, lost)

    def _queue(self, records: Sequence[Record]) -> None:
        """New records wait for their turn. A partition that brought only records it had before is placed
        again: its position is behind its watermark."""
        by_shard: dict[int, list[Record]] = {}
        for record in records:
            by_shard.setdefault(record.shard, []).append(record)
        for shard, of_shard in by_shard.items():
            topic = of_shard[0].topic
            self._metrics.records.labels(topic).inc(len(of_shard))
            self._metrics.bytes.labels(topic).inc(sum(len(record.value or b"") for record in of_shard))
            self._waiting.add(shard, self._shards.new(shard, of_shard))
        brought = by_shard.keys()
        self._shards.unplace(brought - self._waiting.partitions())
        # If this turn had no room left, a partition that brought nothing may have records: it is not stalled.
        had_room = self._room and len(records) < self._settings.batch
        self._not_stalled = brought | self._waiting.partitions() if had_room else self._source.assignment()

    def _handle(self, taken: Mapping[int, Sequence[Record]]) -> None:
        """Append what was taken. Only parsing and embedding may be blamed on a record."""
        intakes_by_partition = self._intakes(taken)
        intakes = list(chain.from_iterable(intakes_by_partition.values()))
        with self._suspects.unblamed():
            self._admission.admit(intakes)
        self._embed(intakes)
        with self._suspects.unblamed(), self._metrics.stage("append"):
            self._appending.begin_turn()
            for partition, partition_intakes in intakes_by_partition.items():
                # `all` stops at the first that is not in: what follows it must not be appended before it.
                if all(map(self._appending.take_in, partition_intakes)):
                    self._shards.trust(partition)
                    self._stopped.go_on([partition], read=True)
                self.beat()  # a slow store may take seconds for each

    def _intakes(self, taken: Mapping[int, Sequence[Record]]) -> dict[int, list[Intake]]:
        """What was taken, parsed. A record that ended other processes is not looked at."""
        records = list(chain.from_iterable(taken.values()))
        if rejection := self._suspects.begin(records):
            (record,) = records
            return {record.shard: [Intake(record.shard, [record], rejected=[(record, rejection)])]}
        vector_bytes = 2 * self._embedder.identity.dimension  # int16
        intakes: dict[int, list[Intake]] = {}
        for partition, of_partition in taken.items():
            try:
                intakes[partition] = intakes_of(of_partition, self._readers.read, vector_bytes)
            except TransientError as error:
                if places.number_of(partition) == places.TEXTS:
                    raise
                # Its registry is away. The partition stays unplaced, and comes to the same records again.
                self._stopped.stop(places.number_of(partition), str(error), unread=True)
                kind = type(error.__cause__ or error).__name__
                self._metrics.transient_errors.labels(error.dependency.lower() or "none", kind).inc()
                if len(records) == 1:
                    self._suspects.let_go()  # it may have been noted, and was not handled
        return intakes

    def _embed(self, intakes: Sequence[Intake]) -> None:
        texts = [entry.text for intake in intakes for entry in intake.entries]
        with self._suspects.unblamed():
            known = self._reuse.known(intakes)
        self._metrics.vectors_reused.inc(len(known))
        texts = [text for row, text in enumerate(texts) if row not in known]
        began = time.perf_counter()
        with self._metrics.stage("embed"):
            embed_intakes(intakes, self._embedder, known)
        seconds = time.perf_counter() - began
        self._reuse.learn(len(texts), seconds)
        if texts:  # a turn without texts says nothing about the embedder's speed
            self._metrics.embed_seconds.observe(seconds)
            self._waiting.learn(texts, seconds)

    def _observe(self, moved: int) -> None:
        lag = self._shards.behind(self._source.lag(), self._waiting.waiting)
        self._metrics.show_reading(self._texts, self._source, lag, self._metrics.places)
        self._metrics.show_watermarks(self._shards.watermarks())
        self._metrics.show_server(self._store)
        self._progress.turn(has_share=self._source.has_share(), behind=sum(lag.values()), moved=moved)
        assigned, held = self._source.assignment(), self._source.held_back()
        self._progress.partitions(assigned, lag, held, self._not_stalled)


def upserts(settings: IngestSettings, store: EntryStore) -> bool:
    """Whether keyed texts take the place of what came under their key before: as the settings say or, if they
    say nothing, as the store does."""
    return (settings.keys or store.keys_mode()) == UPSERT
