"""What the workers need from the outside, as Protocols. Adapters fill them; tests use the in-memory ones.

Any method may raise `TransientError` (try again), `ConfigurationError` (a person must act) or another
`HurnetError` that it names. Blocking calls return within their time-out or raise.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from hurnet.core.solve.weights import NO_FEATURES
from hurnet.core.stored.batch import (
    Anchor,
    Batch,
    Deletion,
    EmbedderIdentity,
    Entry,
    LogIdentity,
    ShardState,
    Vectors,
)
from hurnet_schemas.base import InvalidReason

if TYPE_CHECKING:
    from hurnet.core.solve.weights import Weights
    from hurnet.core.statistics.statistics import Statistics

GetsOn = Callable[[], None]
"""Told that a part of some long work is done."""

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why what a topic holds can't be read as a record, and what is known of it."""

    reason: InvalidReason
    detail: str
    first: int
    """The record with this fault stands for all offsets from here to its own."""
    size: int
    excerpt: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it came from Kafka. One with a `fault` has an empty value, so that nobody takes it for a
    tombstone."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    fault: Fault | None = None
    leader_epoch: int = -1
    """Of the broker that took it in; -1 where that is not told."""

    @property
    def anchor(self) -> Anchor:
        """What ties a shard to its log, once this is its last record."""
        digest = hashlib.blake2b(struct.pack("<qq", self.offset, self.timestamp_ms), digest_size=8)
        named = (part for name, value in self.headers for part in (name.encode(errors="replace"), value))
        for part in (self.key, self.value, *named):
            digest.update(b"\0" if part is None else struct.pack("<BQ", 1, len(part)) + part)
        return Anchor(self.offset, self.leader_epoch, digest.hexdigest())

    @property
    def coordinates(self) -> str:
        """topic/partition/offset"""
        return f"{self.topic}/{self.partition}/{self.offset}"

    def header(self, name: str) -> bytes | None:
        """The last header of that name, None if there is none; Kafka's headers without a value are empty."""
        return next((value or b"" for key, value in reversed(self.headers) if key == name), None)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be sent (without a value: a tombstone). Without a partition the key decides, without a key
    the client does."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll brought. `assigned` are partitions (re)assigned since the last poll; their position is the
    committed offset (or the beginning) until someone seeks, and `records` may hold records of theirs; those
    whose position fell out of the topic are among them. `revoked` are those taken away."""

    records: Sequence[Record] = ()
    assigned: frozenset[int] = frozenset()
    revoked: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Bounds:
    """The offsets a partition holds: first .. end - 1."""

    first: int
    end: int

    def only_copies(self, state: ShardState) -> int:
        """Rows of the shard, at most, whose records the partition no longer holds."""
        return min(state.rows, self.first, state.watermark + 1)


@dataclass(frozen=True, slots=True)
class EndOffsets:
    """The next offset of every partition of a topic, as of `asked` (monotonic seconds, before the question).
    `written` counts all that is written, `readable` ends before the first transaction that is still open."""

    asked: float
    written: Mapping[int, int]
    readable: Mapping[int, int]
    topic_id: str = ""
    """The topic's UUID; empty where brokers are too old to tell."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a group has committed of a partition: the offset it goes on at, and the string beside it."""

    offset: int
    note: str = ""


POLL_BYTES = 16 << 20


class Source(Protocol):
    """A consumer-group member on one topic."""

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        """Records in offset order per partition, `max_records` or about `POLL_BYTES` of them, at least one if
        there is any; returns early with what is there. While the group rebalances it may take some seconds
        longer. Raises `StoreGap` where a position has fallen out of its partition."""

    def assignment(self) -> frozenset[int]: ...

    def seek(self, partition: int, offset: int) -> None:
        """Read `partition` from `offset` on; ignored where it is not assigned."""

    def pause(self, partitions: frozenset[int]) -> None:
        """Exactly these partitions bring no records until the next call."""

    def bounds(self, partitions: frozenset[int]) -> Mapping[int, Bounds]: ...

    def log(self) -> LogIdentity | None:
        """Which log this is, as of a second ago; None while that is not known. No round trip. Every call
        raises `ForeignLog` once another Kafka cluster answers at the address than at first."""

    def at(self, offsets: Mapping[int, int]) -> Mapping[int, Record | None]:
        """The record at one offset of each partition; None where there is none."""

    def compacted(self) -> bool:
        """Whether single records may go from the middle of the topic (cleanup.policy has compact)."""

    def positions(self) -> Mapping[int, int]:
        """The next offset to be polled of each assigned partition: all records before it were polled, or it
        was sought. A partition that is yet to be placed is left out. No round trip."""

    def lag(self) -> Mapping[int, int]:
        """Records not yet polled per assigned partition, from end offsets that are asked for every few
        seconds, apart from the polls and without waiting; a partition is left out while it is not known."""

    def held_back(self) -> Mapping[int, int]:
        """How many of them readers of committed records don't get before a transaction ends, per assigned
        partition in which there are such."""

    def committed(self, partitions: frozenset[int]) -> Mapping[int, int | None]:
        """The offset that the group goes on at; None where it never committed one."""

    def commit(self, next_offsets: Mapping[int, int], notes: Mapping[int, str] | None = None) -> None:
        """Commit to the group (for lag tools and restarts), with a string of up to 4,096 characters beside an
        offset; positions lost to a rebalance are left out."""

    def close(self) -> None: ...


