"""The store: all entries of all contexts, append-only, a shard for each partition of the topic of texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hurnet_stream.core.places import NumberedTopic, Topics
from hurnet_stream.core.stored.batch import (
    NOTHING,
    Batch,
    Deletion,
    EmbedderIdentity,
    Entry,
    Expiry,
    LogIdentity,
    ShardState,
    Vectors,
)
from hurnet_stream.core.stored.compaction import Horizon
from hurnet_stream.core.stored.segments import Sealing
from hurnet_stream.errors import StoreReplaced
from hurnet_stream.ports.group_progress import GroupProgress
from hurnet_stream.ports.partition_marks import PartitionMarks

BEHIND = "this reader is so far behind that it may hold what was deleted meanwhile, and begins anew"


@dataclass(frozen=True, slots=True)
class Appended:
    """Everything was written, and the shard's watermark is the batch's or the deletion's. `replaced` entries
    made place for those of the batch, those of the batch itself among them, and `rows` of it are left."""

    state: ShardState
    replaced: int = 0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Only a part is done: ask for the rest, which is what lies behind the watermark of `state`. A deletion
    has not moved it. An append may have, up to a text that replaces very many, of which `replaced` are done,
    and `rows` are in.
    """

    state: ShardState
    replaced: int = 0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was written, because the shard's watermark is not the expected one but that of `state`."""

    state: ShardState


@dataclass(frozen=True, slots=True)
class Holding:
    """What one shard holds of one context.

    `rows` and `bytes` (of vectors and texts) count deleted entries too, until they are erased. `first` is
    the offset of the first entry since the context was admitted, or since it was last dropped; None if no
    entry has come since.
    """

    rows: int
    bytes: int
    first: int | None


@dataclass(frozen=True, slots=True)
class Tail:
    """New batches, and the states of all shards as they were just before the batches were read.

    The batches of a shard are in order, and they hold nothing at or before the position that was asked
    for. The last batch of a shard may have no entries: it takes the reader over offsets that hold none. So
    a reader's position is always the watermark of the last batch that it was given. `floors` are those of the
    shards that were read, as they were after it.
    """

    batches: Sequence[Batch]
    states: Mapping[int, ShardState]
    floors: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoreServer:
    """What the server that holds the store says of itself; None: it does not say, or was not asked yet.

    `memory_max_bytes` is 0 if no limit is set. `saved` is False if the last write to its files failed.
    """

    memory_bytes: int | None = None
    memory_max_bytes: int | None = None
    saved: bool | None = None
    replicas: int | None = None


