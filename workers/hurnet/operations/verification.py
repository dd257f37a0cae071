"""The proof: the topic replayed through validation and embedding, and compared with the context, entry by
entry, and with the solver's statistics, by their digests.

Deletions are honoured by leaving out what they delete, not by subtracting it: the statistics compared with
are those of a context that never saw it. The whole is compared as of the watermarks of the solver's
checkpoint. What was deleted since, or is not erased yet, is no difference. What the topic no longer holds is
taken from the context on trust, and counted as unproved.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from hurnet.core.paper.kernel_features import KernelMap
from hurnet.core.solve.window import Window
from hurnet.core.statistics.statistics import Statistics
from hurnet.core.stored.batch import MAX_OFFSET, Batch, Deletion, Entry, Vectors, key_digest
from hurnet.core.stored.codec import bare
from hurnet.errors import StoreGap
from hurnet.ports import Checkpoint, Embedder, EntryStore, History, OffsetRange, Record, deleted_by
from hurnet.records import deletion_of, embedded, entry_of
from hurnet.solver.learning import learn
from hurnet_schemas import InvalidMessage

READ_BATCHES = 32

Rows = dict[int, tuple[Entry, Vectors]]
"""Entries and their vectors by offset."""


@dataclass(slots=True)
class ShardProof:
    """What came of offsets `first` to `last` of a shard. `unproved` entries are no longer in the topic;
    `difference` is the first offset at which topic and context differ, and how."""

    partition: int
    first: int
    last: int
    entries: int = 0
    deleted: int = 0
    unproved: int = 0
    difference: tuple[int, str] | None = None


@dataclass(slots=True)
class Proof:
    """`digests` are those of the replay, by the key of statistics, `differences` what the solver has
    otherwise."""

    shards: list[ShardProof] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        return not self.differences and all(shard.difference is None for shard in self.shards)

    @property
    def unproved(self) -> int:
        return sum(shard.unproved for shard in self.shards)


class Verification:
    """Compares; reads only. `contexts` are the names admitted; `advance` is told of offsets replayed."""

    def __init__(
        self,
        history: History,
        store: EntryStore,
        embedder: Embedder,
        features: KernelMap,
        contexts: frozenset[str],
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._history = history
        self._store = store
        self._embedder = embedder
        self._features = features
        self._contexts = contexts
        self._advance = advance
        self._bounds = history.offset_ranges()
        self._window: Window | None = None  # of the statistics, where these are compared
        self._statistics: dict[str, Statistics] = {}
        self._holdings = store.holdings()

    def whole(self, checkpoint: Checkpoint, half_life_ms: int = 0) -> Proof:
        """Everything up to the checkpoint's watermarks, and its statistics. Raises as `shard` does."""
        self._window = Window(half_life_ms, checkpoint.pane)
        watermarks = {p: shard.watermark for p, shard in sorted(checkpoint.shards.items())}
        proof = Proof([self.shard(p, 0, last, last) for p, last in watermarks.items()])
        nothing = Statistics(self._features.size)
        for key in sorted({*self._statistics, *checkpoint.statistics}):
            mine = self._statistics.get(key, nothing)
            theirs = checkpoint.statistics.get(key, nothing)
            proof.digests[key] = mine.digest()
            if proof.digests[key] != theirs.digest():
                proof.differences[key] = _told(mine, theirs)
        return proof

    def shard(self, partition: int, first: int, last: int, until: int) -> ShardProof:
        """Offsets `first` to `last`, with the deletions up to offset `until`; stops at a difference. Raises
        `StoreGap` where the topic does not reach so far."""
        held = self._bounds.get(partition, OffsetRange(0, 0))
        if held.end <= until:
            raise StoreGap(
                f"partition {partition} ends at offset {held.end}, but the context has seen {until}: the"
                " topic was recreated or lost records, or this is another cluster"
            )
        gone = self._deleted(partition, held.first, until)
        proof = ShardProof(partition, first, last, deleted=sum(first <= offset <= last for offset in gone))
        context = _Reader(self._store, partition, first, last)
        self._trust(proof, context.upto(min(held.first - 1, last)), gone)
        for block in self._replayed(partition, max(first, held.first), last, gone):
            self._learn(block)
            self._compare(proof, _rows(block), context.upto(block.watermark), context.removed | gone)
            if proof.difference:
                break
        return proof

    def _trust(self, proof: ShardProof, rows: Rows, gone: Set[int]) -> None:
        """Learn from the context what can't be replayed."""
        kept = [row for offset, row in rows.items() if offset not in gone]
        proof.unproved = len(kept)
        if kept:
            entries, vectors = zip(*kept, strict=True)
            self._learn(Batch(proof.partition, proof.last, entries, np.stack(vectors)))

    def _learn(self, batch: Batch) -> None:
        if self._window:
            learn(self._statistics, [batch], self._features, self._window)

    def _replayed(self, partition: int, first: int, last: int, gone: Set[int]) -> Iterator[Batch]:
        """What an ingest makes of the records, without what is deleted; the last batch ends at `last`."""
        for block in self._read(partition, first, last):
            entries = [e for record in block if record.offset not in gone and (e := self._admitted(record))]
            vectors, verdicts = embedded(self._embedder, [entry.text for entry in entries])
            kept = [row for row, verdict in enumerate(verdicts) if verdict is None]
            yield Batch(partition, block[-1].offset, [entries[row] for row in kept], vectors[kept])
            self._advance(len(block))
        yield bare(partition, last, self._embedder.identity.dimension)

    def _admitted(self, record: Record) -> Entry | None:
        """The entry of a record, if its context had been let in by then."""
        entry = _entry(record)
        if entry is None or entry.context not in self._contexts:
            return None
        held = self._holdings.get(record.partition, {}).get(entry.context)
        return None if held and held.first is not None and record.offset < held.first else entry

    def _deleted(self, partition: int, first: int, until: int) -> Set[int]:
        """Offsets that records up to `until` delete: by what the topic says; of entries it no longer holds by
        what the context says."""
        gone: set[int] = set()
        seen = _Seen()
        for record in (r for block in self._read(partition, first, until) for r in block):
            if deletion := deletion_of(record):
                gone |= {*deletion.targets, *seen.named(deletion)}
            elif (entry := _entry(record)) is not None:
                seen.note(entry, record.key)
        if first > 0:
            context = _Reader(self._store, partition, 0, until)
            context.upto(until)
            gone |= {target for target in context.deleted if target < first}
        return gone

    def _read(self, partition: int, first: int, last: int) -> Iterator[Sequence[Record]]:
        return self._history.read(partition, first, last) if first <= last else iter(())

    def _compare(self, proof: ShardProof, mine: Rows, theirs: Rows, deleted: Set[int]) -> None:
        """Count what is equal up to the first difference. What is deleted may be on one side only."""
        for offset in sorted(mine.keys() | theirs.keys()):
            if offset in deleted and (offset in mine) != (offset in theirs):
                continue
            if said := _difference(mine.get(offset), theirs.get(offset)):
                proof.difference = offset, said
                return
            proof.entries += 1


