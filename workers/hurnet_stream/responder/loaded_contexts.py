"""What a responder holds in memory: an index per context, and the weights in force for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from hurnet_schemas.places import ShardName
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.paper.feature_sums import FeatureSums
from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.paper.lp import EUCLIDEAN
from hurnet_stream.core.paper.variant import Variant
from hurnet_stream.core.rule.encoded_words import forget_texts
from hurnet_stream.core.rule.gathering import Question
from hurnet_stream.core.rule.halves import Halves
from hurnet_stream.core.rule.mix import PRIOR, Mix
from hurnet_stream.core.shelf import FileName, Shelf, Tree
from hurnet_stream.core.solve.weights import NO_FEATURES
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.stored.batch import NOTHING, Batch
from hurnet_stream.places import Places
from hurnet_stream.ports import PublishedWeights
from hurnet_stream.responder.one_context import TEXTS_ALONE, LoadedContext

if TYPE_CHECKING:
    from hurnet_stream.core.search.device import Device

T = TypeVar("T")


class LoadedContexts:
    """All contexts. It follows the shards of the store batch by batch: `append` takes in what is newer than
    the shard's watermark, and moves that on. `watermarks` is the last offset taken in of each shard."""

    def __init__(
        self,
        halves: Halves,
        features: str = NO_FEATURES,
        half_life_ms: int = 0,
        threads: int = 1,
        device: Device | None = None,
        p: float = EUCLIDEAN,
    ) -> None:
        self._halves = halves
        self._dimension = halves.dimension
        self._mixes: dict[str, Mix] = {}
        self._changes: dict[str, int] = {}
        self._threads = threads
        self._device = device
        self._shelf: Shelf | None = None
        self._saved: dict[str, tuple[int, FileName]] = {}  # by context: of how many changes, and its file
        self.is_still = False
        """Whether nothing may be appended or removed, since another thread reads what is held."""
        self._p = p
        self.features = KernelMap(features, halves.dimension)
        self.half_life_ms = half_life_ms
        self._indexes: dict[str, ContextIndex] = {}
        self._sums: dict[str, FeatureSums] = {}
        self._weights: dict[str, PublishedWeights] = {}
        self._watermarks: dict[int, int] = {}
        self._shard_rows: dict[int, int] = {}
        self._deleting: dict[int, int] = {}
        self.epoch = ""
        """That of the store; "" if there is none."""
        self._places = TEXTS_ALONE
        self._seen: tuple[Mapping[int, int], Mapping[ShardName, int]] = ({}, {})

    @property
    def places(self) -> Places:
        """What the entries and shards of the store are called."""
        return self._places

    def name_by(self, places: Places) -> None:
        """From now on entries and shards are called so."""
        if places != self._places:
            self._places, self._seen = places, ({}, {})

    def append(self, batch: Batch) -> int:
        """Take in what is new in `batch`, and take out what it deletes. Returns how many entries came in."""
        watermark = self._watermarks.get(batch.partition, NOTHING)
        # The store may give a batch again that was taken in, wholly or in part: only what is above counts.
        fresh = batch.after(watermark)
        for context, entries, rows in fresh.columns.by_context():
            self._index(context).append(batch.partition, entries, fresh.vectors[rows])
            self._changes[context] = self.changes(context) + len(entries)
            if context in self._sums:
                self._sums[context].add(entries, fresh.vectors[rows])
        self._watermarks[batch.partition] = max(batch.watermark, watermark)
        counted = self.shard_rows(batch.partition) + fresh.rows
        self._shard_rows[batch.partition] = counted if batch.end is None else batch.end
        if fresh.deletion:
            self.remove(batch.partition, fresh.deletion.targets)
        self._deleting.pop(batch.partition, None)
        return len(fresh.entries)

    @property
    def is_whole(self) -> bool:
        """Whether it holds what its watermarks say: no deletion is half done."""
        return not self._deleting

    def lie_on(self, shelf: Shelf) -> None:
        """Have vectors and texts of all contexts lie on this shelf; there is none yet."""
        self._shelf = shelf

    def saved(self, shelf: Shelf) -> Tree:
        """What `restore` needs. Contexts that have changed are written to the shelf. Another thread may
        search meanwhile, but nothing may be appended or removed."""
        for context, index in self._indexes.items():
            changes, file = self.changes(context), self._saved.get(context)
            if file and file[0] == changes:
                continue
            if name := shelf.write("context", index.saved()):
                self._saved[context] = changes, name
        self._saved = {context: file for context, file in self._saved.items() if context in self._indexes}
        return {
            "contexts": {context: name for context, (_, name) in self._saved.items()},
            "watermarks": list(map(list, self._watermarks.items())),
            "shard_rows": list(map(list, self._shard_rows.items())),
        }

    def write_ahead(self) -> Iterator[object]:
        """Write parts of what `saved` would write, one at each step."""
        for context in list(self._indexes):
            if index := self._indexes.get(context):
                yield from index.write_ahead()

    def restore(self, tree: Tree, shelf: Shelf, check: bool) -> None:
        """Be what was saved; it is empty. All that lies in files is read if `check`. Raises DamagedShelf, or
        what else reading nonsense raises: `forget` must follow."""
        for context, name in tree["contexts"].items():
            self._indexes[context] = index = self._empty(context)
            index.restore(shelf.read(name))
            if check:
                index.check()
            self._changes[context] = len(index)
        self._watermarks, self._shard_rows = dict(tree["watermarks"]), dict(tree["shard_rows"])

    def settle(self) -> bool:
        """After `restore`, a small step towards the memory that searches are fastest in; False if there is
        none left."""
        return any(index.settle() for index in self._indexes.values())

    def forget(self) -> None:
        """Hold no entry any more, as at the beginning."""
        for held in (self._indexes, self._saved, self._changes, self._watermarks, self._shard_rows):
            held.clear()

    def remove(self, partition: int, offsets: Sequence[int], done: int = 0) -> None:
        """Take out the entries of a shard at these offsets, whatever their contexts. An entry that the store
        had erased before it was read is in no index, and is passed over. `done` are those of the same
        deletion that went before."""
        # One that is begun anew, after its store failed, has got as far as it had before.
        self._deleting[partition] = max(done + len(offsets), self._deleting.get(partition, 0))
        wanted = np.unique(np.array(offsets, np.int64))
        for context, index in list(self._indexes.items()):
            rows = index.find_all(partition, wanted)
            if not len(rows):
                continue
            if context in self._sums:
                entries = [index.entry(row) for row in rows.tolist()]
                self._sums[context].subtract(entries, index.vectors(rows))
            removed = index.offsets(rows)
            self._changes[context] = self.changes(context) + len(rows)
            index.remove_all(partition, removed)
            if not len(index):  # the context may have been dropped: nothing of it may stay
                del self._indexes[context]
                self._sums.pop(context, None)
            # An entry is in one context alone: the next index is not asked for those that this one had.
            wanted = np.setdiff1d(wanted, removed)
        forget_texts()

    def use(self, context: str, weights: PublishedWeights | None) -> None:
        """From now on these are the weights of `context`; None: it has none. Raises ValueError if they work
        on other features or dimensions, or with another half-life, than this memory was made for."""
        if weights is None:
            self._weights.pop(context, None)
            return
        self._check_fit(weights)
        self._weights[context] = weights
        if context in self._indexes:
            self._indexes[context].age_to(self._window(context))

    def context(self, name: str) -> LoadedContext:
        """What is held of one context: an empty index and no weights if there is nothing."""
        return LoadedContext(
            self.index(name),
            self.weights(name),
            self.watermarks(),
            self.half_life_ms,
            self._variant(name),
            self._halves,
            self.mix(name),
            self.epoch,
            self.deleting(),
            self._places,
        )

    def using(
        self,
        name: str,
        use: Callable[[LoadedContext], T],
        asked: Callable[[], Sequence[Question]] = tuple,  # noqa: ARG002 - for who has to gather
    ) -> T:
        """What `use` makes of one context. `asked` gives the questions that it will ask."""
        return use(self.context(name))

    @property
    def away(self) -> str:
        """Why no question can be answered now; "" if they can. What is in memory is never away."""
        return ""

    def use_mix(self, context: str, mix: Mix | None) -> None:
        """From now on the parts of an answer count in `context` as this mix says; None: as the prior says."""
        if mix is None:
            self._mixes.pop(context, None)
        else:
            self._mixes[context] = mix

    def changes(self, context: str) -> int:
        """How many entries have come into `context` and gone out of it since this memory began."""
        return self._changes.get(context, 0)

    def mix(self, context: str) -> Mix:
        """How much each part counts in `context`."""
        return self._mixes.get(context, PRIOR)

    def index(self, context: str) -> ContextIndex:
        """The entries of `context`; an empty index if there are none."""
        index = self._indexes.get(context)
        return ContextIndex(self._dimension) if index is None else index

    def weights(self, context: str) -> PublishedWeights | None:
        """The weights in force for `context`."""
        return self._weights.get(context)

    def watermarks(self) -> Mapping[int, int]:
        """The last offset taken in of each shard, without the shards of which there is none."""
        return {p: watermark for p, watermark in self._watermarks.items() if watermark != NOTHING}

    def deleting(self) -> Mapping[int, int]:
        """By shard, how many entries are out already of a deletion that the watermark has not passed yet."""
        return dict(self._deleting)

    def seen(self) -> Mapping[ShardName, int]:
        """The same by the names of the shards, as clients ask for them."""
        watermarks = self.watermarks()
        if self._seen[0] != watermarks:  # it is asked for in every turn, and there may be thousands
            self._seen = watermarks, self._places.seen(watermarks)
        return self._seen[1]

    def shard_rows(self, partition: int) -> int:
        """Rows taken in from a shard, with those that were erased or removed since."""
        return self._shard_rows.get(partition, 0)

    def rows(self) -> Mapping[str, int]:
        """Rows held per context, without those removed."""
        return {context: len(index) for context, index in self._indexes.items()}

    def index_bytes(self) -> Mapping[str, int]:
        """Bytes of memory that the index of each context takes."""
        return {context: index.nbytes for context, index in self._indexes.items()}

    @property
    def searched_by(self) -> str:
        """What makes the first pass of a search: a device, the kernels in C, or libraries in their place."""
        if self._device and not self._device.failed:
            return self._device.torch_device.type
        return "kernels" if kernels.available() else "libraries"

    def _index(self, context: str) -> ContextIndex:
        if context not in self._indexes:
            self._indexes[context] = self._empty(context)
            if self.features.identity != NO_FEATURES:
                self._sums[context] = FeatureSums(self.features)
        return self._indexes[context]

    def _empty(self, context: str) -> ContextIndex:
        window = self._window(context)
        return ContextIndex(self._dimension, window, self._threads, self._device, self._shelf)

    def _window(self, context: str) -> Window:
        """How entries age: as the weights in force have it, so that both count a row alike."""
        weights = self._weights.get(context)
        return Window(self.half_life_ms, weights.weights.certificate.pane if weights else 0)

    def _check_fit(self, weights: PublishedWeights) -> None:
        certificate, size = weights.weights.certificate, len(weights.weights.projection)
        if certificate.features != self.features.identity:
            raise ValueError(
                f"their features are {certificate.features}, and this worker has {self.features.identity}"
            )
        if size != self.features.size:
            raise ValueError(f"their dimension is {size}, and this worker has {self.features.size}")
        if round(certificate.half_life * 1000) != self.half_life_ms:
            half_life = f"{certificate.half_life:g} s, and this worker has {self.half_life_ms / 1000:g} s"
            raise ValueError(f"their half-life is {half_life}")

    def _variant(self, context: str) -> Variant | None:
        if self.features.identity == NO_FEATURES:
            return None if self._p == EUCLIDEAN else Variant(self._p)
        return Variant(self._p, self._sums.get(context) or FeatureSums(self.features))