class EntryStore(GroupProgress, PartitionMarks, Protocol):
    """All entries of all contexts.

    If the store was emptied or begun anew since it was opened (or first read), every call but `open` and
    `log` raises `StoreReplaced` and does nothing.
    """

    def open(self, identity: EmbedderIdentity, writing: bool = False) -> None:
        """Begin a store with this embedder if there is none; otherwise check that it is the same embedder.

        Raises `EmbedderMismatch` if it is another, and `UpgradeNeeded` if only a newer program may read
        the store (or write to it, if `writing`). Reads and writes raise `UpgradeNeeded` too if a newer
        program changes the store later.
        """

    def incarnation(self) -> str:
        """A name of the server process that holds the store.

        It changes if the server restarts or another one takes its place, perhaps with less than was
        acknowledged. A change shows within two seconds. Raises `TransientError` if the server takes no
        writes.
        """

    def server(self) -> StoreServer:
        """How the server is, as of about ten seconds ago. No round trip."""

    def identity(self) -> EmbedderIdentity | None:
        """The embedder of the store; None if there is no store yet."""

    def log(self) -> LogIdentity | None:
        """The log that the store is filled from; None if that is not settled yet.

        From the first reply on, a store that was filled from another Kafka cluster raises `ForeignLog`.
        """

    def bind(self, log: LogIdentity) -> LogIdentity:
        """Settle that the store is filled from `log`, unless that is settled. Returns what holds."""

    def topics(self) -> Topics:
        """The topics beside that of texts that the store is filled from, with the numbers that it gave
        them."""

    def number_topics(self, ids: Mapping[str, str]) -> Mapping[str, NumberedTopic]:
        """Give each of these topics a number, if it has none, and note its UUID, if that is not known.

        `ids` are their UUIDs by name, "" for one that is not known. Returns what holds of them. From the
        first number on programs before format 3 can't read the store.
        """

    def states(self) -> Mapping[int, ShardState]:
        """The states of all shards that exist."""

    def state(self, partition: int) -> ShardState:
        """The state of one shard; that of an empty shard if it does not exist."""

    def append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        """Append the batch in one atomic step, if the shard's watermark is `expected`.

        The step writes the entries, records which of them came under which record key, and advances the
        watermark and the number of rows. A batch without entries only advances the watermark. Raises
        ValueError if the batch can't follow `expected`.

        If entries of it replace, the same step deletes what the shard holds under their keys and contexts, as
        `delete` does, and readers are given both as one batch. From the first time on programs before
        format 3 can't read the store. A batch that replaces more than `MOST_TARGETS` entries goes in as
        several, up to a text that by itself replaces more: what it replaces is taken in steps, each of which
        returns `Unfinished`, and the text comes with the last. If the caller crashes between them, the next
        one that sends the text goes on from there; if the text never comes again, what it has replaced by
        then is deleted with whatever comes next.
        """

    def keys_mode(self) -> str:
        """How keyed texts are taken in unless a setting says it: `UPSERT` in stores that were begun by a
        program that knows it, `APPEND` in older ones."""

    def redaction(self) -> str:
        """By which rules (core/pii.py) texts are redacted before they come in; "" if by none. No round
        trip."""

    def delete(self, partition: int, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        """Delete entries of the shard in one atomic step, if its watermark is `expected`.

        The step finds the targets, appends the deletion for all readers, and advances the watermark to it.
        From then on `entry` returns none of the targets. They stay in `stored_at` and in their batches
        until `erase` removes them, because the solver must take out exactly what it has put in.

        A deletion of many targets takes several calls, each of which returns `Unfinished` until the last.
        Readers see nothing of it before the last call, which advances the watermark. If the caller
        crashes, the next one that repeats the call goes on from there.
        """

    def repeat_append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        """As `append`, of a batch that another store holds: what its `deletion` names is replaced, whatever
        came under which key. Of a target that is not in this store readers are told, and that is all."""

    def repeat_deletion(
        self, partition: int, deletion: Deletion, targets: Sequence[int], last: bool, expected: int
    ) -> Appended | Unfinished | Refused:
        """Delete these (ascending) targets, as another store did for the same deletion, and no others.

        They are a page of them: `Unfinished` is returned until the `last` one is done, as by `delete`. Of
        `deletion` only offset, time, anchor and what was asked for count. Whoever crashes begins anew
        with the first page.
        """

    def deletion_part(self, partition: int, offset: int, number: int) -> Sequence[int]:
        """The targets, ascending, in part `number` (1 to `Deletion.parts`) of the deletion at `offset`.

        Raises `StoreError` if the part is missing or damaged.
        """

    def under_keys(
        self, partition: int, keys: Sequence[tuple[bytes, str]]
    ) -> Mapping[tuple[bytes, str], Mapping[str, Vectors]]:
        """What the shard holds under these keys (their digests) and contexts: the vector (d,) of each text.
        What is deleted may be among it, of a key with very many texts only some are, and sealed rows are
        not."""

    def stored_at(self, partition: int, offsets: Sequence[int]) -> Iterator[Batch]:
        """The entries at these (ascending) offsets that are still in the store, whether deleted or not."""

    def fence(self, owner: str) -> Mapping[int, int]:
        """From now on no solver but `owner` erases or compacts in the shards that there are.

        Returns for each the offset of the last deletion that may have taken something from the store: of
        which something was erased, or which may be compacted away; `NOTHING` if there is none. Statistics
        whose watermark lies before it may hold what can no longer be taken out of them.
        """

    def check_fences(self, owner: str) -> None:
        """Raises `RolledBack` if another solver may erase in a shard: it fell back to before `fence`; and
        `Superseded` if `owner` is no longer the solver."""

    def erase(self, most: int, owner: str, stamp: str) -> int:
        """Remove entries for good whose deletion is covered by the solver's saved checkpoint.

        So a target is in the store exactly as long as it is in the statistics of the saved checkpoint. At
        most `most` batches are rewritten, and some thousand targets looked at. Returns how many entries are
        still due, as far as the call has looked; 0 if there are none. If a context loses its last row, its
        name is given back.

        Only the solver that works on from that checkpoint may call this: `stamp` names the checkpoint that
        it saved or loaded. If another one is stored, nothing is removed and 0 returned. Otherwise a solver
        that learns anew would fold an entry in, erase it on the word of its predecessor's checkpoint, and
        find nothing to take out when it comes to the deletion. Raises `Superseded` if `owner` is no longer
        the solver.
        """

    def compact(self, most: int, owner: str, stamp: str, keep_s: float) -> int:
        """Compact away what old deletions have left behind (core/stored/compaction.py).

        The floor of a shard first moves to an offset that the solver's saved checkpoint has covered for
        `keep_s` seconds, or to the one that was asked for with `ask_to_compact`, and to which nothing is left
        to erase. What lies below it is compacted, at most `most` items and some more. Returns how much is
        still to do below the floors, 0 if nothing is. Does nothing to a store that programs before format 2
        may read. `owner`, `stamp` and what is raised are as with `erase`.
        """

    def seal(self, much: Sealing, owner: str, stamp: str) -> bool:
        """Put the oldest rows of one shard into a file (core/stored/segments.py), if enough rows are there.
        What a reader is given stays the same.

        Returns whether a segment was made: then more may be due. From the first one on programs before format
        4 can't read the store. A row is sealed while it may still be needed by nobody or by anybody, but not
        before deletions among its neighbours are compacted away. `owner`, `stamp` and what is raised are as
        with `erase`; `SegmentsFailing`, too, if the files can't be reached.
        """

    def sealed(self) -> Mapping[int, int]:
        """How many of the rows of each shard are sealed, erased ones included."""

    def ask_to_compact(self, upto: Mapping[int, int]) -> None:
        """Have the solver compact all shards up to these offsets without waiting for deletions to grow old.

        From now on programs before format 2 can't read the store. Raises `StoreError` if there is none.
        """

    def compacted(self) -> Mapping[int, int]:
        """Up to which offset each shard was compacted."""

    def admit(self, contexts: frozenset[str], limit: int) -> frozenset[str]:
        """Register context names as long as there are fewer than `limit`.

        Returns the names that are registered now, among those that were given.
        """

    def contexts(self) -> frozenset[str]:
        """The names that are registered, and the names of contexts of which a shard holds rows."""

    def holdings(self) -> Mapping[int, Mapping[str, Holding]]:
        """What each shard holds, by partition and context."""

    def pending_erasures(self) -> Mapping[int, int]:
        """How many rows of each shard are deleted and not erased yet."""

    def oldest_deletion_ms(self) -> int | None:
        """The timestamp of the oldest record whose deleted rows are not erased yet; None if there is none.

        Of shards in which thousands of rows are pending, only the first ones are looked at.
        """

    def tail(self, positions: Mapping[int, int], max_batches: int, block_s: float = 0.0) -> Tail:
        """What lies beyond `positions` (shard -> offset).

        A shard that is not named is read from its beginning. Waits up to `block_s` for the first batch.
        Returns at most `max_batches` batches of a shard and `REPLY_BATCHES` (core/shares.py) in all.
        Shards take turns, and if anything lies beyond the positions, some of it is in the reply. Raises
        ValueError if `max_batches` is less than 1.
        """

    def expired(self, partition: int) -> Mapping[str, Expiry]:
        """By context, what of a shard of another topic than texts may have left because it was too old. No
        record says so."""

    def oldest(self, partition: int, context: str, after: int, most: int) -> Sequence[Entry]:
        """The first entries of a context beyond offset `after` of a shard, at most `most`, without those that
        are deleted."""

    def entry(self, partition: int, offset: int) -> Entry | None:
        """The entry at this offset; None if there is none, or it was deleted."""

    def close(self) -> None:
        """Release every connection."""


def check_not_passed(horizon: Horizon, positions: Mapping[int, int], tail: Tail) -> None:
    """Raises `StoreReplaced` if the floor of a shard has passed a reader that asked beyond `positions`."""
    for partition, floor in tail.floors.items():
        state, position = tail.states.get(partition), positions.get(partition, NOTHING)
        if state and horizon.passed(partition, position, state, floor):
            raise StoreReplaced(f"shard {partition} was compacted up to offset {floor}: {BEHIND}")


def deleted_by(store: EntryStore, partition: int, deletion: Deletion) -> Iterator[Sequence[int]]:
    """The offsets of everything that a deletion deletes, part by part."""
    for number in range(1, deletion.parts + 1):
        yield store.deletion_part(partition, deletion.offset, number)
    yield deletion.targets
