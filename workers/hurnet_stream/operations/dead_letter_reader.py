"""Dead letters read back: the newest first, only those that are asked for, each only once.

Kafka reads forwards, and the newest letters are asked for most often. So a partition is read in blocks of
offsets from its end to its beginning, and each block is turned around:

    offsets    0 ......... 999 1000 ........ 1999 2000 .. 2345
    read       third           second             first
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from hurnet_schemas import InvalidMessage
from hurnet_schemas.dead_letter import DeadLetter
from hurnet_stream.ports import History, Outgoing, Record

BLOCK = 1_000
"""How many offsets of a partition are read at a time."""
SEEN_MOST = 100_000
"""So many letters are remembered, so that a copy of one is not told again."""

RecordId = tuple[str, int, int]
"""Topic, partition and offset of the record that was put aside."""


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter, and when it was written (milliseconds since the epoch)."""

    letter: DeadLetter
    written_ms: int

    @property
    def record_id(self) -> RecordId:
        return self.letter.topic, self.letter.partition, self.letter.offset

    @property
    def excerpt(self) -> bytes:
        """The first bytes of what was put aside."""
        return base64.b64decode(self.letter.excerpt or "")


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are asked for. An empty set, or None, asks for all."""

    reasons: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    partitions: frozenset[int] = frozenset()
    since_ms: int | None = None
    records: frozenset[RecordId] = frozenset()

    def matches(self, stored: StoredLetter) -> bool:
        letter = stored.letter
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.topics or letter.topic in self.topics)
            and (not self.partitions or letter.partition in self.partitions)
            and (self.since_ms is None or stored.written_ms >= self.since_ms)
            and (not self.records or stored.record_id in self.records)
        )


@dataclass(slots=True)
class LetterReader:
    """Reads the topic of dead letters. `unreadable` counts the records in it that are no dead letters."""

    history: History
    unreadable: int = 0
    _seen: set[RecordId] = field(default_factory=set)

    def newest(self, wanted: LetterFilter, letters_max: int) -> list[StoredLetter]:
        """The newest letters, the newest first."""
        letters = [
            letter
            for partition in sorted(self.history.offset_ranges())
            # Any partition may hold all of the newest, so that many are read of each.
            for letter in islice(self._backwards(partition, wanted), letters_max)
        ]
        letters.sort(key=lambda stored: (stored.written_ms, stored.record_id), reverse=True)
        return letters[:letters_max]

    def all(self, wanted: LetterFilter) -> Iterator[StoredLetter]:
        """All letters: one partition after another, each from its end to its beginning."""
        for partition in sorted(self.history.offset_ranges()):
            yield from self._backwards(partition, wanted)

    def ends(self) -> dict[int, int]:
        """The next offset of each partition, for `newer`."""
        return {partition: held.end for partition, held in self.history.offset_ranges().items()}

    def newer(self, ends: dict[int, int], wanted: LetterFilter) -> list[StoredLetter]:
        """The letters at or beyond `ends`, the oldest first. Moves `ends` on."""
        if len(self._seen) > SEEN_MOST:
            self._seen.clear()  # who watches for weeks may be told of a copy
        letters: list[StoredLetter] = []
        for partition, held in self.history.offset_ranges().items():
            first = max(ends.get(partition, 0), held.first)
            blocks = self.history.read(partition, first, held.end - 1) if held.end > first else ()
            letters += self._wanted((record for block in blocks for record in block), wanted)
            ends[partition] = held.end
        return sorted(letters, key=lambda stored: (stored.written_ms, stored.record_id))

    def _wanted(self, records: Iterable[Record], wanted: LetterFilter) -> Iterator[StoredLetter]:
        """The wanted letters among these records, each only once."""
        for record in records:
            stored = self._read(record)
            # Letters are delivered at least once: a second one about the same record is a copy.
            if stored and wanted.matches(stored) and stored.record_id not in self._seen:
                self._seen.add(stored.record_id)
                yield stored

    def _backwards(self, partition: int, wanted: LetterFilter) -> Iterator[StoredLetter]:
        held = self.history.offset_ranges()[partition]
        end = held.end
        while end > held.first:
            first = max(held.first, end - BLOCK)
            blocks = self.history.read(partition, first, end - 1)
            yield from self._wanted(reversed([record for block in blocks for record in block]), wanted)
            end = first

    def _read(self, record: Record) -> StoredLetter | None:
        try:
            return StoredLetter(DeadLetter.decode(record.value), record.timestamp_ms)
        except InvalidMessage:
            self.unreadable += 1
            return None


@dataclass(slots=True)
class Group:
    """All letters with one reason: how many, when the first and the last one was written, and the last one
    itself."""

    reason: str
    count: int
    first_ms: int
    newest: StoredLetter


def grouped(letters: Iterable[StoredLetter]) -> list[Group]:
    """The letters by reason, the most frequent first."""
    groups: dict[str, Group] = {}
    for each in letters:
        reason = each.letter.reason
        group = groups.setdefault(reason, Group(reason, 0, each.written_ms, each))
        group.count += 1
        group.first_ms = min(group.first_ms, each.written_ms)
        group.newest = max(group.newest, each, key=lambda stored: (stored.written_ms, stored.record_id))
    return sorted(groups.values(), key=lambda group: (-group.count, group.reason))


def message_to_resend(stored: StoredLetter, history: History) -> Outgoing | str:
    """The message that sends the record again as it was, read from the `history` of its topic. If that can't
    be done: why not, in words that follow "because"."""
    letter = stored.letter
    if letter.first_offset is not None:
        return "it stands for a batch that could not be unpacked"
    record = _record_at(history, letter.partition, letter.offset)
    if record is None:
        return "its topic no longer holds it"
    if record.fault:
        return f"it can't be read: {record.fault.detail}"
    if record.key is None and record.value is None:
        return "it has neither key nor value, and clients send no such record"
    if letter.sha256 != (None if record.value is None else hashlib.sha256(record.value).hexdigest()):
        return "another record stands at its coordinates now: was the topic made anew?"
    return Outgoing(record.topic, record.value, record.key, record.headers, record.partition)


def _record_at(history: History, partition: int, offset: int) -> Record | None:
    held = history.offset_ranges().get(partition)
    if held is None or not held.first <= offset < held.end:
        return None
    blocks: Iterator[Sequence[Record]] = history.read(partition, offset, offset)
    return next((record for block in blocks for record in block if record.offset == offset), None)
