"""The context as a responder holds it: an index per named context, and the weights in force for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hurnet.core.index.index import ContextIndex
from hurnet.core.native import search as kernels
from hurnet.core.paper.feature_sums import FeatureSums
from hurnet.core.paper.kernel_features import KernelMap
from hurnet.core.rule.encoded_words import forget_texts
from hurnet.core.solve.weights import NO_FEATURES
from hurnet.core.solve.window import Window
from hurnet.core.stored.batch import NOTHING, Batch
from hurnet.ports import PublishedWeights

if TYPE_CHECKING:
    from hurnet.core.search.device import Device


class LoadedContexts:
    """Follows the shards, batch by batch; `watermarks` is the last offset seen of each."""

    def __init__(
        self,
        dimension: int,
        features: str = NO_FEATURES,
        half_life_ms: int = 0,
        threads: int = 1,
        device: Device | None = None,
    ) -> None:
        self._dimension = dimension
        self._threads = threads
        self._device = device
        self.features = KernelMap(features, dimension)
        self.half_life_ms = half_life_ms
        self._indexes: dict[str, ContextIndex] = {}
        self._sums: dict[str, FeatureSums] = {}
        self._weights: dict[str, PublishedWeights] = {}
        self._watermarks: dict[int, int] = {}
        self._shard_rows: dict[int, int] = {}

    def append(self, batch: Batch) -> int:
        """Take in what of `batch` is new, and take out what it deletes; returns how many entries came in."""
        fresh = batch.after(self._watermarks.get(batch.partition, NOTHING))
        for context, entries, rows in fresh.columns.by_context():
            self._index(context).append(batch.partition, entries, fresh.vectors[rows])
            if context in self._sums:
                self._sums[context].add(entries, fresh.vectors[rows])
        self._watermarks[batch.partition] = max(
            batch.watermark, self._watermarks.get(batch.partition, NOTHING)
        )
        self._shard_rows[batch.partition] = self.shard_rows(batch.partition) + fresh.rows
        if batch.deletion:
            self.remove(batch.partition, batch.deletion.targets)
        return len(fresh.entries)

    def remove(self, partition: int, offsets: Sequence[int]) -> None:
        """Take out the entries of a shard at these offsets, whatever context they are of. An entry is
        in at most one index; one that was erased before it was read is in none."""
        wanted = np.unique(np.array(offsets, np.int64))
        for context, index in list(self._indexes.items()):
            rows = index.find_all(partition, wanted)
            if not len(rows):
                continue
            if context in self._sums:
                entries = [index.entry(row) for row in rows.tolist()]
                self._sums[context].subtract(entries, index.vectors(rows).astype(np.int16))
            here = index.offsets(rows)
            index.remove_all(partition, here)
            if not len(index):  # the context may be dropped: nothing of it stays
                del self._indexes[context]
                self._sums.pop(context, None)
            wanted = np.setdiff1d(wanted, here)
        forget_texts()

    def use(self, context: str, weights: PublishedWeights | None) -> None:
        """From now on these are the weights of `context`; None: it has none. Raises ValueError where they
        work on other features or dimensions, or forget otherwise, than this memory was made for."""
        if weights is None:
            self._weights.pop(context, None)
            return
        certificate = weights.weights.certificate
        if certificate.features != self.features.identity:
            raise ValueError(
                f"they work on features {certificate.features}, and these here are {self.features.identity}"
            )
        size = len(weights.weights.projection)
        if size != self.features.size:
            raise ValueError(f"they are of dimension {size}, and here it is {self.features.size}")
        if round(certificate.half_life * 1000) != self.half_life_ms:
            here = self.half_life_ms / 1000
            raise ValueError(f"their half-life is {certificate.half_life:g} s, and here it is {here:g} s")
        self._weights[context] = weights
        if context in self._indexes:
            self._indexes[context].age_to(self._window(context))

    def index(self, context: str) -> ContextIndex:
        """The entries of `context`; an empty index where there are none."""
        index = self._indexes.get(context)
        return ContextIndex(self._dimension) if index is None else index

    @property
    def searched_by(self) -> str:
        """What makes the first pass of a search: a device, the kernels, or libraries in their stead."""
        if self._device and not self._device.failed:
            return self._device.place.type
        return "kernels" if kernels.available() else "libraries"

    def sums(self, context: str) -> FeatureSums | None:
        """What weights on features need of `context`; None where there are no features, or no entries."""
        return self._sums.get(context)

    def weights(self, context: str) -> PublishedWeights | None:
        """The weights in force for `context`."""
        return self._weights.get(context)

    def watermarks(self) -> Mapping[int, int]:
        """The last offset seen per shard; a shard of which nothing was seen is left out."""
        return {p: watermark for p, watermark in self._watermarks.items() if watermark != NOTHING}

    def shard_rows(self, partition: int) -> int:
        """Rows taken in from a shard, those erased or removed since included."""
        return self._shard_rows.get(partition, 0)

    def rows(self) -> Mapping[str, int]:
        """Rows held per context, without those removed."""
        return {context: len(index) for context, index in self._indexes.items()}

    def _index(self, context: str) -> ContextIndex:
        if context not in self._indexes:
            self._indexes[context] = ContextIndex(
                self._dimension, self._window(context), self._threads, self._device
            )
            if self.features.identity != NO_FEATURES:
                self._sums[context] = FeatureSums(self.features)
        return self._indexes[context]

    def _window(self, context: str) -> Window:
        """As of the weights in force."""
        weights = self._weights.get(context)
        return Window(self.half_life_ms, weights.weights.certificate.pane if weights else 0)
