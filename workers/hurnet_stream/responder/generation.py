"""One generation as a responder holds it: entries, weights and mixes in memory, and what answers from them.

While there are two, one answers and the other one stands by. Both follow their stores and take new weights.
Only what answers is shown in the metrics, so the other one has a registry of its own that nobody asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

from hurnet_schemas.places import ShardName
from hurnet_stream.core.arrays import backend_of, installed_torch
from hurnet_stream.core.rule.halves import halves
from hurnet_stream.core.stored.batch import EmbedderIdentity
from hurnet_stream.core.stored.generations import Generation
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.ports import Embedder, EntryStore, Exchange, SavedShelf, WeightsStore
from hurnet_stream.responder.following import Following
from hurnet_stream.responder.forwarded import Forwarded
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.rehearsing import Rehearsing
from hurnet_stream.responder.replies import Replies
from hurnet_stream.responder.shelving import Shelving
from hurnet_stream.responder.weights_in_force import WeightsInForce
from hurnet_stream.settings.settings import Settings

if TYPE_CHECKING:
    from hurnet_stream.core.search.device import Device

log = structlog.get_logger()


class LoadedGeneration:
    """A generation: its number, its store, and what is in memory of it."""

    def __init__(
        self,
        store: EntryStore,
        weights: WeightsStore,
        embedder: Embedder,
        exchange: Exchange | None,
        settings: Settings,
        metrics: HoldingMetrics,
    ) -> None:
        """Without an `exchange` it is held by a slice, which reads nothing of Kafka."""
        self.number = 0
        self.store = store
        self.embedder = embedder
        self.memory = self._memory(embedder.identity, settings, metrics)
        self.shelving: Shelving | None = None
        self.following = self._following(exchange, settings, metrics)
        self.forwarded = Forwarded(store)
        self.weights = WeightsInForce(weights, store, self.memory, metrics)
        self.rehearsing = Rehearsing(weights, store, self.memory, metrics)
        self.replies = Replies(self.memory, embedder, settings.responder, metrics.stage, store.redaction)
        self._metrics = metrics
        self._save_interval_s = settings.responder.save_interval
        store.open(embedder.identity)

    @property
    def name(self) -> str:
        """Its embedder's name."""
        return self.embedder.identity.name

    def lie_on(self, shelf: SavedShelf | None, share: str = "") -> LoadedGeneration:
        """Have vectors and texts lie on a shelf, if there is one, and hold what was saved there, if that is
        of the same share of the shards."""
        if shelf:
            identity = self.embedder.identity
            self.shelving = Shelving(self.memory, shelf, identity, self._save_interval_s, share)
            self.shelving.restore(self.store.states())
        return self

    def numbered(self, number: int) -> LoadedGeneration:
        """It is the generation with this number."""
        self.number = number
        return self

    def filled_from(self, generation: Generation) -> LoadedGeneration:
        """It is filled from the topic of this generation, to which another one may be forwarded."""
        if generation.topic:
            self.following.reads(generation.topic)
            self.forwarded.of(generation.origin, self.following.home)
            self.replies.seeing(self.seen)
        return self

    def seen(self) -> Mapping[ShardName, int]:
        """What is in memory, by the names of shards, as offsets: of its own topics, and of the one that is
        forwarded to its topic of texts."""
        own = self.memory.seen()
        return own if not self.forwarded.origin else {**own, **self.forwarded.seen(self.memory.watermarks())}

    def refresh(self) -> None:
        """Take new weights and mixes, before entries are taken in: weights say which of them need no sums."""
        if self.memory.is_still:
            return  # new weights may have aged entries leave the sums
        self.weights.refresh()
        self.rehearsing.refresh()

    def shown_by(self, metrics: HoldingMetrics) -> None:
        """From now on these metrics show it."""
        self._metrics = metrics
        self.following.shown_by(metrics)
        self.weights.shown_by(metrics)
        self.rehearsing.shown_by(metrics)
        self.replies.timed_by(metrics.stage)

    def save(self) -> None:
        """Save what is in memory, if there is a folder for it and it is time."""
        if self.shelving:
            self.shelving.step()

    def close(self) -> None:
        """Let go of its store and its folder."""
        if self.shelving:
            self.shelving.close()
        self.store.close()

    def _memory(
        self, identity: EmbedderIdentity, settings: Settings, metrics: HoldingMetrics
    ) -> LoadedContexts:
        return LoadedContexts(
            halves(identity.name, identity.dimension),
            settings.paper.features,
            settings.solve.half_life_ms,
            settings.responder.threads,
            _search_device(settings.responder.device, metrics),
            settings.paper.p,
        )

    def _following(self, exchange: Exchange | None, settings: Settings, metrics: HoldingMetrics) -> Following:
        return Following(self.store, exchange, settings.kafka.texts, self.memory, metrics)


def _search_device(name: str, metrics: HoldingMetrics) -> Device | None:
    if name == "cpu":
        return None

    def failed(reason: str) -> None:
        metrics.device_failures.inc()
        log.error("the device failed: from now on the CPU searches, with the same results", reason=reason)

    try:
        if installed_torch() is None:
            backend_of(name)  # refuses a GPU, and says what it needs
            return None
        from hurnet_stream.core.search.device import search_device  # only here: it loads torch

        return search_device(name, failed)
    except ValueError as error:
        raise ConfigurationError(f"HURNET_RESPONDER_DEVICE: {error}") from None