class Sink(Protocol):
    """A producer."""

    def send(self, messages: Sequence[Outgoing]) -> Sequence[tuple[int, int]]:
        """Returns once every message is acknowledged by all in-sync replicas: where each is, as
        (partition, offset), in their order. Raises `Undeliverable` where one is refused for what it is."""

    def close(self) -> None: ...


class History(Protocol):
    """A topic from as far back as it reaches, read apart from any group."""

    def bounds(self) -> Mapping[int, Bounds]:
        """Those of all partitions."""

    def read(self, partition: int, first: int, last: int) -> Iterator[Sequence[Record]]:
        """The records at offsets `first` to `last` in blocks; the partition must reach beyond `last`."""

    def close(self) -> None: ...


class Exchange(Source, Protocol):
    """A source whose progress is committed together with the messages made from it."""

    def deliver(
        self,
        messages: Sequence[Outgoing],
        next_offsets: Mapping[int, int],
        notes: Mapping[int, str] | None = None,
    ) -> bool:
        """Send and commit as one (`notes` as in `commit`). True: all of it happened. False: none of it did,
        the positions are back at the committed offsets, and the caller drops what it holds. Raises
        `Superseded` when fenced; and, after going back likewise, `Undeliverable` where a message or its topic
        is refused, `Stalled` where topics do not acknowledge though others do."""

    def progress(self, partitions: frozenset[int]) -> Mapping[int, Committed | None]:
        """As `committed`, with the strings beside the offsets."""

    def cuts(self, ends: Mapping[int, int]) -> Mapping[int, int]:
        """For partitions that were read up to an end, as of when `progress` was asked for last: where the log
        was cut off before that, if it was, and from where on it therefore holds other records."""

    def end_offsets(self, topic: str, max_age_s: float) -> EndOffsets | None:
        """What is known of any topic's end; None if nothing is. Never waits: what is older than `max_age_s`
        is asked anew in the background, a few times a second at most."""

    def rewind(self) -> None:
        """Back to the committed offsets of all partitions: what was polled and not delivered comes again."""

    def has_topic(self, topic: str) -> bool:
        """Whether `topic` exists (answers may be cached for seconds)."""

    def unwritable(self, topic: str) -> str | None:
        """Why `topic` takes no messages now, if that can be seen (answers may be cached for seconds)."""


@dataclass(frozen=True, slots=True)
class Appended:
    """The batch is in, and the watermark is the batch's."""

    state: ShardState


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Of a deletion only a part is done, and the watermark is where it was: ask for the same again."""

    state: ShardState


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was written: the shard stands elsewhere than the caller believed."""

    state: ShardState


@dataclass(frozen=True, slots=True)
class Holding:
    """What a shard holds of a context. `rows` are those in the store: deleted ones too, until they are
    erased; `bytes` those of their vectors and texts. Earlier entries than `first` it has not let in, or they
    were dropped; None if its next one is the first."""

    rows: int
    bytes: int
    first: int | None


@dataclass(frozen=True, slots=True)
class Tail:
    """New batches in shard order, cut so that nothing at or before the asked positions is in them, and the
    states of all shards, read before the batches. A shard's last batch may be without entries: it takes the
    reader over offsets that hold none, so a position is always the last batch's watermark."""

    batches: Sequence[Batch]
    states: Mapping[int, ShardState]


