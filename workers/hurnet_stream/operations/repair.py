"""What the store holds, and its topic of texts does not: for a log that was rewritten or made anew.

Nothing is merged in place, because rows, statistics and weights of two logs can't be told apart once they are
mixed. The old store is put aside whole, a new one is filled from the topic, and what only the old one has is
sent to the end of the topic, as texts and deletions like any others:

    old store    0:a  1:b  2:c  3:d
    topic        0:a  1:b  2:x                            rewritten from offset 2 on
    afterwards   0:a  1:b  2:x  3:c again  4:d again      what only the old store had is at the end

So everything that Kafka or the store still has is kept, and Kafka holds all of it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import itemgetter
from types import MappingProxyType

from hurnet_schemas import InvalidMessage
from hurnet_schemas.feedback import SOURCE
from hurnet_stream.core.places import TEXTS, number_of
from hurnet_stream.core.stored.batch import MAX_OFFSET, NOTHING, Batch, Deletion, Entry
from hurnet_stream.feedback.lessons import correction_key
from hurnet_stream.operations.deletion_requests import of_entry
from hurnet_stream.operations.replay import deleted_by_records
from hurnet_stream.ports import EntryStore, History, OffsetRange, Outgoing, Record, deleted_by
from hurnet_stream.records import TextReader, parse_record, text_of

READ_BATCHES = 16
RESTORED = "restored"
"""The header of a text that is sent again: where the old store had it, as partition/offset."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The messages that bring to the topic what it lacks of a shard's offsets up to `up_to`."""

    messages: Sequence[Outgoing]
    up_to: int
    texts: int = 0
    deletions: int = 0


