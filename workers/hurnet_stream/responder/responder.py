"""The responder: queries from Kafka are answered from all entries, each exactly once.

A turn of its loop does six things, each of them bounded in time:

    look        which generation of the store answers?               serving.py, generation.py
    check_log   are the store and the queries of the same Kafka?     following.py
    refresh     take new weights, if there are any                   weights_in_force.py
    follow      take in what is new in the store                     following.py, backlog.py
    read        poll queries and queue them                          query_reader.py, pending_queries.py
    answer      take those that are next, rank, judge and deliver    replies.py, judging.py, delivery.py

Queries are answered only once everything that was stored at the start is in memory. Answers and the offsets
of their queries are delivered as one, in a Kafka transaction. What is not delivered is forgotten here and
read again from the committed offsets, so that no answer is sent twice."""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence, Set

import structlog

from hurnet_stream.core.offsets import Done
from hurnet_stream.core.shelf import DamagedShelf
from hurnet_stream.core.stored.generations import Generation
from hurnet_stream.errors import HurnetError, TransientError
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import (
    Embedder,
    EntryStore,
    Exchange,
    GenerationsStore,
    ResponderPresence,
    SavedShelf,
    Tracer,
    WeightsStore,
)
from hurnet_stream.responder.delivery import WORKER, Delivery
from hurnet_stream.responder.ends import Ends
from hurnet_stream.responder.following import Following
from hurnet_stream.responder.generation import LoadedGeneration
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.pending import Pending
from hurnet_stream.responder.pending_queries import PendingQueries
from hurnet_stream.responder.positions import Positions
from hurnet_stream.responder.query_reader import QueryReader
from hurnet_stream.responder.replies import TURN_BYTES, Reply
from hurnet_stream.responder.serving import Load, Serving, ServingNotes
from hurnet_stream.responder.showing import HeldShowing, count_replies
from hurnet_stream.responder.traces import QuestionTraces
from hurnet_stream.runtime.progress import Progress
from hurnet_stream.settings.settings import Settings
from hurnet_stream.suspects import Suspects

log = structlog.get_logger()

TURN_S = 2.0
"""How long a turn answers; the query in hand may take half a second longer. The rest is for the next turn."""
ASKED_S = 1.0
"""After a query the next one is likely to come within this time."""
ENDS_AGE_S = 0.05
"""How old the end offsets of texts may be that tell whether a query waits in vain."""
LOOK_UP_AGE_S = 0.2
"""The same of the list of topics that are read."""


