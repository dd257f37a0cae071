"""What a record of the topic of texts says: it is an entry, or it deletes earlier entries of its partition.

A record with a value is a text. A record without a value (a tombstone) deletes, and its headers say what:

    headers                     deletes, of what came earlier in the same partition
    forget=1234                 the entry at offset 1234
    drop-context=faq            every entry of the context faq
    expire-context=faq,         the entries of the context faq from before this time (milliseconds since
    before=1732752000000,       1970), up to the offset 1234; ingest writes such records
    through=1234
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
from hurnet_stream.core.stored.batch import MAX_OFFSET, Deletion, Entry, Expiry, key_digest
from hurnet_stream.ports import Outgoing, Record, Taught

FORGET = "forget"
"""Header of a record without a value that deletes one entry: the entry's offset, in decimal digits."""
DROP = "drop-context"
"""Header of a record without a value that deletes all entries of a context: the context's name."""
EXPIRE = "expire-context"
"""Header of a record without a value that deletes what is too old in a context: the context's name."""
BEFORE = "before"
"""Header beside it: entries from before this time are too old, in milliseconds since 1970."""
THROUGH = "through"
"""Header beside it: the last offset at which one of them stands."""
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


def text_of(entry: Entry) -> TextEvent:
    """The text of which a record makes this entry again."""
    return TextEvent(
        text=entry.text,
        answer=entry.answer,
        weight=abs(entry.copies),
        refutes=entry.refutes or None,
        context=entry.context,
        metadata=dict(entry.metadata),
    )


def deletion_of(record: Record) -> Deletion:
    """What a record without a value deletes. Raises `InvalidMessage` if it does not say that."""
    names = {name for name, _ in record.headers}
    position = record.last_position
    if len(kinds := [name for name in (FORGET, DROP, EXPIRE) if name in names]) > 1:
        raise InvalidMessage("tombstone", f"it has the headers {' and '.join(kinds)}, and must have one")
    if FORGET in names:
        targets = _positions(record, _earlier_offset(record, FORGET))
        return Deletion(position, record.timestamp_ms, targets=targets)
    if DROP in names:
        return Deletion(position, record.timestamp_ms, context=_context_name(record, DROP))
    if EXPIRE in names:
        expired = _context_name(record, EXPIRE)
        through = places.last_position(record.shard, _earlier_offset(record, THROUGH))
        expiry = Expiry(_number(record, BEFORE), through)
        return Deletion(position, record.timestamp_ms, context=expired, expiry=expiry)
    if record.key is None:
        raise InvalidMessage("tombstone", "the record has no value and no key")
    in_every_context = CONTEXT not in names or record.header(CONTEXT) == EVERY.encode()
    context = None if in_every_context else _context_name(record, CONTEXT)
    return Deletion(position, record.timestamp_ms, key=key_digest(record.key), context=context)


def expiry_request(topic: str, partition: int, context: str, expiry: Expiry) -> Outgoing:
    """The record that deletes what is too old in a shard of the topic of texts."""
    headers = (
        (EXPIRE, context.encode()),
        (BEFORE, b"%d" % expiry.before_ms),
        (THROUGH, b"%d" % expiry.through),
    )
    # A key of its own lets compaction keep the last of these records, which says all that the others said.
    return Outgoing(topic, None, f"hurnet-expire/{context}".encode(), headers, partition)


def _positions(record: Record, offset: int) -> tuple[int, ...]:
    """Where the entries of the record at `offset` of the same partition can stand."""
    last = places.last_position(record.shard, offset)
    return tuple(range(places.first_position(record.shard, offset), last + 1))


def _earlier_offset(record: Record, header_name: str) -> int:
    offset = _number(record, header_name)
    if offset >= record.offset:
        raise InvalidMessage("tombstone", f"the header {header_name} is no earlier offset: {offset}")
    return offset


def _number(record: Record, header_name: str) -> int:
    header = record.header(header_name) or b""
    # One digit beyond the longest offset is enough to refuse a header of a million digits.
    digits = header[: MAX_DIGITS + 1].decode(errors="replace")
    if not is_number(digits) or int(header) > MAX_OFFSET:
        raise InvalidMessage("tombstone", f"the header {header_name} is no number: {header[:40]!r}")
    return int(header)


def _context_name(record: Record, header_name: str) -> str:
    header = record.header(header_name) or b""
    try:
        return _NAME.validate_python(header.decode())
    except ValueError:
        raise InvalidMessage(
            "tombstone", f"the header {header_name} is no context: {header[:80]!r}"
        ) from None
