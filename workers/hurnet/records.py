"""Records of the topic of texts: entries, or deletions of earlier ones.

A record without a value deletes what came before it in its own partition: with the header `forget` the
entry at that offset; with `drop-context` all of a context; else every entry that came under its key. That is
Kafka's tombstone, and it means what compaction makes of it: the key is gone, in whatever context. A key
belongs to its context, though, so whoever can should name that in the header `context`, as `hurnet forget`
does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import structlog
from pydantic import TypeAdapter

from hurnet.core.offsets import MAX_DIGITS, is_number
from hurnet.core.stored.batch import Deletion, Entry, Vectors, key_digest
from hurnet.errors import TransientError
from hurnet.ports import Embedder, Record
from hurnet_schemas import InvalidMessage, TextEvent
from hurnet_schemas.base import ContextName
from hurnet_schemas.dead_letter import Reason

log = structlog.get_logger()

Verdict = tuple[Reason, str] | None
"""Why an entry is put aside; None where it is not."""

FORGET = "forget"
"""The header of a record without a value that deletes one entry: its offset in decimal digits."""
DROP = "drop-context"
"""That of one that deletes all of a context: its name."""
CONTEXT = "context"
"""Beside a key: the context that the key's entries are deleted of; EVERY or no such header: of all."""
EVERY = "*"

_NAME = TypeAdapter[str](ContextName)


def entry_of(record: Record) -> Entry:
    """Raises `InvalidMessage` where it is no text, a tombstone that deletes nothing included."""
    if record.fault:
        raise InvalidMessage(record.fault.reason, record.fault.detail)
    if record.value is None:
        asked_of(record)
        raise InvalidMessage("tombstone", "it deletes, and is no text")
    event = TextEvent.decode(record.value)
    at = record.offset, record.timestamp_ms
    return Entry(*at, event.context, event.text, event.answer, event.metadata, event.weight or 1)


def deletion_of(record: Record) -> Deletion | None:
    """What the record asks to delete; None where it is no deletion, or not a valid one."""
    if record.value is not None:
        return None
    try:
        return asked_of(record)
    except InvalidMessage:
        return None


def asked_of(record: Record) -> Deletion:
    """The deletion that a record without a value asks for. Raises `InvalidMessage` if that can't be told."""
    at = record.offset, record.timestamp_ms
    names = {name for name, _ in record.headers}
    if {FORGET, DROP} <= names:
        raise InvalidMessage("tombstone", f"it has the headers {FORGET} and {DROP}, and must have one")
    if FORGET in names:
        return Deletion(*at, targets=(_earlier(record),))
    if DROP in names:
        return Deletion(*at, context=_context(record, DROP))
    if record.key is None:
        raise InvalidMessage("tombstone", "the record has no value and no key")
    every = CONTEXT not in names or record.header(CONTEXT) == EVERY.encode()
    return Deletion(*at, key=key_digest(record.key), context=None if every else _context(record, CONTEXT))


def _earlier(record: Record) -> int:
    named = record.header(FORGET) or b""
    if not is_number(named[: MAX_DIGITS + 1].decode(errors="replace")) or int(named) >= record.offset:
        raise InvalidMessage("tombstone", f"the header {FORGET} is no earlier offset: {named[:40]!r}")
    return int(named)


def _context(record: Record, header: str) -> str:
    named = record.header(header) or b""
    try:
        return _NAME.validate_python(named.decode())
    except ValueError:
        raise InvalidMessage("tombstone", f"the header {header} is no context: {named[:80]!r}") from None


def embedded(embedder: Embedder, texts: Sequence[str]) -> tuple[Vectors, list[Verdict]]:
    """The texts' vectors, and what to put aside: what the embedder fails on or maps to zero."""
    vectors, failures = embed_each(embedder, texts)
    zero: Verdict = ("zero-vector", "the text has nothing the embedder knows")
    return vectors, [
        failures.get(row) or (None if vectors[row].any() else zero) for row in range(len(vectors))
    ]


def embed_each(embedder: Embedder, texts: Sequence[str]) -> tuple[Vectors, dict[int, tuple[Reason, str]]]:
    """All texts at once; one at a time where that fails, so that one poisoned text stops nothing. Returns the
    vectors, zero for a text that failed, and by row what failed."""
    try:
        return embedder.embed(texts), {}
    except TransientError:
        raise
    except Exception:
        log.exception("embedding a batch failed; trying its texts one by one", private=True)
    vectors = np.zeros((len(texts), embedder.identity.dimension), np.int16)
    failures: dict[int, tuple[Reason, str]] = {}
    for row, text in enumerate(texts):
        try:
            vectors[row] = embedder.embed([text])[0]
        except TransientError:
            raise
        except Exception as error:
            failures[row] = ("embedder-failed", f"{type(error).__name__}: {error}")
    return vectors, failures
