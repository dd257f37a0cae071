"""What a record of the topic of texts says: it is an entry, or it deletes earlier entries of its partition.

A record with a value is a text. A record without a value (a tombstone) deletes, and its headers say what:

    headers                     deletes, of what came earlier in the same partition
    forget=1234                 the entry at offset 1234
    drop-context=faq            every entry of the context faq
    none, and a key             every entry that came under that key, in any context
    context=faq, and a key      every entry that came under that key, in the context faq

The third line is what Kafka's compaction makes of a tombstone: the key is gone. Our own keys belong to one
context, so `hurnet forget` always names that context (the fourth line).
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from hurnet_schemas import InvalidMessage, TextEvent
from hurnet_schemas.base import ContextName
from hurnet_schemas.text import OWN_KEYS
from hurnet_stream.core import places
from hurnet_stream.core.offsets import MAX_DIGITS, is_number
from hurnet_stream.core.stored.batch import Deletion, Entry, key_digest
from hurnet_stream.ports import Record, Taught

FORGET = "forget"
"""Header of a record without a value that deletes one entry: the entry's offset, in decimal digits."""
DROP = "drop-context"
"""Header of a record without a value that deletes all entries of a context: the context's name."""
CONTEXT = "context"
"""Header beside a key: the only context in which the key's entries are deleted. `EVERY`, or no such header,
stands for all contexts."""
EVERY = "*"

_NAME = TypeAdapter[str](ContextName)


@dataclass(frozen=True, slots=True)
class TextReader:
    """Reads hurnet's own messages. `upsert` says whether a text takes the place of what came under its key
    before; what hurnet itself sends, such as corrections, never does."""

    upsert: bool = False

    def read(self, record: Record) -> Taught | Deletion:
        """What the record adds to its shard, or deletes from it. Raises `InvalidMessage` if it is neither."""
        parsed = parse_record(record)
        if isinstance(parsed, Deletion):
            return parsed
        return Taught([parsed], record.key, replaces(record.key, self.upsert))


def replaces(key: bytes | None, upsert: bool) -> bool:
    """Whether what comes under this key takes the place of what came under it before."""
    return upsert and key is not None and not key.startswith(OWN_KEYS.encode())


def parse_record(record: Record) -> Entry | Deletion:
    """What the record adds to its shard, or deletes from it. Raises `InvalidMessage` if it does neither."""
    if record.fault:
        raise InvalidMessage(record.fault.reason, record.fault.detail)
    return deletion_of(record) if record.value is None else _entry(record, record.value)


def _entry(record: Record, value: bytes) -> Entry:
    event = TextEvent.decode(value)
    copies = event.weight or 1
    return Entry(
        record.first_position,
        record.timestamp_ms,
        event.context,
        event.text,
        event.answer,
        event.metadata,
        -copies if event.refutes else copies,
    )


def deletion_of(record: Record) -> Deletion:
    """What a record without a value deletes. Raises `InvalidMessage` if it does not say that."""
    names = {name for name, _ in record.headers}
    position = record.last_position
    if {FORGET, DROP} <= names:
        raise InvalidMessage("tombstone", f"it has the headers {FORGET} and {DROP}, and must have one")
    if FORGET in names:
        return Deletion(position, record.timestamp_ms, targets=_positions(record, _earlier_offset(record)))
    if DROP in names:
        return Deletion(position, record.timestamp_ms, context=_context_name(record, DROP))
    if record.key is None:
        raise InvalidMessage("tombstone", "the record has no value and no key")
    in_every_context = CONTEXT not in names or record.header(CONTEXT) == EVERY.encode()
    context = None if in_every_context else _context_name(record, CONTEXT)
    return Deletion(position, record.timestamp_ms, key=key_digest(record.key), context=context)


def _positions(record: Record, offset: int) -> tuple[int, ...]:
    """Where the entries of the record at `offset` of the same partition can stand."""
    last = places.last_position(record.shard, offset)
    return tuple(range(places.first_position(record.shard, offset), last + 1))


def _earlier_offset(record: Record) -> int:
    header = record.header(FORGET) or b""
    # One digit beyond the longest offset is enough to refuse a header of a million digits.
    digits = header[: MAX_DIGITS + 1].decode(errors="replace")
    if not is_number(digits) or int(header) >= record.offset:
        raise InvalidMessage("tombstone", f"the header {FORGET} is no earlier offset: {header[:40]!r}")
    return int(header)


def _context_name(record: Record, header_name: str) -> str:
    header = record.header(header_name) or b""
    try:
        return _NAME.validate_python(header.decode())
    except ValueError:
        raise InvalidMessage(
            "tombstone", f"the header {header_name} is no context: {header[:80]!r}"
        ) from None
