"""Dead letters read again: the newest first, by what is asked of them, each once."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hurnet.ports import History, Outgoing, Record
from hurnet_schemas import InvalidMessage
from hurnet_schemas.dead_letter import DeadLetter

BLOCK = 1_000
"""Offsets of a partition that are read at a time, from its end to its beginning."""

RecordId = tuple[str, int, int]
"""Topic, partition and offset of the record that was put aside."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters: empty sets are all, times are milliseconds since the epoch."""

    reasons: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    partitions: frozenset[int] = frozenset()
    since_ms: int | None = None
    records: frozenset[RecordId] = frozenset()

    def takes(self, found: Found) -> bool:
        """Whether this is one of them."""
        letter = found.letter
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.topics or letter.topic in self.topics)
            and (not self.partitions or letter.partition in self.partitions)
            and (self.since_ms is None or found.written_ms >= self.since_ms)
            and (not self.records or found.coordinates in self.records)
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A letter, and when it was written."""

    letter: DeadLetter
    written_ms: int

    @property
    def coordinates(self) -> RecordId:
        return self.letter.topic, self.letter.partition, self.letter.offset

    @property
    def excerpt(self) -> bytes:
        """The first bytes of what was put aside."""
        return base64.b64decode(self.letter.excerpt or "")


@dataclass(slots=True)
class Letters:
    """Reads the topic of dead letters. `unreadable` counts what in it is no dead letter."""

    history: History
    unreadable: int = 0
    _seen: set[RecordId] = field(default_factory=set)

    def newest(self, wanted: Wanted, most: int) -> list[Found]:
        """At most `most`, the newest first."""
        per_partition = [
            self._of(partition, wanted, most) for partition in sorted(self.history.offset_ranges())
        ]
        found = [letter for letters in per_partition for letter in letters]
        found.sort(key=lambda each: (each.written_ms, each.coordinates), reverse=True)
        return found[:most]

    def all(self, wanted: Wanted) -> Iterator[Found]:
        """All of them, a partition after the other, each from its end to its beginning."""
        for partition in sorted(self.history.offset_ranges()):
            yield from self._backwards(partition, wanted)

    def _of(self, partition: int, wanted: Wanted, most: int) -> list[Found]:
        letters: list[Found] = []
        for found in self._backwards(partition, wanted):
            letters.append(found)
            if len(letters) >= most:
                break
        return letters

    def _backwards(self, partition: int, wanted: Wanted) -> Iterator[Found]:
        bounds = self.history.offset_ranges()[partition]
        end = bounds.end
        while end > bounds.first:
            first = max(bounds.first, end - BLOCK)
            blocks = self.history.read(partition, first, end - 1)
            for record in reversed([record for block in blocks for record in block]):
                found = self._read(record)
                if found and wanted.takes(found) and found.coordinates not in self._seen:
                    self._seen.add(found.coordinates)  # delivered at least once: the second is a copy
                    yield found
            end = first

    def _read(self, record: Record) -> Found | None:
        try:
            return Found(DeadLetter.decode(record.value), record.timestamp_ms)
        except InvalidMessage:
            self.unreadable += 1
            return None


def again(found: Found, history: History) -> Outgoing | str:
    """The record that was put aside, as it is to be sent again; in words why it can't be."""
    letter = found.letter
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
    bounds = history.offset_ranges().get(partition)
    if bounds is None or not bounds.first <= offset < bounds.end:
        return None
    blocks: Iterator[Sequence[Record]] = history.read(partition, offset, offset)
    return next((record for block in blocks for record in block if record.offset == offset), None)
