"""How far the slices are, in place of how far this responder is: it holds no entries of its own."""

from __future__ import annotations

import time

import structlog
from typing_extensions import override

from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.ports import EntryStore, Exchange
from hurnet_stream.responder.following import Following
from hurnet_stream.responder.slices.asking import Slices
from hurnet_stream.responder.slices.gathered import GatheredContexts

log = structlog.get_logger()

STAND_S = 0.25
"""How often slices are asked how far they are. If questions wait for entries: in every turn."""
COUNT_S = 10.0
"""How often it is counted what the store holds of each context."""


class FollowingSlices(Following):
    """Moves what `memory` knows of its slices after them. The store is asked for which shards there are, and
    raises `StoreReplaced` if it is another one now."""

    def __init__(
        self,
        store: EntryStore,
        exchange: Exchange | None,
        texts: str,
        memory: GatheredContexts,
        metrics: HoldingMetrics,
    ) -> None:
        super().__init__(store, exchange, texts, memory, metrics)
        self._gathered = memory
        self._slices: Slices = memory.slices
        self._stood_at = self._counted_at = float("-inf")

    @property
    @override
    def behind(self) -> int:
        return sum(self.lag.values()) if self._slices.chosen.is_complete else 0

    @override
    def shown_by(self, metrics: HoldingMetrics) -> None:
        super().shown_by(metrics)
        self._slices.shown_by(metrics)

    @override
    def follow(self, queries_wait: bool, share: float = 1.0) -> int:
        """Look where the slices are and how far, as far as it is time for that. Returns 0: nothing comes
        in."""
        if self._slices.look():
            self._see_shards()
        now = time.monotonic()
        if queries_wait or now - self._stood_at >= STAND_S:
            self._stood_at = now
            self._slices.stand()
        if not self.caught_up and self._slices.chosen.is_complete:
            self.caught_up = True
            log.info("all slices have caught up with the store", count=self._slices.chosen.count)
        return 0

    def _see_shards(self) -> None:
        states = self._store.states()
        self._gathered.shards = frozenset(states)
        self._slices.epoch = self._gathered.epoch = next((state.epoch for state in states.values()), "")
        if any(self._gathered.places.topics.name(shard) is None for shard in states):
            self.look_up_topics()
        self.lag = {
            shard: max(0, state.rows - self._gathered.shard_rows(shard)) for shard, state in states.items()
        }
        if time.monotonic() - self._counted_at >= COUNT_S:
            self._counted_at = time.monotonic()
            self._gathered.count(self._store.holdings())
