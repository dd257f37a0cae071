"""The context's vocabulary: entries, batches and how far a shard has come (eq. 4).

A shard is a partition of the topic of texts. An entry's identity is its coordinates (partition, offset), and
offsets order a shard, so a reader's position is an offset too: whatever batches the entries came in, and
however often they were delivered, "everything after offset o" means the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hurnet.core.stored.entries import Entries, Entry

__all__ = [
    "KEY_BYTES",
    "MAX_COPIES",
    "MOST_TARGETS",
    "NOTHING",
    "Anchor",
    "Batch",
    "Deletion",
    "EmbedderIdentity",
    "Entry",
    "LogIdentity",
    "ShardState",
    "Vectors",
    "joined",
    "key_digest",
]

MAX_OFFSET = 2**63 - 1
NOTHING = -1
"""The watermark of a shard that has seen nothing."""

MAX_COPIES = 1_000
"""Of an entry."""

MOST_TARGETS = 1_000
"""Of one part of a deletion by key: what a store does in one step is bounded by it."""

JOINED_ROWS = 4096

KEY_BYTES = 16
"""Of a record key's digest."""

Vectors = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """The log that a context is filled from: the id of its Kafka cluster, and the UUID that its topic of
    texts got when it was made. A topic that is deleted and made again has another one."""

    cluster: str
    topic: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """What ties a shard to its log: where the last record that it holds lies, the epoch of the leader that
    took it in, and a digest of all that is in it. A log that was rewritten below has another record there."""

    offset: int
    leader_epoch: int
    digest: str

    def encode(self) -> bytes:
        """In bytes, for a store."""
        return f"{self.offset}/{self.leader_epoch}/{self.digest}".encode()

    @classmethod
    def decode(cls, raw: bytes) -> Anchor:
        """Raises ValueError where it is damaged."""
        offset, epoch, digest = raw.decode().split("/")
        return cls(int(offset), int(epoch), digest)


@dataclass(frozen=True, slots=True)
class Deletion:
    """A record of the shard's topic that deletes earlier entries of the shard.

    As asked for, it names `targets`, which are offsets; or the digest of a record key: all entries that came
    under it, in `context` only if that is given; or a context alone: all its entries. As a store gives it
    back, `targets` are what it deletes: the key's or the context's too, and none that an earlier one does.
    If these are many, it has `parts` before them, which are read one by one.
    """

    offset: int
    timestamp_ms: int
    key: bytes | None = None
    targets: tuple[int, ...] = ()
    context: str | None = None
    parts: int = 0
    anchor: Anchor | None = None
    """Of the record, only of a deletion on its way in."""

    @property
    def drops(self) -> bool:
        """Whether it deletes all of a context."""
        return self.key is None and self.context is not None


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one shard in offset order with their vectors, and the offset they bring the shard to.

    Whatever `entries` it is made with, it holds them as columns. `vectors` is (len(entries), dimension) on
    the grid. `watermark` may lie beyond the last entry's offset (dead letters, gaps of compaction and
    transactions), and `entries` may be empty. `removed` are the offsets of those that were in it and have
    been erased since. A batch with a `deletion` has nothing else, and its watermark is the deletion's offset.
    `keys`, only of a batch on its way in, are the digests of the records' keys, one an entry where there are
    any; so is `anchor`, of the last record that could be read.
    """

    partition: int
    watermark: int
    entries: Sequence[Entry]
    vectors: Vectors
    removed: tuple[int, ...] = ()
    deletion: Deletion | None = None
    keys: Sequence[bytes | None] = ()
    anchor: Anchor | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", Entries.of(self.entries))

    @property
    def columns(self) -> Entries:
        """The entries."""
        return Entries.of(self.entries)

    @property
    def rows(self) -> int:
        """Rows that it takes up in the shard, erased ones included."""
        return len(self.entries) + len(self.removed)

    def after(self, offset: int) -> Batch:
        """What of this batch lies beyond `offset`; self if all of it does."""
        skip = int(np.searchsorted(self.columns.offsets, offset, "right"))
        removed = tuple(gone for gone in self.removed if gone > offset)
        if not skip and len(removed) == len(self.removed):
            return self
        return replace(self, entries=self.entries[skip:], vectors=self.vectors[skip:], removed=removed)

    def only(self, offsets: Set[int]) -> Batch:
        """Its entries at `offsets`, as a batch."""
        rows = self._at(offsets)
        return Batch(self.partition, self.watermark, self.columns.take(rows), self.vectors[rows])

    def without(self, offsets: Set[int]) -> Batch:
        """It with the entries at `offsets` erased."""
        gone = self._at(offsets)
        kept = np.delete(np.arange(len(self.entries)), gone)
        removed = tuple(sorted({*self.removed, *self.columns.offsets[gone].tolist()}))
        return replace(self, entries=self.columns.take(kept), vectors=self.vectors[kept], removed=removed)

    def _at(self, offsets: Set[int]) -> NDArray[np.int64]:
        return np.flatnonzero([offset in offsets for offset in self.columns.offsets.tolist()])


def joined(batches: Sequence[Batch]) -> list[Batch]:
    """The same entries in fewer batches, of some thousand rows: what takes them in pays for each batch."""
    runs: list[list[Batch]] = []
    for batch in batches:
        last = runs[-1] if runs else []
        alike = last and not batch.deletion and not last[0].deletion and last[0].partition == batch.partition
        if alike and sum(part.rows for part in last) + batch.rows <= JOINED_ROWS:
            last.append(batch)
        else:
            runs.append([batch])
    return [_joined(run) for run in runs]


def _joined(run: Sequence[Batch]) -> Batch:
    if len(run) == 1:
        return run[0]
    entries = Entries.joined([batch.columns for batch in run])
    vectors = np.concatenate([batch.vectors for batch in run])
    removed = tuple(offset for batch in run for offset in batch.removed)
    return Batch(run[0].partition, run[-1].watermark, entries, vectors, removed)


def key_digest(key: bytes) -> bytes:
    """What stands for a record's key, so that none need be stored: 16 bytes of BLAKE2b."""
    return hashlib.blake2b(key, digest_size=KEY_BYTES).digest()


@dataclass(frozen=True, slots=True)
class ShardState:
    """How far a shard has come. `rows` counts all ever appended, erased ones included. `epoch` is that of its
    context, drawn when this was begun. `anchor` is that of its last record, which may lie below the
    watermark; a checkpoint has none."""

    watermark: int = NOTHING
    rows: int = 0
    epoch: str = ""
    anchor: Anchor | None = None


@dataclass(frozen=True, slots=True)
class EmbedderIdentity:
    """What made the vectors of a context; stored with it and never changed."""

    name: str
    fingerprint: str
    dimension: int
