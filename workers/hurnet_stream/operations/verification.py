"""The proof that the store holds what the topic of texts says, and that the statistics were learned from it.

The topic is replayed through the parsing and embedding of an ingest. The result is compared with the store
entry by entry, and with the solver's statistics by their digests:

    topic  ── replay ──▶ batches ── compare ── batches ◀── store
                            └─ learn ──▶ statistics ── compare ── statistics ◀── the solver's checkpoint

The whole is compared as of the watermarks of the solver's checkpoint. Entries that were deleted later, or are
deleted and not erased yet, are no difference. What the topic no longer holds is taken from the store on
trust, and counted as unproved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

import numpy as np

from hurnet_stream.core import places
from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Batch, Expiry
from hurnet_stream.errors import StoreGap, Unreadable, UpgradeNeeded
from hurnet_stream.operations.proof import Proof, Rows, ShardProof, compare, rows_of, statistics_difference
from hurnet_stream.operations.replay import Deleted, Replay
from hurnet_stream.operations.stored_shard import StoredShard
from hurnet_stream.ports import Checkpoint, Embedder, EntryStore, History, OffsetRange, Read
from hurnet_stream.solver.learning import learn


class Verification:
    """Compares, and changes nothing. `contexts` are the names that are admitted, and `advance` is told how
    many records were replayed."""

    def __init__(
        self,
        history: History,
        store: EntryStore,
        embedder: Embedder,
        features: KernelMap,
        contexts: frozenset[str],
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._features = features
        self._bounds = history.offset_ranges()
        modes = {shard: state.modes for shard, state in store.states().items()}
        self._replay = Replay(history, embedder, contexts, store.holdings(), advance, modes)
        self._compacted: frozenset[int] = frozenset()
        self._statistics: dict[str, Statistics] = {}
        self._learned: dict[str, Statistics] = {}
        """Of the shard that is looked at."""
        self._window: Window | None = None  # without one no statistics are learned

    def reading_by(self, read: Read) -> Verification:
        """Read records by `read`, and not only hurnet's own messages."""
        self._replay.reading_by(read)
        return self

    def in_compacted_topics(self, numbers: frozenset[int]) -> Verification:
        """The numbers of the topics of which Kafka may have compacted records away. The store's entries are
        then believed to have had a record where there is none, and counted as unproved."""
        self._compacted = numbers
        return self

    def whole(self, checkpoint: Checkpoint, half_life_ms: int = 0) -> Proof:
        """Everything up to the checkpoint's watermarks, and its statistics. Raises as `shard` does."""
        self._window = Window(half_life_ms, checkpoint.pane)
        watermarks = {p: shard.watermark for p, shard in sorted(checkpoint.shards.items())}
        proof = Proof([self.shard(p, 0, watermark, watermark) for p, watermark in watermarks.items()])
        nothing = Statistics(self._features.size)  # for a key that only one side has
        for key in sorted({*self._statistics, *checkpoint.statistics}):
            replayed = self._statistics.get(key, nothing)
            stored = checkpoint.statistics.get(key, nothing)
            proof.digests[key] = replayed.digest()
            if proof.digests[key] != stored.digest():
                proof.differences[key] = statistics_difference(replayed, stored)
        return proof

    def shard(self, partition: int, first: int, last: int, until: int) -> ShardProof:
        """Offsets `first` to `last`, and the deletions from there up to offset `until`; what the store has
        erased for later ones is believed. Stops at the first difference.
        Raises `StoreGap` if the topic does not reach that far."""
        in_topic = self._in_topic(partition, until)
        if places.offset_of(partition, in_topic.end) <= places.offset_of(partition, until):
            number = places.number_of(partition)
            of = "" if number == places.TEXTS else f"topic number {number} of the store, "
            end, seen = (places.offset_of(partition, at) for at in (in_topic.end, until))
            raise StoreGap(
                f"{of}partition {places.partition_of(partition)} ends at offset {end}, but the store has seen"
                f" {seen}: the topic was recreated or lost records, or this is another cluster"
            )
        self._replay.unfit.clear()
        while True:
            self._learned = {}
            deleted = self._deleted(partition, first, in_topic.first, until)
            deleted_count = sum(first <= offset <= last for offset in deleted.offsets)
            proof = ShardProof(partition, first, last, deleted=deleted_count)
            stored = StoredShard(self._store, partition, first, last)
            try:
                self._compare_range(proof, stored, in_topic.first, deleted)
            except UpgradeNeeded:
                raise
            except Unreadable as error:
                proof.difference = stored.position + 1, f"the store can't be read from here on: {error}"
            # A text that could not be embedded took nobody's place. That shows only now: so once more.
            if not self._replay.unfit & deleted.replacing:
                break
        for key, statistics in self._learned.items():
            self._statistics.setdefault(key, Statistics(self._features.size)).merge(statistics)
        return proof

    def _compare_range(self, proof: ShardProof, stored: StoredShard, in_topic: int, deleted: Deleted) -> None:
        """The range of the proof, entry by entry, up to the first difference. The topic begins at offset
        `in_topic`."""
        # Retention took the records before that: there is nothing to replay.
        gone, expired = deleted.offsets, self._store.expired(proof.partition)
        self._trust(proof, stored.rows_up_to(min(in_topic - 1, proof.last)), gone)
        for batch in self._replay.batches(proof.partition, max(proof.first, in_topic), proof.last, gone):
            rows = stored.rows_up_to(batch.watermark)
            batch = batch.without(_expired(batch, rows, expired))  # noqa: PLW2901 what is left of it
            self._learn(batch)
            if places.number_of(proof.partition) in self._compacted:
                there = {
                    offset: row
                    for offset, row in rows.items()
                    if deleted.has_record(places.offset_of(proof.partition, offset))
                }
                self._trust(proof, {o: row for o, row in rows.items() if o not in there}, gone)
                rows = there
            # A deleted row that the store has not erased yet is not a difference.
            compare(proof, rows_of(batch), rows, gone, stored.erased)
            if proof.difference:
                break

    def _deleted(self, partition: int, first: int, first_in_topic: int, until: int) -> Deleted:
        """Of the offsets from `first` on, those that records up to `until` delete. What deletes an entry
        comes after it, so the topic is read from there. Which entries are deleted whose records the topic no
        longer has, only the store knows."""
        deleted = self._replay.deleted(partition, max(first, first_in_topic), until)
        compacted = places.number_of(partition) in self._compacted
        if first < first_in_topic or compacted or places.number_of(partition):
            stored = StoredShard(self._store, partition, 0, until)
            stored.rows_up_to(until)
            deleted.offsets |= {
                target
                for target in stored.deletion_targets
                if target < first_in_topic
                or (compacted and not deleted.has_record(places.offset_of(partition, target)))
            }
            deleted.offsets |= stored.expired
        return deleted

    def _in_topic(self, partition: int, until: int) -> OffsetRange:
        """What its topic holds. Of a topic that is not read, because it has no table, nothing is known."""
        if places.number_of(partition) == places.TEXTS or partition in self._bounds:
            return self._bounds.get(partition, OffsetRange(0, 0))
        behind = places.next_record(partition, until)
        return OffsetRange(behind, behind)

    def _trust(self, proof: ShardProof, rows: Rows, deleted: Set[int]) -> None:
        """Learn from the store what can't be replayed."""
        kept = [row for offset, row in rows.items() if offset not in deleted]
        proof.unproved += len(kept)
        if kept:
            entries, vectors = zip(*kept, strict=True)
            self._learn(Batch(proof.partition, proof.last, entries, np.stack(vectors)))

    def _learn(self, batch: Batch) -> None:
        if self._window:
            learn(self._learned, [batch], self._features, self._window)


def _expired(batch: Batch, stored: Rows, expired: Mapping[str, Expiry]) -> set[int]:
    """The offsets of entries that became too old, and whose deletion was compacted away with them."""
    return {
        entry.offset
        for entry in (batch.entries if expired else ())
        if entry.offset not in stored
        if (expiry := expired.get(entry.context)) and expiry.covers(entry.offset, entry.timestamp_ms)
    }
