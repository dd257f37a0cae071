"""Which column of a file is the text, the answer, the key or one of the metadata.

    --text subject --metadata product      a table with these columns

    id       subject   Answer   product     of which these are taken
             text      answer   metadata.product

A name that was not given is that of the field itself, in any case of letters, with `question` for `text`.
Unless some are chosen, all further columns are metadata, with or without `metadata.` before their name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hurnet_stream.operations.files.rows import FIELDS, Reject

METADATA: Final = "metadata."
TIMESTAMP: Final = "timestamp"
EXPORTED: Final = frozenset(("topic", "partition", "offset", TIMESTAMP))
"""The columns by which an export of hurnet is known: where an entry stood, and the time of its record."""
_OF_AN_EXPORT: Final = EXPORTED | {"chunk"}
_ALSO_EXPORTED: Final = ("refutes", "metadata")
_NAMES: Final = {"question": "text", **{name: name for name in FIELDS}}
_CUT_BY_ELSE: Final = re.compile(r"(text|question)[^\w\s,;|]+(answer|context|key)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that somebody has named, by field; "" is the field's own name. `metadata` are those that
    become metadata; none: all that are left."""

    text: str = ""
    answer: str = ""
    context: str = ""
    key: str = ""
    """The only one that is what it is without this, too."""
    timestamp: str = ""
    metadata: tuple[str, ...] = ()

    @property
    def given(self) -> Mapping[str, str]:
        """The names that were given, and the field of each."""
        pairs = ((getattr(self, name), name) for name in ("text", "answer", "context", TIMESTAMP))
        return {name: feeds for name, feeds in pairs if name}

    @property
    def wanted(self) -> frozenset[str]:
        """All names that were given, for any field."""
        return frozenset((*self.given, *self.metadata, *((self.key,) if self.key else ())))

    @property
    def maps(self) -> bool:
        """Whether a column was named for anything but the key, which leaves its column what it is."""
        return bool(self.given or self.metadata)

    def fields(self, names: Sequence[str]) -> list[str]:
        """What each column is: a field, "metadata.NAME", or "" if it is left out."""
        exported = EXPORTED.issubset(name.strip() for name in names)
        return [self._field(name.strip(), exported) for name in names]

    def _field(self, name: str, exported: bool) -> str:
        if name in self.given:
            return self.given[name]
        if name in self.metadata:
            return _metadata(name)
        if exported and name in _OF_AN_EXPORT:
            return TIMESTAMP if name == TIMESTAMP and not self.timestamp else ""
        own = name if exported and name in _ALSO_EXPORTED else _NAMES.get(name.lower(), "")
        if own and not getattr(self, own, ""):
            return own
        return "" if own or self.metadata else _metadata(name)

    def problem(self, names: Sequence[str], fields: Sequence[str]) -> str | None:
        """Why a table with these columns can't be read; None if it can."""
        there = [name.strip() for name in names]
        if absent := sorted(self.wanted - set(there)):
            return f"there is no column {absent[0]!r}: the columns are {', '.join(there)[:300]}"
        twice = next((f for i, f in enumerate(fields) if f and f in fields[:i]), None)
        if twice:
            return f"two columns are {twice.removeprefix(METADATA)!r}: give each a name of its own"
        return None


def header_of(cells: Sequence[str], columns: Columns) -> tuple[list[str], bool, Reject | None]:
    """What each column is, whether the first row said so, and why the file can't be read."""
    fields = columns.fields(cells)
    if "text" in fields or columns.maps:
        problem = columns.problem(cells, fields)
        if not problem and "text" not in fields:
            problem = "no column is named text: --text says which one it is"
        return fields, True, Reject(1, "columns", problem) if problem else None
    if len(cells) == 1 and _CUT_BY_ELSE.match(cells[0].strip()):
        told = f"{cells[0].strip()[:80]!r} is one column: columns are cut by a comma, semicolon, TAB or |"
        return fields, True, Reject(1, "columns", told)
    return ["text", "answer", *("" for _ in cells[2:])][: len(cells)], False, None


def mapped(given: dict[str, Any], columns: Columns) -> dict[str, Any]:
    """The fields of an object that was made elsewhere: those that were named. A name may lead into objects
    within, as in `answer.text`."""
    fields = {
        feeds: it for name, feeds in columns.given.items() if (it := plain(at(given, name))) is not None
    }
    for name, feeds in _NAMES.items():
        if feeds not in fields and name in given and not getattr(columns, feeds, ""):
            fields[feeds] = given[name]
    metadata = {_metadata(n)[len(METADATA) :]: at(given, n) for n in columns.metadata}
    if kept := {name: plain(value) for name, value in metadata.items() if value is not None}:
        fields["metadata"] = kept
    elif "metadata" in given and not columns.metadata:
        fields["metadata"] = given["metadata"]
    return fields


def key_of(given: Mapping[str, Any], columns: Columns) -> Any:
    """The key of an object by the column that was named for it: it may be one of its metadata."""
    found = at(given, columns.key)
    return plain(at(given, METADATA + columns.key) if found is None else found)


def at(given: Mapping[str, Any], name: str) -> Any:
    """What stands under `name`, which may be a path of names; None if nothing does."""
    if name in given:
        return given[name]
    head, dot, rest = name.partition(".")
    inner = given.get(head)
    return at(inner, rest) if dot and isinstance(inner, dict) else None


def plain(value: object) -> object:
    """A number, a yes or a no as a text; all else as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _metadata(name: str) -> str:
    bare = name.removeprefix(METADATA)
    return METADATA + (re.sub(r"[^A-Za-z0-9_.-]+", "_", bare)[:64] or "_") if bare else ""
