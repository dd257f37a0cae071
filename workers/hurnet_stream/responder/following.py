"""Following the store: entries that are new in it come into memory, and those that it deletes go.

A turn reads a few batches of each shard and takes them in for a short time only, so that queries never wait
long. What was read and is not in memory yet stays in the backlog for the next turn."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping

import structlog

from hurnet_stream import belonging
from hurnet_stream.core.stored.batch import MAX_OFFSET, Batch, LogIdentity, joined
from hurnet_stream.core.stored.compaction import Horizon
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.places import Places
from hurnet_stream.ports import EntryStore, Exchange, Tail, check_not_passed
from hurnet_stream.responder.backlog import Backlog
from hurnet_stream.responder.loaded_contexts import LoadedContexts

log = structlog.get_logger()

READ_BATCHES = 16
"""Batches read of each shard in a turn: queries wait for no more than that. With kernel features there are
fewer, since an entry takes longer."""
TAKE_IN_S = 0.05
"""How long a turn takes in what was read. Queries do not wait for what is left."""
AWAIT_ENTRIES_S = 0.01
"""How long a turn waits for new entries if queries wait for them, or if what was read can't be taken in now.
Other queries wait no longer than that."""
IN_PASSING = 0.1
"""The share of a turn's work for what nobody asks yet, while queries wait."""
LOG_INTERVAL_S = 1.0
"""How often it is checked that store and queries belong to the same Kafka."""


Belongs = Callable[[int], bool]
"""Whether a shard is to be held here."""


def everything(_shard: int) -> bool:
    """Of a responder that holds all entries."""
    return True


class Following:
    """Moves `memory` after `store`."""

    def __init__(
        self,
        store: EntryStore,
        exchange: Exchange | None,
        texts: str,
        memory: LoadedContexts,
        metrics: HoldingMetrics,
    ) -> None:
        """Without an `exchange` there is no Kafka to compare the store with."""
        self._store = store
        self._exchange = exchange
        self._texts = self.home = texts
        self._memory = memory
        self._metrics = metrics
        self._backlog = Backlog(store, memory)
        self._horizon = Horizon()
        self._log_checked_at = 0.0
        self._topics_at = float("-inf")
        self._belongs: Belongs = everything
        self._others: dict[int, int] = {}
        """Shards that do not belong here: nothing lies beyond the largest offset, which they are read
        from."""
        self.caught_up = False
        """Whether everything that was stored when this worker started is in memory. It stays true then."""
        self.lag: Mapping[int, int] = {}
        """Rows of each shard that are stored and not in memory."""

    def only(self, belongs: Belongs) -> None:
        """From the beginning follow these shards alone."""
        self._belongs = belongs

    @property
    def backlog(self) -> int:
        """Batches that were read and are not in memory yet."""
        return len(self._backlog)

    @property
    def behind(self) -> int:
        """How much there is still to take in. 0: memory holds what the store held at the last turn."""
        return len(self._backlog) + sum(self.lag.values())

    def reads(self, texts: str) -> None:
        """The store is filled from this topic of texts, and not from that of the settings (`home`)."""
        self._texts = texts
        self._topics_at = float("-inf")

    def shown_by(self, metrics: HoldingMetrics) -> None:
        """From now on these metrics show it."""
        self._metrics = metrics
        metrics.name_by(self._memory.places)

    def follow_in_passing(self, queries_wait: bool) -> None:
        """As `follow`, for what nobody asks yet: less at a time, so that answers hardly wait for it."""
        self.follow(queries_wait=False, share=IN_PASSING if queries_wait else 1.0)

    def check_log(self) -> None:
        """Raises `ForeignLog` if the store was filled from another Kafka than queries come from, or from a
        topic of texts that has been made anew since: what it holds says nothing of the texts sent now."""
        now = time.monotonic()
        if self._exchange is None or now - self._log_checked_at < LOG_INTERVAL_S:
            return
        self._log_checked_at = now
        self.look_up_topics()
        filled_from, queried = self._store.log(), self._exchange.log()
        ends = self._exchange.end_offsets(self._texts, LOG_INTERVAL_S)
        if filled_from and queried:
            texts = ends.topic_id if ends and ends.topic_id else filled_from.topic
            belonging.check_reader(filled_from, LogIdentity(queried.cluster, texts))

    def look_up_topics(self, age_s: float = 0.0) -> float:
        """Have memory name its shards by the topics that the store knows, unless that was done in the last
        `age_s` seconds. Returns when it was done last (monotonic seconds)."""
        now = time.monotonic()
        if now - self._topics_at > age_s:
            places = Places.of(self._store.topics(), self._texts, self.home)
            self._memory.name_by(places)
            self._metrics.name_by(places)
            self._topics_at = now
        return self._topics_at

    def follow(self, queries_wait: bool, share: float = 1.0) -> int:
        """Take in what is new, with a share of the usual effort. Returns how many rows came in, and one
        more while a deletion of many entries is at work: the worker then does not stand still, though no row
        comes in."""
        must_wait = self._memory.is_still if self._backlog else queries_wait
        wait_s = AWAIT_ENTRIES_S if must_wait else 0.0
        # A shard with batches in the backlog is asked for nothing: nothing lies beyond the largest offset.
        no_more = dict.fromkeys(self._backlog.shards(), MAX_OFFSET)
        positions = {**self._memory.watermarks(), **no_more, **self._others}
        tail = self._own(self._store.tail(positions, self._batches(share), wait_s))
        check_not_passed(self._horizon, positions, tail)
        self._memory.epoch = next((state.epoch for state in tail.states.values()), self._memory.epoch)
        if any(self._memory.places.topics.name(shard) is None for shard in tail.states):
            self.look_up_topics()  # ingest gave a topic its number just now
        self._backlog.add(joined(tail.batches))
        taken_in = self._backlog.take_in(share * TAKE_IN_S)
        for batch, rows in taken_in:
            self._observe_freshness(batch, rows)
        self.lag = {p: max(0, s.rows - self._memory.shard_rows(p)) for p, s in tail.states.items()}
        if not self.caught_up and not self.behind:
            self._catch_up()
        return sum(rows for _, rows in taken_in) + bool(self._backlog)

    def _own(self, tail: Tail) -> Tail:
        """What is of shards that belong here."""
        if self._belongs is everything:
            return tail
        states = {shard: state for shard, state in tail.states.items() if self._belongs(shard)}
        self._others = dict.fromkeys(tail.states.keys() - states.keys(), MAX_OFFSET)
        batches = [batch for batch in tail.batches if self._belongs(batch.partition)]
        floors = {shard: floor for shard, floor in tail.floors.items() if self._belongs(shard)}
        return Tail(batches, states, floors)

    def _batches(self, share: float) -> int:
        features = self._memory.features
        return max(
            1, round(share * READ_BATCHES) * features.dimension // max(features.dimension, features.size)
        )

    def _observe_freshness(self, batch: Batch, rows: int) -> None:
        """The last `rows` entries of `batch` can be answered with from now on."""
        if self.caught_up:  # before, entries are as old as the store: that says nothing of this system
            timestamps_ms = batch.columns.timestamps_ms[len(batch.entries) - rows :]
            self._metrics.observe_freshness(timestamps_ms.tolist(), time.time())

    def _catch_up(self) -> None:
        self.caught_up = True
        gc.freeze()  # what has been loaded stays: full collections need not walk it (0.1 s and more)
        log.info(
            "caught up with the store",
            rows=dict(self._memory.rows()),
            searched_by=self._memory.searched_by,
        )
