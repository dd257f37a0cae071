"""The rest of a table: key, time, metadata, what is left out, and whether texts are cut.

A key is what a later record would replace. If some keys repeat in the sample, what came under them tells how:

    key     texts in their order                                             so the key is
    7       "Can't log in", "Can't log in (edited)"                          of a text: upsert
    ana     "Can't log in", "Where is my parcel?", "Thank you!"              of a person: append
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from hurnet_schemas.base import MAX_TEXT
from hurnet_stream.operations.mapping.choosing import overlap, words_of
from hurnet_stream.operations.mapping.fields import Field, says

METADATA_MOST: Final = 4
VALUES_MOST: Final = 50
"""Distinct values of a field that may be metadata."""
LONG: Final = 4_000
"""Characters. If a twentieth of the texts are longer, texts are cut: measured on questions to pages, pieces
of CHUNK characters find the right page more often than pages as a whole do."""
CHUNK: Final = 2_000
_ALIKE: Final = 0.5
"""Two texts that share so many of their words are two versions of one."""
_METADATA_KEY: Final = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Keys:
    """How the keys of the sample repeat."""

    there: int
    distinct: int
    repeated: int
    """Keys that came more than once."""
    alike: float | None
    """The share of repeated keys under which the texts are versions of one. None: none is repeated."""

    @property
    def upsert(self) -> bool:
        return self.there > 0 and (self.alike is None or self.alike >= _ALIKE)


def keys(of: Sequence[Any], texts: Sequence[Any]) -> Keys:
    """How keys repeat, given the key and the text of each record, None where there is none."""
    by_key: dict[str, list[str]] = defaultdict(list)
    for key, text in zip(of, texts, strict=True):
        if says(key):
            by_key[str(key)].append(str(text or ""))
    repeated = [versions for versions in by_key.values() if len(versions) > 1]
    alike = [overlap(words_of(v[0]), words_of(v[-1])) >= _ALIKE or v[0] == v[-1] for v in repeated]
    there = sum(map(len, by_key.values()))
    return Keys(there, len(by_key), len(repeated), sum(alike) / len(alike) if alike else None)


def key_field(fields: Sequence[Field], text: Field) -> Field | None:
    """The field that names a record, if the records have no keys of their own: short, always there, hardly
    repeated."""
    fits = [
        f
        for f in fields
        if f is not text and f.filled >= 0.99 and f.repeats <= 0.5 and f.length <= 64
        if f.share("id", "number", "label") >= 0.9
        and (f.hint == "key" or (f.repeats == 0 and f.share("id") > 0.9))
    ]
    return min(fits, key=lambda f: (f.expression.count("."), f.order), default=None)


def time_field(fields: Sequence[Field]) -> Field | None:
    """The field that says when: the latest of those that are times and always there."""
    fits = [f for f in fields if f.filled >= 0.99 and (f.share("time") >= 0.99 or _is_clock(f))]
    return max(fits, key=lambda f: (_latest(f), -f.order), default=None)


def metadata_fields(fields: Sequence[Field], taken: Sequence[Field | None]) -> list[Field]:
    """Fields with few values that answers may bring along and be filtered by."""
    fits = [
        f
        for f in fields
        if f not in taken and f.filled >= 0.5 and 2 <= f.distinct <= min(VALUES_MOST, len(f.there) / 3)
        if f.share("label", "language", "id") >= 0.9 and f.length <= 64 and not f.share("address", "link")
    ]
    return fits[:METADATA_MOST]


def context_field(fields: Sequence[Field], taken: Sequence[Field | None]) -> Field | None:
    """A field that could tell contexts apart: its name hints at it, and it has few values."""
    fits = (f for f in fields if f not in taken and f.hint == "context" and f.filled >= 0.99)
    return next(
        (f for f in fits if f.share("label", "language", "id") >= 0.9 and 2 <= f.distinct <= 20), None
    )


def weight_field(fields: Sequence[Field]) -> Field | None:
    """A field that could say how much a text counts: its name hints at it, and it is a number."""
    return next(
        (f for f in fields if f.hint == "weight" and f.share("number") == 1 and f.filled >= 0.5), None
    )


def metadata_name(field: Field) -> str:
    """The name that it gets as metadata."""
    return _METADATA_KEY.sub("_", field.name.split(" ")[0]).strip("_")[:64] or f"field_{field.order}"


def chunk(text: Field) -> int:
    """The most characters of a piece; 0 if texts are to stay whole."""
    long = sum(length > LONG for length in text.lengths)
    too_long = sum(length > MAX_TEXT for length in text.lengths)
    return CHUNK if long * 20 > len(text.lengths) or too_long * 100 > len(text.lengths) else 0


def _is_clock(field: Field) -> bool:
    """Whether it is numbers that are a time since 1970, by name and by size."""
    if field.hint != "time" or field.share("number") < 1:
        return False
    return all(isinstance(value, int | float) and 1e9 <= value < 1e19 for value in field.there)


def _latest(field: Field) -> str:
    return max(map(str, field.there), default="")
