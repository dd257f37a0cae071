"""A row of a file: before it is checked, checked, or rejected with what would be right."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from hurnet_schemas import InvalidMessage, TextEvent
from hurnet_schemas.base import MAX_METADATA_ITEMS, MAX_TEXT, MAX_WEIGHT
from hurnet_schemas.text import OWN_KEYS

KEY_BYTES: Final = 1_000
FIELDS: Final = ("text", "answer", "context", "key", "weight")
AHEAD_MS: Final = 3_600_000
"""How far ahead of the clock a time may be: brokers refuse later ones, unless they are told otherwise."""
_HINTS: Final = {
    "blank-text": "each row needs a text that is not blank",
    "too-long": f"a text and an answer may have {MAX_TEXT:,} characters each",
    "not-utf8": "save the file as UTF-8",
    "not-json": 'each line must be one object, as in {"text": "...", "answer": "..."}',
}


@dataclass(slots=True)
class Draft:
    """A row that nobody has checked: the fields of its message, and what belongs to its record. `raw` is the
    row as it stands in the file."""

    line: int
    fields: dict[str, Any]
    key: Any = None
    timestamp: Any = None
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Row:
    """One text, and the key and the time of its record."""

    line: int
    event: TextEvent
    key: str | None = None
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that can't be a text: the line it begins on, why in a word, and what would be right."""

    line: int
    reason: str
    message: str
    raw: Any = field(default=None, repr=False, compare=False)


def checked(draft: Draft, context: str) -> Row | Reject:
    """The row, or why it is none. `context` is for rows that name none."""
    if draft.key is not None and not key_fits(draft.key):
        message = f"key: must be a text of 1 to {KEY_BYTES:,} bytes that does not begin with {OWN_KEYS}"
        return Reject(draft.line, "invalid-message", message, draft.raw)
    try:
        timestamp_ms = None if draft.timestamp is None else milliseconds(draft.timestamp)
        event = TextEvent.of_fields({"context": context, **draft.fields})
    except InvalidMessage as error:
        return rejected(draft.line, error, draft.raw)
    return Row(draft.line, event, draft.key, timestamp_ms)


def key_fits(key: object) -> bool:
    if not isinstance(key, str) or key.startswith(OWN_KEYS):
        return False
    return 0 < len(key.encode("utf-8", "replace")) <= KEY_BYTES


def milliseconds(value: object) -> int:
    """A time as milliseconds since 1970. Raises `InvalidMessage`."""
    try:
        ms = _milliseconds(value)
    except (ValueError, OverflowError):
        ms = -1
    if not 0 <= ms <= time.time() * 1000 + AHEAD_MS:
        told = f"timestamp: {value!r:.40} is no time up to now, as 1764331200000 or 2025-11-28T12:00:00Z"
        raise InvalidMessage("invalid-message", told)
    return ms


def _milliseconds(value: object) -> int:
    if isinstance(value, str) and not value.strip().isdecimal():
        value = datetime.fromisoformat(value.strip())
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    if isinstance(value, str | int) and not isinstance(value, bool):
        return int(value)
    raise ValueError(f"{value!r} is no time")


def rejected(line: int, error: InvalidMessage, raw: object = None) -> Reject:
    hint = _HINTS.get(error.reason) or _field_hint(error)
    return Reject(line, error.reason, f"{error.detail}{f': {hint}' if hint else ''}"[:600], raw)


def not_utf8(line: int, raw: object) -> Reject:
    return Reject(line, "not-utf8", f"not UTF-8: {_HINTS['not-utf8']}", raw)


def _field_hint(error: InvalidMessage) -> str:
    where = error.faults[0][0].split(".")[0] if error.faults else ""
    return {
        "weight": f"a weight is a whole number from 1 to {MAX_WEIGHT:,}",
        "context": "a context's name is up to 64 of a-z 0-9 . _ -, and first a letter or digit",
        "metadata": f"up to {MAX_METADATA_ITEMS} strings",
        "text": "each row needs a text",
    }.get(where, "a row may have a key, too" if "no such field" in error.detail else "")
