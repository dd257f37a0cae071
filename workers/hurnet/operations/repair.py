"""A context whose log was rewritten or made anew: what it holds, and its topic of texts does not.

Nothing is merged in place: rows, statistics and weights of two logs can't be told apart once they are mixed.
The context is put aside whole, a new one is filled from the topic, and what only the old one has goes to the
end of the topic, as texts and deletions like any others. So nothing is lost that is still anywhere, and
Kafka holds all again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from hurnet.core.stored.batch import MAX_OFFSET, NOTHING, Batch, Deletion, Entry
from hurnet.ports import EntryStore, History, OffsetRange, Outgoing, Record, deleted_by
from hurnet.records import FORGET, parse_record
from hurnet_schemas import InvalidMessage, TextEvent

BATCHES = 16
"""Read of the context at once."""
RESTORED = "restored"
"""The header of what is sent again: its coordinates in the context that was put aside."""


@dataclass(frozen=True, slots=True)
class Again:
    """What to send again for a shard's offsets up to `upto`."""

    messages: Sequence[Outgoing]
    upto: int
    texts: int = 0
    deletions: int = 0


class Comparison:
    """Of a context with the topic that it should have come from. `same_topic` says whether the topic still is
    the one that it was filled from, if perhaps rewritten."""

    def __init__(self, store: EntryStore, history: History, topic: str, same_topic: bool) -> None:
        self._store = store
        self._history = history
        self._topic = topic
        self._same_topic = same_topic
        self.bounds = history.offset_ranges()

    def lacking(self, partition: int, after: int = NOTHING) -> Iterator[Again]:
        """What of a shard the topic lacks, in the order of offsets; of texts those beyond `after`."""
        gone: set[int] = set()
        deletions: list[Deletion] = []
        for batch in self._batches(partition):
            if batch.deletion:
                deletions.append(batch.deletion)
                gone.update(chain.from_iterable(deleted_by(self._store, partition, batch.deletion)))
        texts = _Log(self._history, partition, self.bounds.get(partition, OffsetRange(0, 0)))
        differs, equal = MAX_OFFSET, NOTHING
        for batch in self._batches(partition):
            lost: list[Entry] = []
            for entry in batch.entries:
                if _same(entry, texts.at(entry.offset)):
                    equal = entry.offset
                    continue
                if entry.offset >= texts.first:
                    differs = min(differs, entry.offset)
                if entry.offset not in gone and entry.offset > after:
                    lost.append(entry)
            yield Again([self._text(partition, e) for e in lost], batch.watermark, texts=len(lost))
        trusted = differs if self._same_topic else min(differs, equal + 1)
        yield self._deletions(partition, deletions, trusted)

    def _deletions(self, partition: int, deletions: Sequence[Deletion], trusted: int) -> Again:
        """Those whose records the topic lost, of texts that it still holds: else these would come back. Below
        `trusted` the topic holds what the context has seen there."""
        log = _Log(self._history, partition, self.bounds.get(partition, OffsetRange(0, 0)))
        messages = []
        for deletion in deletions:
            record = log.at(deletion.offset)
            if not _is_deletion(record):
                messages += [
                    self._tombstone(partition, target)
                    for target in chain.from_iterable(deleted_by(self._store, partition, deletion))
                    if log.first <= target < min(trusted, log.end)
                ]
        return Again(messages, MAX_OFFSET, deletions=len(messages))

    def _batches(self, partition: int) -> Iterator[Batch]:
        position = NOTHING
        others = {p: MAX_OFFSET - 1 for p in self._store.states() if p != partition}
        while found := self._store.tail({**others, partition: position}, BATCHES).batches:
            yield from found
            position = found[-1].watermark

    def _text(self, partition: int, entry: Entry) -> Outgoing:
        event = TextEvent(
            text=entry.text,
            answer=entry.answer,
            weight=entry.copies,
            context=entry.context,
            metadata=dict(entry.metadata),
        )
        came_from = ((RESTORED, b"%d/%d" % (partition, entry.offset)),)
        to = self._partition(partition)
        return Outgoing(
            self._topic, event.encode(), None, came_from, partition=to, timestamp_ms=entry.timestamp_ms
        )

    def _tombstone(self, partition: int, target: int) -> Outgoing:
        named = ((FORGET, b"%d" % target),)
        return Outgoing(self._topic, None, headers=named, partition=partition)

    def _partition(self, partition: int) -> int:
        """The same, unless the topic has fewer now."""
        return partition if partition in self.bounds else sorted(self.bounds)[partition % len(self.bounds)]


class _Log:
    """A partition's records, asked for in rising order of offsets."""

    def __init__(self, history: History, partition: int, bounds: OffsetRange) -> None:
        self.first = bounds.first
        self.end = bounds.end
        self._records = self._read(history, partition)
        self._next = next(self._records, None)

    def at(self, offset: int) -> Record | None:
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


def _is_deletion(record: Record | None) -> bool:
    return isinstance(_parsed(record), Deletion)


def _same(entry: Entry, record: Record | None) -> bool:
    """Whether the record says what the entry holds."""
    parsed = _parsed(record)
    names = ("timestamp_ms", "context", "text", "answer", "copies")
    if not isinstance(parsed, Entry) or any(getattr(parsed, name) != getattr(entry, name) for name in names):
        return False
    return dict(parsed.metadata) == dict(entry.metadata)