class Comparison:
    """Compares the store with the topic that it should have come from. `same_topic` says whether that is
    still the topic it was filled from, even if rewritten. `others` are the positions of other topics that are
    still there, by shard."""

    def __init__(
        self,
        store: EntryStore,
        history: History,
        topic: str,
        same_topic: bool,
        others: Mapping[int, OffsetRange] = MappingProxyType({}),
    ) -> None:
        self._store = store
        self._history = history
        self._topic = topic
        self._same_topic = same_topic
        self._others = others
        self.bounds = history.offset_ranges()

    def lacking(self, partition: int, after: int = NOTHING) -> Iterator[Missing]:
        """What the topic lacks of a shard, in the order of offsets. Texts up to offset `after` are left out:
        they were sent again before."""
        if number_of(partition) != TEXTS:
            yield from self._lacking_of_other(partition, after)
            return
        deletions = [batch.deletion for batch in self._batches(partition) if batch.deletion]
        targets = (deleted_by(self._store, partition, deletion) for deletion in deletions)
        deleted = set(chain.from_iterable(chain.from_iterable(targets)))
        log = self._log(partition)
        first_different, last_equal = MAX_OFFSET, NOTHING
        for batch in self._batches(partition):
            lost: list[Entry] = []
            for entry in batch.entries:
                if _says(log.record_at(entry.offset), entry):
                    last_equal = entry.offset
                    continue
                if entry.offset >= log.first:  # what lies before was taken by retention, not rewritten
                    first_different = min(first_different, entry.offset)
                if entry.offset not in deleted and entry.offset > after:
                    lost.append(entry)
            yield Missing([self._text(partition, entry) for entry in lost], batch.watermark, texts=len(lost))
        # Up to where the topic still has the records that the store has seen. In another topic of the same
        # name only what was found equal counts; offsets behind that may hold anything.
        trusted = first_different if self._same_topic else min(first_different, last_equal + 1)
        tombstones = [
            *self._missing_deletions(partition, deletions, trusted),
            *self._forgotten_deletions(partition, trusted),
        ]
        # Together, since once this is sent the shard counts as done.
        yield Missing(tombstones, MAX_OFFSET, deletions=len(tombstones))

    def _lacking_of_other(self, shard: int, after: int) -> Iterator[Missing]:
        """What another topic no longer holds, of which nobody may write to it: it goes to the topic of texts.
        The rest is read again by the topic's table, and deleted again by its records."""
        held = self._others.get(shard, OffsetRange(0, 0))
        deletions = [batch.deletion for batch in self._batches(shard) if batch.deletion]
        targets = (deleted_by(self._store, shard, deletion) for deletion in deletions)
        deleted = set(chain.from_iterable(chain.from_iterable(targets)))
        for batch in self._batches(shard):
            gone = (entry for entry in batch.entries if not held.first <= entry.offset < held.end)
            lost = [entry for entry in gone if entry.offset > after and entry.offset not in deleted]
            yield Missing([self._text(shard, entry) for entry in lost], batch.watermark, texts=len(lost))
        yield Missing([], MAX_OFFSET)

    def _missing_deletions(
        self, partition: int, deletions: Sequence[Deletion], trusted: int
    ) -> Iterator[Outgoing]:
        """Deletions whose records the topic lost, of texts below `trusted` that it still holds. Without them
        these texts would come back."""
        log = self._log(partition)
        for deletion in deletions:
            if deletion.replaces:
                yield from self._still_replaced(partition, deletion, trusted)
            elif not isinstance(_parsed(log.record_at(deletion.offset)), Deletion):
                for target in chain.from_iterable(deleted_by(self._store, partition, deletion)):
                    if log.first <= target < min(trusted, log.end):
                        yield self._tombstone(partition, target)

    def _still_replaced(self, partition: int, deletion: Deletion, trusted: int) -> Iterator[Outgoing]:
        """Texts that were replaced by ones whose records the topic lost: without a record that deletes them
        they would come back. Those of which the topic has the later version are replaced again."""
        log, later = self._log(partition), self._log(partition)
        pairs = zip(deletion.targets, deletion.by, strict=True)
        parts = replace(deletion, targets=(), by=())
        more = (
            (target, deletion.offset)
            for target in chain.from_iterable(deleted_by(self._store, partition, parts))
        )
        for target, by in sorted(chain(pairs, more), key=itemgetter(1, 0)):
            if log.first <= target < min(trusted, log.end) and later.record_at(by) is None:
                yield self._tombstone(partition, target)

    def _forgotten_deletions(self, partition: int, trusted: int) -> Iterator[Outgoing]:
        """Deletions that were compacted away, so that the store no longer says what they deleted. But a text
        below its floor that the topic holds and the store does not was deleted by one of them. If the topic
        lost that record, too, the text would come back."""
        log = self._log(partition)
        last = min(self._store.state(partition).floor, trusted - 1, log.end - 1)
        if last < log.first:
            return
        held = {entry.offset for batch in self._batches(partition) for entry in batch.entries}
        modes = self._store.state(partition).modes
        known = held | deleted_by_records(self._log(partition).records(), TextReader().read, modes).offsets
        for record in log.records():
            if record.offset <= last and record.offset not in known and isinstance(_parsed(record), Entry):
                yield self._tombstone(partition, record.offset)

    def _batches(self, partition: int) -> Iterator[Batch]:
        """All batches of one shard of the store."""
        position = NOTHING
        # A position at the end of the other shards leaves these out.
        others = {p: MAX_OFFSET - 1 for p in self._store.states() if p != partition}
        while batches := self._store.tail({**others, partition: position}, READ_BATCHES).batches:
            yield from batches
            position = batches[-1].watermark

    def _log(self, partition: int) -> _LogReader:
        return _LogReader(self._history, partition, self.bounds.get(partition, OffsetRange(0, 0)))

    def _text(self, partition: int, entry: Entry) -> Outgoing:
        headers = ((RESTORED, b"%d/%d" % (partition, entry.offset)),)
        # The store has digests of keys alone, but that of a correction follows from what it says.
        key = correction_key(entry.context, entry.text) if SOURCE in entry.metadata else None
        return Outgoing(
            self._topic,
            text_of(entry).encode(),
            key,
            headers=headers,
            partition=self._partition(partition),
            timestamp_ms=entry.timestamp_ms,
        )

    def _tombstone(self, partition: int, target: int) -> Outgoing:
        (message,) = of_entry(self._topic, partition, target)
        return message

    def _partition(self, partition: int) -> int:
        """The same partition, or another one if the topic has fewer now."""
        return partition if partition in self.bounds else sorted(self.bounds)[partition % len(self.bounds)]


class _LogReader:
    """Reads a partition once, from its first record to its last."""

    def __init__(self, history: History, partition: int, held: OffsetRange) -> None:
        self.first = held.first
        self.end = held.end
        self._records = self._read(history, partition)
        self._next = next(self._records, None)

    def records(self) -> Iterator[Record]:
        """All from here on."""
        while record := self._next:
            yield record
            self._next = next(self._records, None)

    def record_at(self, offset: int) -> Record | None:
        """The record at `offset`, if there is one. Offsets must be asked for in rising order."""
        while self._next and self._next.offset < offset:
            self._next = next(self._records, None)
        return self._next if self._next and self._next.offset == offset else None

    def _read(self, history: History, partition: int) -> Iterator[Record]:
        if self.first < self.end:
            for block in history.read(partition, self.first, self.end - 1):
                yield from block


def _parsed(record: Record | None) -> Entry | Deletion | None:
    """What the record says; None if there is no record, or no valid one."""
    try:
        return parse_record(record) if record else None
    except InvalidMessage:
        return None


def _says(record: Record | None, entry: Entry) -> bool:
    """Whether the record says what the entry holds."""
    parsed = _parsed(record)
    names = ("timestamp_ms", "context", "text", "answer", "copies")
    if not isinstance(parsed, Entry) or any(getattr(parsed, name) != getattr(entry, name) for name in names):
        return False
    return dict(parsed.metadata) == dict(entry.metadata)
