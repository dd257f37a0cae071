"""Responder: queries from Kafka, answered by exact argmax over the whole context, each exactly once.

Every turn it loads what is new in the context, takes new weights where there are some, and answers a
micro-batch of queries. Answers and the queries' offsets are delivered as one (a Kafka transaction); what is
not delivered is forgotten here and read again from the committed offsets, so an answer is never sent twice.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from hurnet import belonging
from hurnet.core.stored.batch import MAX_OFFSET, Batch, LogIdentity, joined
from hurnet.errors import ConfigurationError, HurnetError, TransientError, Unreadable
from hurnet.metrics import Metrics
from hurnet.ports import Embedder, EntryStore, Exchange, WeightsStore
from hurnet.responder.backlog import Backlog
from hurnet.responder.delivery import WORKER, Delivery
from hurnet.responder.loaded_contexts import LoadedContexts
from hurnet.responder.pending import Pending
from hurnet.responder.pending_queries import PendingQueries
from hurnet.responder.positions import Positions
from hurnet.responder.replies import TURN_BYTES, Replies, Reply
from hurnet.runtime.progress import Progress
from hurnet.settings.settings import Settings
from hurnet.suspects import Suspects

if TYPE_CHECKING:
    from hurnet.core.search.device import Device

log = structlog.get_logger()

READ_BATCHES = 16
"""Batches per shard and turn, fewer with features: queries wait for no more than that."""
TAKE_IN_S = 0.05
"""For which a turn takes in what was read; queries wait no longer for what is left."""
WEIGHTS_INTERVAL_S = 0.5
TURN_S = 2.0
"""For answering; the query in hand may take half a second longer, and those left are first next time."""
REACH_AGE_S = 0.05
"""What is known of the end of `texts` is asked anew after that while a query may wait for what can't come: as
often as the exchange does, a few times a second."""
LOG_INTERVAL_S = 1.0
AWAIT_ENTRIES_S = 0.01
"""Wait for new entries while queries wait for them; other queries wait no longer than that."""


class Responder:
    """The responder worker; see the module's text."""

    name = WORKER

    def __init__(
        self,
        exchange: Exchange,
        store: EntryStore,
        weights: WeightsStore,
        embedder: Embedder,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._exchange = exchange
        self._store = store
        self._weights = weights
        self._settings = settings.responder
        self._queries = settings.kafka.queries
        self._texts = settings.kafka.texts
        self._metrics = metrics
        self._memory = LoadedContexts(
            embedder.identity.dimension,
            settings.paper.features,
            settings.solve.half_life_ms,
            settings.responder.threads,
            self._search_device(settings.responder.device),
            settings.paper.p,
        )
        self._backlog = Backlog(store, self._memory)
        self._replies = Replies(self._memory, embedder, settings.responder)
        self._delivery = Delivery(exchange, settings.kafka, settings.responder)
        self._pending = PendingQueries(settings.responder.wait)
        self._positions = Positions(exchange, store, settings.responder.group, metrics)
        role = f"{WORKER}:{settings.responder.group}"
        self._suspects = Suspects(store, exchange, embedder, role, settings.responder.batch)
        self._unplaced: set[int] = set()
        self._served: Collection[int] = ()
        self._progress = Progress(settings.metrics)
        self._weights_seen_at = 0.0
        self._incarnation = ""
        self._unused: dict[str, int] = {}
        self._versions_unread = False
        self._log_checked_at = 0.0
        self._caught_up = False
        self._lag: dict[int, int] = {}
        store.open(embedder.identity)

    def step(self) -> None:
        """Follow the context; once it has been caught up with, answer a micro-batch."""
        self._check_log()
        self._refresh_weights()  # before the context: they say which panes need no sums
        moved = self._follow()
        if self._caught_up:
            moved += self._answer()
        self._observe(moved)

    def unready(self) -> list[str]:
        return self._progress.unready() if self._caught_up else ["loading the context"]

    def drain(self) -> None:
        """Queries not yet answered are uncommitted, and another responder gets them."""
        self._positions.remember()

    def close(self) -> None:
        self._suspects.close()  # before others get the partitions
        self._exchange.close()
        self._store.close()
        gc.unfreeze()  # what is held goes with this worker

    def _check_log(self) -> None:
        """Raises `ForeignLog` where the context is filled from another Kafka than queries come from, or from
        a topic of texts that is no more: what it has seen says nothing of the texts that are sent now."""
        now = time.monotonic()
        if now - self._log_checked_at < LOG_INTERVAL_S:
            return
        self._log_checked_at = now
        bound, found = self._store.log(), self._exchange.log()
        ends = self._exchange.end_offsets(self._texts, LOG_INTERVAL_S)
        if bound and found:
            texts = ends.topic_id if ends and ends.topic_id else bound.topic
            belonging.check_reader(bound, LogIdentity(found.cluster, texts))

    def _search_device(self, name: str) -> Device | None:
        if name == "cpu":
            return None
        from hurnet.core.search.device import search_device  # only here: it loads torch

        try:
            return search_device(name, self._device_failed)
        except ValueError as error:
            raise ConfigurationError(f"HURNET_RESPONDER_DEVICE: {error}") from None

    def _device_failed(self, reason: str) -> None:
        self._metrics.device_failures.inc()
        log.error("the device failed: from now on the CPU searches, with the same results", reason=reason)

    def _follow(self) -> int:
        """Take in what is new in the context; returns how many rows that were, and one if it is at work on a
        deletion of many entries: that is no standing still."""
        features = self._memory.features
        batches = max(1, READ_BATCHES * features.dimension // max(features.dimension, features.size))
        wait = AWAIT_ENTRIES_S if len(self._pending) and not self._backlog else 0.0
        positions = {**self._memory.watermarks(), **dict.fromkeys(self._backlog.shards(), MAX_OFFSET)}
        tail = self._store.tail(positions, batches, wait)
        self._backlog.add(joined(tail.batches))
        taken = self._backlog.take_in(TAKE_IN_S)
        moved = sum(self._told(batch, rows) for batch, rows in taken) + bool(self._backlog)
        self._lag = {p: max(0, s.rows - self._memory.shard_rows(p)) for p, s in tail.states.items()}
        if not (self._caught_up or self._backlog or any(self._lag.values())):
            self._caught_up = True
            gc.freeze()  # what has been loaded stays: full collections need not walk it (0.1 s and more)
            log.info(
                "caught up with the context",
                rows=dict(self._memory.rows()),
                searched_by=self._memory.searched_by,
            )
        return moved

    def _told(self, batch: Batch, rows: int) -> int:
        """The last `rows` entries of a batch are in memory now; returns how many that are."""
        if self._caught_up:
            timestamps_ms = batch.columns.timestamps_ms[len(batch.entries) - rows :]
            self._metrics.observe_freshness(timestamps_ms.tolist(), time.time())
        return rows

    def _refresh_weights(self) -> None:
        now = time.monotonic()
        if now - self._weights_seen_at < WEIGHTS_INTERVAL_S:
            return
        self._weights_seen_at = now
        incarnation = self._store.incarnation()
        # A store that lost its last versions gives their numbers to others, so all are asked for again.
        anew = incarnation != self._incarnation
        for context, version in self._versions().items():
            in_force = self._memory.weights(context)
            known = in_force.version if in_force else None
            if anew or version not in (known, self._unused.get(context)):
                self._use_weights(context, version)
        self._incarnation = incarnation

    def _versions(self) -> Mapping[str, int]:
        """None where they can't be read: the weights in force go on serving."""
        try:
            versions = self._weights.versions()
        except Unreadable as error:
            if not self._versions_unread:
                log.error("the versions of the weights are not readable", reason=str(error))
            self._versions_unread = True
            return {}
        self._versions_unread = False
        return versions

    def _use_weights(self, context: str, version: int) -> None:
        """Weights that can't be read or used are refused once, and the last good ones go on serving."""
        self._unused[context] = version  # unless they come into force
        try:
            published = self._weights.weights(context)
            self._memory.use(context, published)
        except Unreadable as error:
            self._refuse(context, version, str(error))
            return
        except ValueError as error:
            settings = "are HURNET_PAPER_FEATURES and HURNET_SOLVE_HALF_LIFE the same for the solver?"
            self._refuse(context, version, f"{error}: {settings}")
            return
        if published is None:  # withdrawn
            self._metrics.no_weights_in_force(context)
            return
        certificate = published.weights.certificate.as_dict()
        self._metrics.weights_in_force(context, published.version, published.published_ms / 1000, certificate)

    def _refuse(self, context: str, version: int, reason: str) -> None:
        self._metrics.weights_refused.labels(context).inc()
        log.error("weights refused", context=context, version=version, reason=reason)

    def _answer(self) -> int:
        """Poll, take the queries whose turn it is, and deliver their answers; returns how many."""
        self._poll()
        delivered = 0
        ends = self._exchange.end_offsets(self._texts, REACH_AGE_S) if self._pending.unsure else None
        taken = self._pending.take(self._memory.watermarks(), time.monotonic(), self._delivery.most, ends)
        self._metrics.queries_waiting.set(self._pending.parked)
        taken = self._suspect_first(taken)
        try:
            if taken:
                delivered = self._reply(taken)
        except HurnetError:
            self._suspects.let_go()
            raise
        except Exception as error:  # maybe by one query: it is looked for, and no other waits for ever
            log.exception(
                "answering failed: this is a bug, please report it", queries=len(taken), private=True
            )
            self._delivery.failed(taken)
            self._suspects.let_go()
            raise TransientError(f"answering failed: {type(error).__name__}") from error
        finally:
            # Whatever failed, queries that were taken must come again: the next commit would pass them.
            if taken and not delivered:
                self._exchange.rewind()
                self._unplaced = set(self._exchange.assignment())
                self._pending.drop(self._unplaced)
        return delivered

    def _suspect_first(self, taken: list[Pending]) -> list[Pending]:
        """All of them, or the one that is to be done with before."""
        first = self._suspects.first([pending.record for pending in taken])
        if first is None:
            return taken
        self._pending.give_back([*taken[:first], *taken[first + 1 :]])
        return [taken[first]]

    def _reply(self, taken: Sequence[Pending]) -> int:
        """Answer as many as there is time for in a turn, leave the others for the next one, and deliver;
        returns how many were."""
        began = time.perf_counter()
        until = time.monotonic() + TURN_S
        replies = self._answered(self._admitted(taken, until), until)
        if any(reply.answer.receipt for reply in replies):  # else nothing was scored
            self._metrics.score_seconds.observe(time.perf_counter() - began)
        self._pending.give_back(taken[len(replies) :])
        self._metrics.turns_cut.inc(len(replies) < len(taken))
        return len(replies) if self._deliver(replies) else 0

    def _answered(self, admitted: Sequence[Pending], until: float) -> list[Reply]:
        """One query after the other, each noted before, if there is one among them that may end the process:
        they are delivered together all the same."""
        if not any(self._suspects.alone(pending.record) for pending in admitted):
            return self._replies.answer(admitted, until)
        replies: list[Reply] = []
        size = 0
        for pending in admitted:
            if replies and (time.monotonic() > until or size > TURN_BYTES):
                break
            verdict = self._suspects.begin([pending.record])
            replies += self._replies.answer([pending.rejected(*verdict) if verdict else pending], until)
            size += len(replies[-1].value)
        self._suspects.handled()
        return replies

    def _admitted(self, taken: Sequence[Pending], until: float) -> list[Pending]:
        """The first ones: to look for their reply topics may take time too."""
        admitted: list[Pending] = []
        for pending in taken:
            if admitted and time.monotonic() > until:
                break
            admitted.append(self._delivery.admitted(pending))
        return admitted

    def _poll(self) -> None:
        """New queries; without waiting for some while the context has more to load or queries wait."""
        self._place()
        busy = len(self._pending) or self._backlog or any(self._lag.values())
        wait = 0.0 if busy else self._settings.poll
        self._exchange.pause(self._pending.partitions())
        polled = self._exchange.poll(wait, self._settings.batch)
        full = len(polled.records) >= self._settings.batch
        served = self._exchange.assignment() if full else {r.partition for r in polled.records}
        self._served = served | self._pending.partitions()  # what had no room, or was paused, is not to blame
        moved = polled.assigned | polled.revoked
        self._pending.drop(moved)
        self._positions.forget(moved)
        self._suspects.moved(polled.assigned, polled.revoked - self._exchange.assignment())
        self._unplaced = (self._unplaced | polled.assigned) & self._exchange.assignment()
        fresh = [record for record in polled.records if record.partition not in self._unplaced]
        self._pending.add(fresh, time.monotonic())  # the others will come again
        if polled.records:
            self._metrics.records.labels(self._queries).inc(len(polled.records))

    def _place(self) -> None:
        """Go on where the group left off, before the next poll: by itself the exchange knows one offset a
        partition, and not what is done beyond it."""
        if self._positions.outdated():
            self._unplaced = set(self._exchange.assignment())
            self._pending.drop(self._unplaced)
        if not self._unplaced:
            return
        self._suspects.enter(self._unplaced)
        for partition, done in self._positions.starts(frozenset(self._unplaced)).items():
            self._exchange.seek(partition, done.next)
            self._pending.place(partition, done)
            self._unplaced.discard(partition)

    def _deliver(self, replies: Sequence[Reply]) -> bool:
        """All answers and their queries' offsets as one."""
        answered = [reply.pending for reply in replies]
        done = self._pending.done(answered)
        next_offsets = {partition: mine.next for partition, mine in done.items()}
        notes = {partition: mine.note() for partition, mine in done.items()}
        if not self._delivery.deliver(replies, next_offsets, notes):
            self._suspects.let_go()
            self._metrics.transactions_aborted.inc()
            log.warning("delivery rolled back; its queries will be read again", queries=len(replies))
            return False
        self._suspects.passed()
        self._pending.settle(answered)
        self._positions.delivered(done)
        now = time.monotonic()
        for reply in replies:
            self._metrics.queries.labels(reply.answer.outcome).inc()
            self._metrics.answers_cut.inc(bool(reply.answer.candidates_dropped))
            self._metrics.answer_seconds.observe(now - reply.pending.received)
            if reply.pending.rejection:
                self._metrics.dead_letters.labels(reply.pending.rejection[0]).inc()
        return True

    def _observe(self, moved: int) -> None:
        self._metrics.set_by_partition(self._metrics.lag_rows, self._lag)
        self._metrics.set_context_rows(self._memory.rows())
        self._metrics.backlog.set(len(self._backlog))
        assigned, held = self._exchange.assignment(), self._exchange.held_back()
        lag = {p: records for p, records in self._exchange.lag().items() if p not in self._unplaced}
        self._metrics.set_by_partition(self._metrics.lag_records, lag)
        self._metrics.set_by_partition(self._metrics.held_records, held)
        behind = len(self._backlog) + sum(self._lag.values()) + sum(lag.values())
        self._progress.turn(assigned=bool(assigned), behind=behind, moved=moved)
        self._progress.partitions(assigned if self._caught_up else (), lag, held, self._served)
