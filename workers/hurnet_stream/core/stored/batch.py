"""What a store is made of: batches of entries, deletions, and how far a shard has come (eq. 4).

A shard is the entries of one partition of the topic of texts. An entry is named by its partition and offset,
and offsets order a shard, so a reader's position is an offset too:

    partition 2 of texts    offset 0 text | 1 text | 2 dead letter | 3 text | 4 deletes 1 | 5 text
    shard 2                 batch: entries 0, 1, 3, watermark 3  |  deletion of 1, at 4  |  batch: entry 5

"Everything after offset 3" means the same, whatever batches the entries came in and however often they were
delivered.

A text may take the place of those that came under its key before. Then the old ones go in the very step in
which the new one comes:

    offset 6, text under key "a"    batch: entry 6, watermark 6
    offset 7, text under key "a"    batch: entry 7, watermark 7, which replaces 6 by 7
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.stored.entries import Entries, Entry

__all__ = [
    "APPEND",
    "KEY_BYTES",
    "MAX_COPIES",
    "MOST_TARGETS",
    "NOTHING",
    "UPSERT",
    "Anchor",
    "Batch",
    "Deletion",
    "EmbedderIdentity",
    "Entry",
    "Expiry",
    "LogIdentity",
    "ShardState",
    "Vectors",
    "joined",
    "joined_as_one",
    "key_digest",
]

MAX_OFFSET = 2**63 - 1
NOTHING = -1
"""The watermark of a shard that has seen nothing."""

MAX_COPIES = 1_000
"""The most copies that an entry counts as."""

MOST_TARGETS = 1_000
"""The most targets in one part of a deletion by key. It bounds what a store does in one step."""

JOINED_ROWS = 4096
"""The most rows of a batch that is joined from several."""

UPSERT = "upsert"
"""Keyed texts take the place of what their context held under the key."""
APPEND = "append"
"""Keyed texts stand beside it."""

KEY_BYTES = 16
"""The size of a record key's digest."""

Vectors = NDArray[np.int16]
"""Rows on the grid, (n, d)."""


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """The log that a store is filled from: the id of its Kafka cluster, and the UUID that its topic of texts
    got when it was made. A topic that is deleted and made again has another one."""

    cluster: str
    topic: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """What ties a shard to its log: the offset of the last record that it holds, the epoch of the leader that
    took the record in, and a digest of all that is in it. A log that has been rewritten has another record at
    that offset."""

    offset: int
    leader_epoch: int
    digest: str

    def encode(self) -> bytes:
        """As bytes, for a store."""
        return f"{self.offset}/{self.leader_epoch}/{self.digest}".encode()

    @classmethod
    def decode(cls, raw: bytes) -> Anchor:
        """What was encoded. Raises ValueError for anything else."""
        offset, epoch, digest = raw.decode().split("/")
        return cls(int(offset), int(epoch), digest)


@dataclass(frozen=True, slots=True)
class Expiry:
    """Which entries of a context have become too old: those from before a time, up to a place.

    The place makes it the same set, whenever it is looked for: what comes later is never in it, however old.
    """

    before_ms: int
    """In milliseconds since 1970."""
    through: int
    """The last offset at which such an entry was found."""

    def covers(self, offset: int, timestamp_ms: int) -> bool:
        """Whether an entry of the context is too old."""
        return offset <= self.through and timestamp_ms < self.before_ms

    def includes(self, other: Expiry) -> bool:
        """Whether it covers all that the other does."""
        return other.through <= self.through and other.before_ms <= self.before_ms