class Responder:
    """The worker: `step` is one turn."""

    name = WORKER

    def __init__(
        self,
        exchange: Exchange,
        store: EntryStore,
        weights: WeightsStore,
        embedder: Embedder,
        settings: Settings,
        metrics: ResponderMetrics,
    ) -> None:
        responder = settings.responder
        self._exchange = exchange
        self._poll_s = responder.poll
        self._queries = settings.kafka.queries
        self._texts = settings.kafka.texts
        self._tables = frozenset(settings.topics)
        self._metrics = metrics
        metrics.describe(embedder=embedder.identity.name, fingerprint=embedder.identity.fingerprint)
        first = LoadedGeneration(store, weights, embedder, exchange, settings, metrics)
        self._serving = Serving(first, metrics)
        notes = ServingNotes(self._serving)
        self._traces = QuestionTraces(self._queries, responder.group, metrics.stage)
        self._delivery = Delivery(exchange, settings.kafka, responder, settings.privacy)
        self._pending = PendingQueries(responder.wait, texts=self._texts)
        self._positions = Positions(exchange, notes, responder.group, metrics)
        self._suspects = Suspects(notes, exchange, embedder, f"{WORKER}:{responder.group}", responder.batch)
        self._reader = QueryReader(exchange, self._pending, self._positions, self._suspects, responder.batch)
        self._progress = Progress(settings.metrics)
        self._showing = HeldShowing(metrics)
        self._standby_behind = 0
        self._answered_at = float("-inf")
        self._instance = responder.instance or f"{socket.gethostname()}:{os.getpid()}"

    @property
    def _memory(self) -> LoadedContexts:
        """That of the generation that answers."""
        return self._serving.current.memory

    @property
    def _following(self) -> Following:
        """That of the generation that answers."""
        return self._serving.current.following

    def choosing_by(
        self, known: GenerationsStore, load: Load, presence: ResponderPresence, number: int
    ) -> Responder:
        """Hold all generations in `known`, and answer by the one that it names. This one, which it was made
        with, is `number`, and `load` opens others."""
        self._serving.current.numbered(number)
        self._serving.by(known, load, presence, self._instance)
        return self

    def filled_from(self, generation: Generation) -> Responder:
        """The generation that it was made with is filled from the topic of this one."""
        self._serving.current.filled_from(generation)
        return self

    def lie_on(self, shelf: SavedShelf | None) -> Responder:
        """Have vectors and texts lie on a shelf, if there is one, and hold what was saved there."""
        self._serving.current.lie_on(shelf)
        return self

    def asking_slices(self, first: LoadedGeneration) -> Responder:
        """Hold no entries, and answer by `first`, which asks slices for them."""
        self._serving.current = first
        return self

    def traced_by(self, tracer: Tracer | None) -> Responder:
        """Record what becomes of questions by `tracer`."""
        self._traces.traced_by(tracer)
        return self

    def watched_by(self, beat: Callable[[], None]) -> None:
        """Call `beat` now and then in a long turn, as a sign that it gets on."""
        self._serving.current.weights.on_progress = beat

    def step(self) -> None:
        """Follow the store. Once it has been caught up with, answer a batch of queries."""
        moved = 0
        try:
            with self._serving.turn():
                moved = self._turn()
        finally:
            self._observe(moved)  # of a turn that failed, too: Kafka fills while the store is away

    def _turn(self) -> int:
        """Returns how many entries were taken in and queries answered."""
        self._metrics.stage.begin_turn()
        self._serving.look()
        self._following.check_log()
        self._serving.current.refresh()
        with self._metrics.stage("tail"):
            moved = self._following.follow(queries_wait=len(self._pending) > 0)
            self._standby_behind = self._serving.follow(self._is_asked())
            self._serving.save()
        if self._following.caught_up:
            self._read()
            answered = self._answer()
            with self._metrics.stage("rehearse"):
                self._serving.rehearse(queries_wait=answered > 0 or len(self._pending) > 0)
            moved += answered
            self._answered_at = time.monotonic() if answered else self._answered_at
        return moved

    def _is_asked(self) -> bool:
        """Whether somebody waits, or the next query is likely to come soon."""
        return len(self._pending) > 0 or time.monotonic() - self._answered_at < ASKED_S

    def unready(self) -> list[str]:
        if not self._following.caught_up:
            return [self._memory.away or "loading the store"]
        if away := self._memory.away:
            return [away]
        awaited = self._serving.waiting_for
        late = [f"{awaited} is to answer, and is not loaded yet: {self._serving.current.name} goes on"]
        return [*(late if awaited else ()), *self._progress.unready()]

    def standing(self) -> str:
        return self._progress.standing()

    def drain(self) -> None:
        """Queries not yet answered are uncommitted, and another responder gets them."""
        self._positions.remember()
        self._serving.leave()

    def close(self) -> None:
        self._suspects.close()  # before others get the partitions
        self._exchange.close()
        self._serving.close()
        gc.unfreeze()  # what is held goes with this worker

    def _read(self) -> None:
        # While queries wait, or there is more to take in, a turn does not wait for queries.
        is_busy = len(self._pending) > 0 and not self._memory.away
        is_busy = is_busy or self._following.behind > 0 or self._standby_behind > 0
        with self._metrics.stage("poll"):
            records = self._reader.poll(0.0 if is_busy else self._poll_s)
        if records:
            self._metrics.records.labels(self._queries).inc(records)

    def _answer(self) -> int:
        """Answer the queries that are next. Returns how many answers were delivered."""
        taken = self._take()
        if not taken:
            return 0
        delivered = 0
        try:
            delivered = self._reply(taken)
        except (HurnetError, DamagedShelf) as error:
            if isinstance(error, HurnetError) and error.blames_input:
                self._delivery.failed(taken)
            self._suspects.let_go()
            raise
        except Exception as error:
            # One query may be the cause. `failed` looks for it, by smaller and smaller batches.
            log.exception(
                "answering failed: this is a bug, please report it", queries=len(taken), private=True
            )
            self._delivery.failed(taken)
            self._suspects.let_go()
            raise TransientError(f"answering failed: {type(error).__name__}") from error
        finally:
            # Whatever failed, queries that were taken must come again: the next commit would pass them.
            if not delivered:
                self._reader.start_over()
        return delivered

    def _take(self) -> list[Pending]:
        now, most = time.monotonic(), self._delivery.most
        if away := self._memory.away:
            return self._pending.overdue(now, most, away)
        seen, ends = self._serving.current.seen(), self._ends(self._pending.unsure)
        taken = self._pending.take(seen, now, most, ends)
        self._metrics.queries_waiting.set(self._pending.parked)
        suspect = self._suspects.first([pending.record for pending in taken])
        if suspect is None:
            return taken
        # A query that may end the process is handled alone, before all others.
        self._pending.give_back([*taken[:suspect], *taken[suspect + 1 :]])
        return [taken[suspect]]

    def _ends(self, unsure: Set[str | None]) -> Ends | None:
        """How far the topics reach of which that is asked; None if of none."""
        if not unsure:
            return None
        # Those with a table in the settings will be read as soon as ingest has given them a number.
        origin = self._serving.current.forwarded.origin
        named = {*self._memory.places.topics.numbers, *self._tables, *filter(None, [origin])}
        read = {None if name == self._texts else name for name in named}
        # A topic that is not read may have been added just now.
        read_at = self._following.look_up_topics(LOOK_UP_AGE_S if unsure - read else float("inf"))
        ends = {
            topic: self._exchange.end_offsets(topic or self._texts, ENDS_AGE_S) if topic in unsure else None
            for topic in read
        }
        return Ends(ends, read_at, self._texts)

    def _reply(self, taken: Sequence[Pending]) -> int:
        """Answer as many as there is time for, leave the others for the next turn, and deliver. Returns how
        many answers were delivered."""
        began = time.perf_counter()
        until = time.monotonic() + TURN_S
        replies = self._answered(self._admitted(taken, until), until)
        if any(reply.answer.receipt for reply in replies):  # else nothing was scored
            self._metrics.score_seconds.observe(time.perf_counter() - began)
        self._pending.give_back(taken[len(replies) :])
        self._metrics.turns_cut.inc(len(replies) < len(taken))
        return len(replies) if self._deliver(replies) else 0

    def _admitted(self, taken: Sequence[Pending], until: float) -> list[Pending]:
        """The first ones, judged by their headers: to ask for their reply topics may take time too."""
        admitted: list[Pending] = []
        for pending in taken:
            if admitted and time.monotonic() > until:
                break
            admitted.append(self._delivery.admitted(pending))
        return admitted

    def _answered(self, admitted: Sequence[Pending], until: float) -> list[Reply]:
        """All together. If one of them may end the process, one after the other, and each is noted before;
        their answers leave together all the same."""
        if not any(self._suspects.alone(pending.record) for pending in admitted):
            return self._serving.current.replies.answer(admitted, until)
        replies: list[Reply] = []
        size = 0
        for pending in admitted:
            if replies and (time.monotonic() > until or size > TURN_BYTES):
                break
            verdict = self._suspects.begin([pending.record])
            replies += self._serving.current.replies.answer(
                [pending.rejected(*verdict) if verdict else pending], until
            )
            size += len(replies[-1].value)
        self._suspects.handled()
        return replies

    def _deliver(self, replies: Sequence[Reply]) -> bool:
        """Deliver all answers and their queries' offsets as one. False: none of it."""
        answered = [reply.pending for reply in replies]
        done = self._pending.done(answered)
        replies = self._traces.begin(replies)
        if not self._delivered(replies, done):
            self._suspects.let_go()
            self._metrics.transactions_aborted.labels(self._exchange.rolled_back_by()).inc()
            log.warning("delivery rolled back; its queries will be read again", queries=len(replies))
            return False
        self._suspects.passed()
        self._pending.settle(answered)
        self._positions.delivered(done)
        count_replies(replies, self._metrics)
        return True

    def _delivered(self, replies: Sequence[Reply], done: Mapping[int, Done]) -> bool:
        next_offsets = {partition: partition_done.next for partition, partition_done in done.items()}
        notes = {partition: partition_done.note() for partition, partition_done in done.items()}
        delivered = False
        try:
            with self._metrics.stage("deliver"):
                delivered = self._delivery.deliver(replies, next_offsets, notes)
        finally:
            self._traces.end(delivered)
        return delivered

    def _observe(self, moved: int) -> None:
        self._metrics.describe(searched_by=self._memory.searched_by)
        assigned, held, lag = self._exchange.assignment(), self._exchange.held_back(), self._reader.lag()
        self._metrics.show_reading(self._queries, self._exchange, self._reader.undone())
        self._metrics.show_waiting(self._reader.oldest())
        self._showing.show(self._serving.current)
        behind = self._following.behind + sum(lag.values())
        self._progress.turn(has_share=self._exchange.has_share(), behind=behind, moved=moved)
        being_read = assigned if self._following.caught_up else ()
        self._progress.partitions(being_read, lag, held, self._reader.served)