class EntryStore(Protocol):
    """The append-only context. Every call but `open` and `log` raises `StoreReplaced` once the store holds
    another context than the one that was opened (or first read), or none; then it has done nothing."""

    def open(self, identity: EmbedderIdentity, writing: bool = False) -> None:
        """Begin the context with this embedder, or check that it is the one. Raises `EmbedderMismatch`, and
        `UpgradeNeeded` if only newer programs may read the context, or, for one that is `writing`, write to
        it. Reading and writing raise that too once it has become so."""

    def incarnation(self) -> str:
        """Which server holds the context, by a name that changes when it is restarted or another takes its
        place, perhaps with less than was acknowledged; noticed within two seconds. Raises `TransientError` at
        one that takes no writes."""

    def identity(self) -> EmbedderIdentity | None:
        """None where there is no context."""

    def log(self) -> LogIdentity | None:
        """The log that the context is filled from; None where that is not settled yet."""

    def bind(self, log: LogIdentity) -> LogIdentity:
        """Settle that the context is filled from `log`, unless it is settled; returns what holds."""

    def states(self) -> Mapping[int, ShardState]:
        """All shards that exist."""

    def state(self, partition: int) -> ShardState: ...

    def append(self, batch: Batch, expected: int) -> Appended | Refused:
        """In one atomic step: only if the shard's watermark is `expected`, append the entries as one stream
        entry (none if empty), note under which keys they came, and advance watermark and row count."""

    def delete(self, partition: int, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        """In one atomic step: only if the shard's watermark is `expected`, find what is to be deleted, append
        that as a deletion for all readers, and advance the watermark to it. From here on `entry` gives none
        of its targets, but they stay in the store, for `held` and as parts of their batches, until `erase`:
        so the solver, which must take out exactly what it has put in, finds it.

        Of many targets each call deletes a part; readers see nothing of the deletion before the last one,
        which advances the watermark. Who comes after a crash goes on where it stopped."""

    def part(self, partition: int, offset: int, number: int) -> Sequence[int]:
        """The targets, ascending, in part `number` (1 to `Deletion.parts`) of the deletion at `offset`."""

    def held(self, partition: int, offsets: Sequence[int]) -> Iterator[Batch]:
        """The entries at these (ascending) offsets that are still in the store, deleted or not."""

    def erase(self, most: int, owner: str, stamp: str) -> int:
        """Remove for good what was deleted by records that the solver's saved checkpoint covers: such a
        target is in the store exactly while it is in the checkpoint's statistics. At most `most` batches are
        rewritten, and some thousand targets looked at; returns how many entries that are due remain, as far
        as it has looked: 0 if there are none. A context that loses its last row gives its name back.

        Only for the solver that works on from that checkpoint: `stamp` is the one it saved or loaded, and
        while another is stored, nothing is removed and 0 returned. Else a solver that learns anew would fold
        an entry in, erase it by what an earlier one had saved, and find nothing to take out once it comes to
        the deletion. Raises `Superseded` where the role is no longer `owner`'s."""

    def admit(self, contexts: frozenset[str], limit: int) -> frozenset[str]:
        """Register context names; returns those admitted, at most `limit` at a time."""

    def contexts(self) -> frozenset[str]:
        """The names registered, and those that shards hold rows of."""

    def holdings(self) -> Mapping[int, Mapping[str, Holding]]:
        """What each shard holds, by context."""

    def pending(self) -> Mapping[int, int]:
        """How many rows of each shard are deleted and not erased yet."""

    def tail(self, positions: Mapping[int, int], max_batches: int, block_s: float = 0.0) -> Tail:
        """What lies beyond `positions` (shard -> offset, shards not named from their beginning); waits up
        to `block_s` for the first. At most `max_batches` batches of a shard and `REPLY_BATCHES` in all
        (core/shares.py): shards take turns, and if anything lies beyond, some of it is in the reply."""

    def remember_progress(self, group: str, committed: Mapping[int, Committed]) -> None:
        """Keep what a consumer group has committed of partitions, for when Kafka has forgotten it."""

    def progress(self, group: str) -> Mapping[int, Committed]:
        """What was kept of a group last, by partition."""

    def enter(self, role: str, owner: str, partitions: frozenset[int]) -> Mapping[int, str]:
        """`owner` takes these partitions over among the workers of `role`: its mark is there until it leaves,
        or another enters. Returns those that another had entered and not left, with the record noted there
        last, or "". What it noted there itself does not count (see `attempt`): it has nothing in hand."""

    def leave(self, role: str, owner: str, partitions: frozenset[int]) -> None:
        """`owner` lets go of them, with nothing in hand, where the mark and the note are its own."""

    def attempt(self, role: str, owner: str, partition: int, record: str) -> int:
        """Note that `owner` is about to handle `record`, which stays the only one noted of the partition.
        Returns how many owners have noted it so, this one included, without anybody noting another since."""

    def entry(self, partition: int, offset: int) -> Entry | None:
        """The entry at these coordinates, None where there is none or it was deleted."""

    def close(self) -> None: ...


def deleted_by(store: EntryStore, partition: int, deletion: Deletion) -> Iterator[Sequence[int]]:
    """All that a deletion deletes, part by part."""
    for number in range(1, deletion.parts + 1):
        yield store.part(partition, deletion.offset, number)
    yield deletion.targets


@dataclass(frozen=True, slots=True)
class Unlearned:
    """The audit of one deletion, which deleted `entries`; if these are many, `deletion.targets` are the last
    ones. `digests` holds, by the key of the statistics that it changed, their digest with and without what
    was deleted, at `watermarks` (deletions read in one step share both)."""

    partition: int
    deletion: Deletion
    done_ms: int
    pairs: int
    digests: Mapping[str, tuple[str, str]]
    watermarks: Mapping[int, int]
    entries: int = 0


@dataclass(slots=True)
class Checkpoint:
    """Statistics per context, and the watermark per shard that they cover exactly. Where pairs age there are
    some for every pane of a context (keys of window.py), and the window ends at `pane`. `features` is
    the identity of what they are of. `unlearned` are deletions folded in since the last save; saving adds
    them to the audit, where the first word on a record stands. `stamp` names the stored checkpoint that this
    one was loaded from or last saved as, and is empty for one that was begun anew."""

    statistics: dict[str, Statistics] = field(default_factory=dict)
    shards: dict[int, ShardState] = field(default_factory=dict)
    features: str = NO_FEATURES
    unlearned: list[Unlearned] = field(default_factory=list)
    pane: int = 0
    stamp: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """Weights as responders see them."""

    context: str
    version: int
    weights: Weights
    watermarks: Mapping[int, int]
    published_ms: int


class WeightsStore(Protocol):
    """Where the solver keeps its checkpoint and publishes weights. One solver at a time: `claim` fences every
    earlier one, whose next write raises `Superseded`."""

    gets_on: GetsOn
    """Called after each part of loading or saving a checkpoint, either of which may take minutes."""

    def claim(self, owner: str) -> None: ...

    def load_checkpoint(self, dimension: int, features: str = NO_FEATURES) -> Checkpoint:
        """An empty one where there is none, and where it is of other features: then with their identity, and
        the next save replaces it. Raises `Unreadable` where it is damaged or of another dimension."""

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """All of it in one atomic step; writes only the answers that changed, then marks them saved, empties
        `unlearned` and gives it a new `stamp`."""

    def audit(self) -> Sequence[Unlearned]:
        """Every deletion that was folded in, oldest first."""

    def audits(self, records: Collection[tuple[int, int]]) -> Sequence[Unlearned]:
        """Those of the deletions at these (partition, offset) that were folded in."""

    def publish(self, weights: PublishedWeights) -> None:
        """Compare-and-set: the version is the last plus one and no watermark goes back, else `Superseded`."""

    def withdraw(self, context: str, version: int) -> None:
        """The context has no pairs left, hence no weights. `version`, the last plus one, tells readers."""

    def versions(self) -> Mapping[str, int]:
        """The newest version per context, withdrawn ones included."""

    def known_by_weights(self) -> Mapping[int, int]:
        """Per shard the highest watermark that weights in force have seen: none may follow that have seen
        less. It is beyond the shard's own where the store lost its tail and is not refilled yet."""

    def published_ms(self) -> Mapping[str, int]:
        """When the weights in force of each context were published; 0 where that is unknown."""

    def weights(self, context: str) -> PublishedWeights | None:
        """None where there are none, or they were withdrawn."""


class LeaseStore(Protocol):
    """Keeps a second worker of the same role from starting by mistake. Politeness, not the guarantee: that
    rests on fencing and compare-and-set."""

    def acquire(self, role: str, owner: str, ttl_s: float) -> str:
        """Take or renew; returns who holds it now (== owner on success)."""

    def release(self, role: str, owner: str) -> None: ...


class Embedder(Protocol):
    """A frozen, deterministic map from text to the grid (eq. 2)."""

    @property
    def identity(self) -> EmbedderIdentity: ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(len(texts), dimension); a zero row where a text has nothing to embed. The same text gives the same
        row in every batch."""
