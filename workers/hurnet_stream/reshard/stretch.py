"""What became of a stretch of the old topic, as the store that is filled from it says.

The store has read what it holds of the topic already: it has rejected what is not valid, and deleted what was
to be deleted. So only what it still holds is forwarded, and what was deleted before never comes to the new
topic:

    topic     10 "a"   11 nonsense   12 "b"   13 forget 10   14 "c"
    store     held 12 and 14; deleted 10, by 13
    here      held {12, 14}, deletions [13: 10]

A deletion is told to the new topic, too, if it deletes what was forwarded before it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hurnet_stream.core.stored.batch import MAX_OFFSET, Batch, Deletion, Entry
from hurnet_stream.errors import StoreError
from hurnet_stream.ports import EntryStore, ForwardNotes, deleted_by

READ_BATCHES = 8
ROWS = 4_096
"""The most entries of a stretch, but for the last batch that is read."""


@dataclass(slots=True)
class Stretch:
    """The offsets of a partition beyond `after` and up to `upto`: the entries that are there, by offset, and
    the pages of what was deleted, by the offset of the deletion."""

    after: int
    upto: int
    held: dict[int, tuple[Batch, int]] = field(default_factory=dict)
    deletions: list[tuple[int, Sequence[int]]] = field(default_factory=list)

    def entry(self, offset: int) -> Entry:
        """The entry at this offset, which is held."""
        batch, row = self.held[offset]
        return batch.entries[row]


class Stretches:
    """Reads the old store."""

    def __init__(self, source: EntryStore, notes: ForwardNotes) -> None:
        self._source = source
        self._notes = notes

    def of(self, partition: int, after: int, upto: int, floor: int) -> Stretch | None:
        """What the store says of the offsets beyond `after`, at most up to `upto`; None if it no longer
        reaches so far. `floor` is the shard's when forwarding began: what deletions up to there had deleted
        was never forwarded. Raises `StoreError` if later ones were compacted away before they were seen."""
        before = self._source.incarnation()
        # First what is deleted: what is deleted later comes later, as a deletion of its own.
        gone = self._notes.deleted(partition, after + 1, upto)
        found = Stretch(after, after)
        for batch in self._batches(partition, after, upto):
            self._take(found, batch, upto, gone)
        found.upto = min(found.upto, upto)
        state = self._source.state(partition)
        if state.floor > max(floor, after):
            raise StoreError(
                f"shard {partition} was compacted up to offset {state.floor} before its deletions"
                " were forwarded."
                " Drop the generation that is filled (`hurnet reshard --drop TOPIC`) and begin it anew"
            )
        # A server that took over may lack what the one before it had: nothing that is missing counts as
        # deleted.
        if self._source.incarnation() != before or state.watermark < found.upto or found.upto <= after:
            return None
        return found

    def _take(self, found: Stretch, batch: Batch, upto: int, gone: frozenset[int]) -> None:
        for row, offset in enumerate(batch.columns.offsets.tolist()):
            if found.after < offset <= upto and offset not in gone:
                found.held[offset] = batch, row
        if batch.deletion and batch.deletion.replaces:
            found.deletions += self._replaced(found, batch.partition, batch.deletion.upto(upto))
        elif batch.deletion and batch.deletion.offset <= upto:
            pages = deleted_by(self._source, batch.partition, batch.deletion)
            found.deletions += [(batch.deletion.offset, page) for page in pages if page]
        found.upto = batch.watermark

    def _replaced(
        self, found: Stretch, partition: int, deletion: Deletion
    ) -> Iterator[tuple[int, Sequence[int]]]:
        """What was replaced by texts that are gone themselves: they are not forwarded, so they replace
        nothing in the new topic."""
        for number in range(1, deletion.parts + 1):
            page = self._source.deletion_part(partition, deletion.offset, number)
            if deletion.offset not in found.held and page:
                yield deletion.offset, page
        for target, by in zip(deletion.targets, deletion.by, strict=True):
            if by not in found.held:
                yield by, (target,)

    def _batches(self, partition: int, after: int, upto: int) -> Iterator[Batch]:
        position, rows = after, 0
        while position < upto and rows < ROWS:
            # A position at the end of the other shards leaves these out.
            others = {p: MAX_OFFSET - 1 for p in self._source.states() if p != partition}
            batches = self._source.tail({**others, partition: position}, READ_BATCHES).batches
            if not batches:
                return
            for batch in batches:
                yield batch
                position, rows = batch.watermark, rows + len(batch.entries)
