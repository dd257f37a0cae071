"""The context's vocabulary: entries, batches and how far a shard has come (eq. 4).

A shard is a partition of the topic of texts. An entry's identity is its coordinates (partition, offset), and
offsets order a shard, so a reader's position is an offset too: whatever batches the entries came in, and
however often they were delivered, "everything after offset o" means the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

NOTHING = -1
"""The watermark of a shard that has seen nothing."""

MAX_WEIGHT = 1_000
"""Of an entry."""

KEY_BYTES = 16
"""Of a record key's digest."""

Vectors = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Entry:
    """A validated item of the context. `weight`, 1 to MAX_WEIGHT, is how many copies of it teach the same."""

    offset: int
    timestamp_ms: int
    context: str
    text: str
    answer: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Deletion:
    """A record of the shard's topic that deletes earlier entries of the shard.

    As asked for, it names the digest of a record key (all entries that came under it) or `targets`, offsets.
    As a store gives it back, `targets` are all it deletes: the key's too, and none that an earlier one does.
    """

    offset: int
    timestamp_ms: int
    key: bytes | None = None
    targets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one shard in offset order with their vectors, and the offset they bring the shard to.

    `vectors` is (len(entries), dimension) on the grid. `watermark` may lie beyond the last entry's offset
    (dead letters, gaps of compaction and transactions), and `entries` may be empty. `removed` are the offsets
    of those that were in it and have been erased since. A batch with a `deletion` has nothing else, and its
    watermark is the deletion's offset. `keys`, only of a batch on its way in, are the digests of the records'
    keys, one an entry where there are any.
    """

    partition: int
    watermark: int
    entries: Sequence[Entry]
    vectors: Vectors
    removed: tuple[int, ...] = ()
    deletion: Deletion | None = None
    keys: Sequence[bytes | None] = ()

    @property
    def rows(self) -> int:
        """Rows that it takes up in the shard, erased ones included."""
        return len(self.entries) + len(self.removed)

    def after(self, offset: int) -> Batch:
        """What of this batch lies beyond `offset`; self if all of it does."""
        skip = sum(entry.offset <= offset for entry in self.entries)
        removed = tuple(gone for gone in self.removed if gone > offset)
        if not skip and len(removed) == len(self.removed):
            return self
        return replace(self, entries=self.entries[skip:], vectors=self.vectors[skip:], removed=removed)

    def only(self, offsets: Set[int]) -> Batch:
        """Its entries at `offsets`, as a batch."""
        rows = [row for row, entry in enumerate(self.entries) if entry.offset in offsets]
        return Batch(self.partition, self.watermark, [self.entries[row] for row in rows], self.vectors[rows])

    def without(self, offsets: Set[int]) -> Batch:
        """It with the entries at `offsets` erased."""
        rows = [row for row, entry in enumerate(self.entries) if entry.offset not in offsets]
        gone = {entry.offset for entry in self.entries} & offsets
        removed = tuple(sorted(gone.union(self.removed)))
        kept = [self.entries[row] for row in rows]
        return replace(self, entries=kept, vectors=self.vectors[rows], removed=removed)


def key_digest(key: bytes) -> bytes:
    """What stands for a record's key, so that none need be stored: 16 bytes of BLAKE2b."""
    return hashlib.blake2b(key, digest_size=KEY_BYTES).digest()


@dataclass(frozen=True, slots=True)
class ShardState:
    """How far a shard has come. `rows` counts all ever appended, erased ones included. `epoch` is that of its
    context, drawn when this was begun."""

    watermark: int = NOTHING
    rows: int = 0
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class EmbedderIdentity:
    """What made the vectors of a context; stored with it and never changed."""

    name: str
    fingerprint: str
    dimension: int
