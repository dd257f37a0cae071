"""What a value that an expression has found counts as: a text, a weight, a time.

    found                       as text           as weight      as time
    "late"                      late              refused        refused
    " 7 "                       " 7 "             7              7 s after 1970
    3                           3                 3              3 s after 1970
    2.5                         2.5               refused        2,500 ms after 1970
    true                        true              refused        refused
    null, nothing there, "  "   none              none           none
    ["a", "b"], {"a": "b"}      refused           refused        refused

A list is not joined, because nobody could tell how: `join(' ', value.lines)` says it. What is refused is said
by its kind alone, since a dead letter must not repeat what may be private.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any, Final

from hurnet_schemas.base import MAX_WEIGHT

_FAR_MS: Final = 253_402_300_799_999
"""The end of the year 9999, in milliseconds since 1970."""
_UNITS: Final = ((10**11, 1_000.0), (10**14, 1.0), (10**17, 1e-3), (math.inf, 1e-6))
"""Numbers below each bound are of a unit that is so many milliseconds: seconds, milliseconds, microseconds,
nanoseconds. An expression can't multiply, and topics have all four."""
_DIGITS_MOST: Final = 30
_FIELDS_SHOWN: Final = 5


def kind(value: Any) -> str:
    """What a value is, in words and without what it holds."""
    if isinstance(value, dict):
        names = ", ".join(f"{name!s:.40}" for name in list(value)[:_FIELDS_SHOWN])
        return f"an object with the fields {names}" if names else "an object without fields"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    if isinstance(value, bool):
        return "true or false"
    return "a text" if isinstance(value, str) else "null" if value is None else "a number"


def text_of(value: Any) -> str | None:
    """The value as a text, or None if it says nothing. Raises ValueError, which says what would be right."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        raise ValueError(
            f"{kind(value)}, and must be one text: name one of it, as in [0], or use join(' ', )"
        )
    if isinstance(value, dict):
        raise ValueError(f"{kind(value)}, and must be a text: name one of its fields")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("no finite number")
    return json.dumps(value)


def weight_of(value: Any) -> int | None:
    """The value as a weight, or None if it says nothing. Raises ValueError."""
    number = _number(value)
    if number is None:
        return None
    if number != int(number) or not 1 <= number <= MAX_WEIGHT:
        raise ValueError(f"not one of the whole numbers 1 to {MAX_WEIGHT:,}; clamp(value.votes, `1`, `1000`)")
    return int(number)


def milliseconds_of(value: Any) -> int | None:
    """The value as milliseconds since 1970, or None if it says nothing. Raises ValueError."""
    if isinstance(value, str) and value.strip() and not _looks_like_a_number(value):
        return _iso(value.strip())
    number = _number(value)
    if number is None:
        return None
    unit_ms = next(unit for bound, unit in _UNITS if number < bound)
    return _in_range(int(number) if unit_ms == 1.0 else math.floor(number * unit_ms))


def _iso(text: str) -> int:
    wrong = "no time: it must be milliseconds since 1970, or as in 2026-11-28T12:00:00Z"
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return _in_range(math.floor(aware.timestamp() * 1_000))
    except (ValueError, OverflowError):
        raise ValueError(wrong) from None


def _in_range(moment_ms: int) -> int:
    if not 0 <= moment_ms <= _FAR_MS:
        raise ValueError("a time before 1970 or after 9999")
    return moment_ms


def _number(value: Any) -> int | float | None:
    """The number that a value is or spells, or None if it says nothing. Raises ValueError."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str) and _looks_like_a_number(value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{kind(value)}, and must be a number")
    return value


def _looks_like_a_number(text: str) -> bool:
    bare = text.strip().removeprefix("-")
    return len(bare) <= _DIGITS_MOST and bare.replace(".", "", 1).isdecimal() and bare.isascii()