@dataclass(frozen=True, slots=True)
class Deletion:
    """A record of the shard's topic that deletes earlier entries of the shard.

        asked for by      deletes
        targets           the entries at these offsets
        key               all entries whose records had the key with this digest
        key and context   the same, but only those of the context
        context alone     all entries of the context
        ... and expiry    those of them that are too old

    When a store gives a deletion back, `targets` are the entries that it deletes in any of these ways and
    that no earlier deletion had deleted. If they are many, the first ones come in `parts`, which are read one
    by one, and `targets` are the rest.

    One that `replaces` stands beside entries in a batch, which take the place of the targets; nobody has sent
    a record for it. `by` says for each target which position takes its place. The targets in `parts` are
    replaced by what stands at `offset`, which may lie below the batch's watermark.
    """

    offset: int
    timestamp_ms: int
    key: bytes | None = None
    targets: tuple[int, ...] = ()
    context: str | None = None
    parts: int = 0
    anchor: Anchor | None = None
    """The anchor of the deletion's own record. Only a deletion on its way into a store has one."""
    replaces: bool = False
    by: tuple[int, ...] = ()
    expiry: Expiry | None = None

    @property
    def drops(self) -> bool:
        """Whether it deletes a whole context."""
        return self.key is None and self.context is not None and self.expiry is None

    def after(self, offset: int) -> Deletion:
        """What of it is to be done by a reader that has seen everything up to `offset`. Only a batch that
        replaces may be begun in its middle."""
        if not self.replaces or (self.offset > offset and all(by > offset for by in self.by)):
            return self
        left = [pair for pair in zip(self.targets, self.by, strict=True) if pair[1] > offset]
        targets, by = zip(*left, strict=True) if left else ((), ())
        return replace(self, targets=targets, by=by, parts=self.parts if self.offset > offset else 0)

    def upto(self, offset: int) -> Deletion:
        """What of it a reader has done that has seen everything up to `offset` and nothing beyond."""
        if not self.replaces or all(by <= offset for by in self.by):
            return self
        done = [pair for pair in zip(self.targets, self.by, strict=True) if pair[1] <= offset]
        targets, by = zip(*done, strict=True) if done else ((), ())
        return replace(self, targets=targets, by=by, parts=self.parts if self.offset <= offset else 0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one shard in the order of their offsets, with their vectors. Appending them advances the
    shard to `watermark`.

    `entries` are held as columns, whatever the batch is made with, and may be empty. `vectors` (entries, d)
    are on the grid. `watermark` may lie beyond the last entry's offset: after it came dead letters, or the
    gaps that compaction and transactions leave. `removed` are the offsets of entries that were in the batch
    and have been erased, and `gone` is how many more have been erased, whose offsets nobody knows any more
    (compaction.py). A batch with a `deletion` has nothing else, and its watermark is the deletion's offset,
    unless its entries take the place of what is deleted (`Deletion.replaces`). `end` is how many rows its
    shard has up to here, erased ones included, if it was read from a store.

    Only a batch on its way into a store has `keys`, the digests of the records' keys, one for each entry if
    any record has a key, and the `anchor` of the last record that could be read. `replaces` says, as long as
    `keys` or empty, which entries take the place of what the shard holds under their key and context; entries
    of one record that share both stand together. Its `deletion`, if there is one, then names positions that
    never were entries, because a later record of the same batch takes their place. `mode` says how keyed
    texts are taken in from this batch on, `UPSERT` or `APPEND`; "" says nothing.
    """

    partition: int
    watermark: int
    entries: Sequence[Entry]
    vectors: Vectors
    removed: tuple[int, ...] = ()
    deletion: Deletion | None = None
    keys: Sequence[bytes | None] = ()
    replaces: Sequence[bool] = ()
    mode: str = ""
    anchor: Anchor | None = None
    gone: int = 0
    end: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", Entries.of(self.entries))

    @property
    def columns(self) -> Entries:
        """The entries as columns, which is how they are held."""
        return Entries.of(self.entries)

    @property
    def rows(self) -> int:
        """The rows that it takes up in the shard, erased ones included."""
        return len(self.entries) + len(self.removed) + self.gone

    def after(self, offset: int) -> Batch:
        """The part of this batch that lies beyond `offset`; itself if all of it does."""
        skip = int(np.searchsorted(self.columns.offsets, offset, "right"))
        removed = tuple(gone for gone in self.removed if gone > offset)
        deletion = self.deletion.after(offset) if self.deletion else None
        if not skip and len(removed) == len(self.removed) and deletion is self.deletion:
            return self
        entries, vectors = self.entries[skip:], self.vectors[skip:]
        return replace(self, entries=entries, vectors=vectors, removed=removed, deletion=deletion)

    def only(self, offsets: Set[int]) -> Batch:
        """Its entries at these offsets, as a batch."""
        rows = self._rows_at(offsets)
        return Batch(self.partition, self.watermark, self.columns.take(rows), self.vectors[rows])

    def without(self, offsets: Set[int]) -> Batch:
        """The batch with the entries at these offsets erased."""
        gone = self._rows_at(offsets)
        kept = np.delete(np.arange(len(self.entries)), gone)
        removed = tuple(sorted({*self.removed, *self.columns.offsets[gone].tolist()}))
        return replace(self, entries=self.columns.take(kept), vectors=self.vectors[kept], removed=removed)

    def _rows_at(self, offsets: Set[int]) -> NDArray[np.int64]:
        return np.flatnonzero([offset in offsets for offset in self.columns.offsets.tolist()])


def joined(batches: Sequence[Batch]) -> list[Batch]:
    """The same entries in fewer and larger batches, because each batch has a fixed cost besides its rows."""
    runs: list[list[Batch]] = []
    for batch in batches:
        last = runs[-1] if runs else []
        alike = last and not batch.deletion and not last[0].deletion and last[0].partition == batch.partition
        if alike and sum(part.rows for part in last) + batch.rows <= JOINED_ROWS:
            last.append(batch)
        else:
            runs.append([batch])
    return [run[0] if len(run) == 1 else joined_as_one(run) for run in runs]


def joined_as_one(run: Sequence[Batch]) -> Batch:
    """The rows of neighbouring batches in one, which goes up to the watermark of the last, without what they
    delete."""
    entries = Entries.joined([batch.columns for batch in run])
    vectors = np.concatenate([batch.vectors for batch in run])
    removed = tuple(offset for batch in run for offset in batch.removed)
    gone, end = sum(batch.gone for batch in run), run[-1].end
    return Batch(run[0].partition, run[-1].watermark, entries, vectors, removed, gone=gone, end=end)


def key_digest(key: bytes) -> bytes:
    """The digest that is stored instead of a record's key: 16 bytes of BLAKE2b."""
    return hashlib.blake2b(key, digest_size=KEY_BYTES).digest()


@dataclass(frozen=True, slots=True)
class ShardState:
    """How far a shard has come.

    `rows` counts all that were ever appended, erased ones included. `epoch` is the store's, drawn when that
    was begun. `anchor` is that of the shard's last record, which may lie below the watermark; a checkpoint
    has none. Deletions up to the offset `floor` may have been compacted away: see `Horizon`. `modes` says
    from which position on keyed texts were taken in how, ascending; before the first they were appended.
    """

    watermark: int = NOTHING
    rows: int = 0
    epoch: str = ""
    anchor: Anchor | None = None
    floor: int = NOTHING
    modes: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EmbedderIdentity:
    """What made the vectors of a store; stored with it and never changed."""

    name: str
    fingerprint: str
    dimension: int
