"""The reader of one topic: from a record to the entries that it teaches, or to a deletion.

What a record without a value deletes, and what a record does that is not taken (`when`), follows from what a
compacted topic is: the last record of a key is the whole truth about it. So in a topic that is read by upsert
a record that is not taken deletes what came under its key, as a database's view drops a row that no longer
meets its condition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hurnet_schemas import InvalidMessage
from hurnet_stream.core import places
from hurnet_stream.core.stored.batch import Deletion, Entry, key_digest
from hurnet_stream.ports import Record, Taught
from hurnet_stream.readers.envelopes import TOMBSTONE, Opened, payload
from hurnet_stream.readers.formats import Format
from hurnet_stream.readers.tables import Found, Parts, Table
from hurnet_stream.records import FORGET, deletion_of, replaces

Open = Callable[[Record, bytes, Format], Opened]
"""Takes the value of a record out of its envelope."""
Chunks = Callable[[str], Sequence[str]]
"""Cuts a text into pieces, in their order."""
NOTHING = Taught(())


class TopicReader:
    """Reads the records of one topic by its table. `chunk` cuts texts; None: they stay whole."""

    def __init__(
        self,
        table: Table,
        open_value: Open,
        value: Format,
        key: Callable[[bytes | None], Any],
        upsert: bool,
        chunk: Chunks | None = None,
    ) -> None:
        self._table = table
        self._open = open_value
        self._value = value
        self._key = key
        self._upsert = upsert
        self._chunk = chunk

    def read(self, record: Record) -> Taught | Deletion:
        """What the record says. Raises `InvalidMessage`, and `TransientError` while the registry does not
        answer."""
        if record.fault:
            raise InvalidMessage(record.fault.reason, record.fault.detail)
        if record.value is None and record.header(FORGET) is not None:
            return deletion_of(record)  # our own, of one record
        opened = TOMBSTONE if record.value is None else self._open(record, record.value, self._value)
        if not opened.says:
            return NOTHING
        parts = self._parts(record, opened)
        if opened.deletes:
            return self._deletion(record, parts)
        if not self._table.takes(parts):
            return self._left_out(record, parts)
        found = self._table.read(parts)
        key = self._table.key(parts) if self._table.has_key else record.key
        return Taught(self._entries(record, found), key, replaces(key, self._upsert))

    def _parts(self, record: Record, opened: Opened) -> Parts:
        looks_at = self._table.looks_at
        headers = {}
        if "headers" in looks_at:
            headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        return {
            "value": opened.value,
            "envelope": opened.envelope,
            "key": payload(self._key(record.key)) if "key" in looks_at else None,
            "headers": headers,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp_ms,
        }

    def _deletion(self, record: Record, parts: Parts) -> Deletion | Taught:
        if not self._table.has_key:
            if record.key is None:
                raise InvalidMessage("tombstone", "the record deletes, and has no key that says what")
            # A tombstone may name a context in a header, as those of `hurnet forget` do.
            return deletion_of(record) if record.value is None else _of_key(record, record.key)
        key = self._table.key(parts)
        if key is None:
            raise self._table.refuse_key()
        return _of_key(record, key)

    def _left_out(self, record: Record, parts: Parts) -> Deletion | Taught:
        key = self._table.key(parts) if self._table.has_key else record.key
        return _of_key(record, key) if key is not None and replaces(key, self._upsert) else NOTHING

    def _entries(self, record: Record, found: Found) -> list[Entry]:
        pieces = [found.text] if self._chunk is None else self._chunk(found.text)
        most = places.CHUNKS_MOST if record.number else 1
        if len(pieces) > most:
            raise InvalidMessage("too-long", f"{len(pieces):,} chunks, and a record has at most {most:,}")
        return [self._entry(record, found, piece, number) for number, piece in enumerate(pieces)]

    def _entry(self, record: Record, found: Found, piece: str, number: int) -> Entry:
        event = self._table.event(found, piece)
        return Entry(
            record.first_position + number,
            record.timestamp_ms if found.timestamp_ms is None else found.timestamp_ms,
            event.context,
            event.text,
            event.answer,
            event.metadata,
            event.weight or 1,
        )


def _of_key(record: Record, key: bytes) -> Deletion:
    return Deletion(record.last_position, record.timestamp_ms, key=key_digest(key))