class _Seen:
    """Offsets by context, and by key and context, in 8 bytes each."""

    def __init__(self) -> None:
        self._of: dict[str, array[int]] = {}
        self._keyed: dict[bytes, dict[str, array[int]]] = {}

    def note(self, entry: Entry, key: bytes | None) -> None:
        self._of.setdefault(entry.context, array("q")).append(entry.offset)
        if key is not None:
            contexts = self._keyed.setdefault(key_digest(key), {})
            contexts.setdefault(entry.context, array("q")).append(entry.offset)

    def named(self, deletion: Deletion) -> Iterable[int]:
        """What a deletion by key deletes, or one of all of a context; each is deleted once."""
        if deletion.key is None:
            return self._of.pop(deletion.context or "", ())
        contexts = self._keyed.get(deletion.key, {})
        wanted = list(contexts) if deletion.context is None else [deletion.context]
        return [offset for context in wanted for offset in contexts.pop(context, ())]


class _Reader:
    """One shard of the context in order; `removed` were erased from what was read, `deleted` are targets."""

    def __init__(self, store: EntryStore, partition: int, first: int, last: int) -> None:
        self._store = store
        self._partition = partition
        self._position = first - 1
        self._last = last
        self._others = {p: MAX_OFFSET for p in store.states() if p != partition}
        self._ahead: Rows = {}
        self.removed: set[int] = set()
        self.deleted: set[int] = set()

    def upto(self, offset: int) -> Rows:
        """What comes next up to `offset`."""
        while self._position < offset and self._advance():
            pass
        found = {o: row for o, row in self._ahead.items() if o <= offset}
        self._ahead = {o: row for o, row in self._ahead.items() if o > offset}
        return found

    def _advance(self) -> bool:
        batches = self._store.tail({**self._others, self._partition: self._position}, READ_BATCHES).batches
        for batch in batches:
            self._ahead |= {o: row for o, row in _rows(batch).items() if o <= self._last}
            self.removed.update(batch.removed)
            if batch.deletion and batch.deletion.offset <= self._last:
                parts = deleted_by(self._store, self._partition, batch.deletion)
                self.deleted.update(chain.from_iterable(parts))
            self._position = batch.watermark
        return bool(batches)


def _entry(record: Record) -> Entry | None:
    try:
        return entry_of(record)
    except InvalidMessage:
        return None


def _rows(batch: Batch) -> Rows:
    return {entry.offset: (entry, batch.vectors[row]) for row, entry in enumerate(batch.entries)}


def _difference(mine: tuple[Entry, Vectors] | None, theirs: tuple[Entry, Vectors] | None) -> str | None:
    if theirs is None:
        return "the context lacks this entry"
    if mine is None:
        return "the context has an entry, and the topic no valid text"
    names = ("timestamp_ms", "context", "text", "answer", "metadata", "copies")
    fields = [name for name in names if getattr(mine[0], name) != getattr(theirs[0], name)]
    if not np.array_equal(mine[1], theirs[1]):
        fields.append("vector")
    return f"the context has another {', '.join(fields)}" if fields else None


def _told(mine: Statistics, theirs: Statistics) -> str:
    if mine.count != theirs.count:
        return f"the solver counts {theirs.count} pairs, the replay {mine.count}"
    other = sorted(
        answer
        for answer in mine.sums.keys() | theirs.sums.keys()
        if answer not in mine.sums
        or answer not in theirs.sums
        or mine.pack_sum(answer) != theirs.pack_sum(answer)
    )
    return (
        f"the sums of {len(other)} answers differ, the first is {other[0]!r}" if other else "the gram differs"
    )
