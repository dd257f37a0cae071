"""One generation as a coordinator holds it: weights and mixes in memory, and its entries in slices."""

from __future__ import annotations

from typing_extensions import override

from hurnet_stream.core.rule.halves import halves
from hurnet_stream.core.stored.batch import EmbedderIdentity
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.ports import Embedder, EntryStore, Exchange, SliceCalls, SliceMembers, WeightsStore
from hurnet_stream.responder.following import Following
from hurnet_stream.responder.generation import LoadedGeneration
from hurnet_stream.responder.slices.asking import Slices
from hurnet_stream.responder.slices.following import FollowingSlices
from hurnet_stream.responder.slices.gathered import GatheredContexts
from hurnet_stream.settings.settings import Settings


class GatheredGeneration(LoadedGeneration):
    """A generation of which `members` hold the entries, who are asked by `calls`."""

    def __init__(
        self,
        stores: tuple[EntryStore, WeightsStore],
        slices: tuple[SliceMembers, SliceCalls],
        embedder: Embedder,
        exchange: Exchange,
        settings: Settings,
        metrics: HoldingMetrics,
    ) -> None:
        chosen = settings.slices
        self._slices = Slices(*slices, chosen.count, chosen.timeout, metrics)
        super().__init__(*stores, embedder, exchange, settings, metrics)

    @override
    def numbered(self, number: int) -> LoadedGeneration:
        self._slices.number = number
        return super().numbered(number)

    @override
    def close(self) -> None:
        self._slices.close()
        super().close()

    @override
    def _memory(
        self, identity: EmbedderIdentity, settings: Settings, metrics: HoldingMetrics
    ) -> GatheredContexts:
        shape = halves(identity.name, identity.dimension)
        goes_on = settings.slices.away == "partial"
        return GatheredContexts(shape, settings.solve.half_life_ms, self._slices, goes_on)

    @override
    def _following(self, exchange: Exchange | None, settings: Settings, metrics: HoldingMetrics) -> Following:
        assert isinstance(self.memory, GatheredContexts)  # noqa: S101 - made just above
        return FollowingSlices(self.store, exchange, settings.kafka.texts, self.memory, metrics)
