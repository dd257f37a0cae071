"""All values of one field of a sample, in figures: the columns that choices are made by.

    {"id": 7, "ticket": {"subject": "Login"}, "tags": ["web"]}
    {"id": 8, "ticket": {"subject": null},    "tags": []}

    expression              values              filled    looks
    value.id                7, 8                1.0       number
    value.ticket.subject    "Login", None       0.5       label
    join(' ', value.tags)   "web", None         0.5       label

Of a list of objects the first one is looked at. A record may hold anything, so depth and number of fields are
bounded.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any, Final

from hurnet_stream.operations.mapping.looks import Look, asks, look, script, words
from hurnet_stream.operations.mapping.names import Role, hint

FIELDS_MOST: Final = 200
DEPTH_MOST: Final = 8
LONGEST: Final = 500
"""Characters of an expression."""
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, eq=False)
class Field:
    """A field of all records of the sample. `values` has one place a record, None where there is nothing."""

    expression: str
    """Where it is, in JMESPath."""
    name: str
    """Its own name, the last part of where it is, and the one before it."""
    order: int
    """How many fields come before it in the records."""
    values: Sequence[Any]

    @cached_property
    def there(self) -> list[Any]:
        """The values that say something."""
        return [value for value in self.values if says(value)]

    @property
    def filled(self) -> float:
        return len(self.there) / len(self.values) if self.values else 0.0

    @cached_property
    def distinct(self) -> int:
        return len(set(map(str, self.there)))

    @property
    def repeats(self) -> float:
        """The share of values that are copies of others: 0 if each is there once."""
        return 1 - self.distinct / len(self.there) if self.there else 0.0

    @cached_property
    def looks(self) -> Counter[Look]:
        return Counter(map(look, self.there))

    @cached_property
    def look(self) -> Look:
        """What most values look like."""
        return self.looks.most_common(1)[0][0] if self.looks else "code"

    def share(self, *of: Look) -> float:
        """The share of values with one of these looks."""
        return sum(self.looks[each] for each in of) / len(self.there) if self.there else 0.0

    @cached_property
    def words(self) -> float:
        """The words of a value, the median."""
        return median(words(str(value)) for value in self.there) if self.there else 0.0

    @cached_property
    def lengths(self) -> list[int]:
        """The characters of each value, ascending."""
        return sorted(len(str(value)) for value in self.there)

    @property
    def length(self) -> int:
        """The characters of a value, the median."""
        return self.lengths[len(self.lengths) // 2] if self.lengths else 0

    @cached_property
    def questions(self) -> float:
        """The share of values that end as questions do."""
        return sum(asks(str(value)) for value in self.there) / len(self.there) if self.there else 0.0

    @property
    def hint(self) -> Role | None:
        """What its name hints at; None if it is nothing."""
        own, _, around = self.name.partition(" ")
        return hint(own, around)

    @cached_property
    def scripts(self) -> list[str]:
        """The scripts that at least a tenth of the values are in, the commonest first."""
        found = Counter(filter(None, (script(str(value)) for value in self.there)))
        return [name.capitalize() for name, count in found.most_common(3) if count * 10 >= len(self.there)]


def says(value: Any) -> bool:
    """Whether a value says something: it is neither null nor blank."""
    return value is not None and (not isinstance(value, str) or bool(value.strip()))


def fields_of(values: Sequence[Any], root: str = "value") -> list[Field]:
    """The fields of some records' values, in the order in which they come; of a plain text, itself."""
    columns: dict[str, tuple[str, list[Any]]] = {}
    for row, value in enumerate(values):
        for expression, name, leaf in _leaves(value, root, (root,), 0):
            if expression not in columns and (len(columns) >= FIELDS_MOST or len(expression) > LONGEST):
                continue
            column = columns.setdefault(expression, (name, [None] * len(values)))[1]
            column[row] = leaf
    return [
        Field(expression, name, order, column)
        for order, (expression, (name, column)) in enumerate(columns.items())
    ]


def _leaves(value: Any, where: str, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, str, Any]]:
    """The expression, the name and the value of everything within `value` that is no object."""
    if depth > DEPTH_MOST:
        return
    if isinstance(value, dict):
        for name, inner in list(value.items())[:FIELDS_MOST]:
            yield from _leaves(inner, f"{where}.{quoted(name)}", (*path, str(name)), depth + 1)
    elif isinstance(value, list):
        yield from _of_list(value, where, path, depth)
    else:
        yield where, " ".join(reversed(path[-2:])), value


def _of_list(
    values: list[Any], where: str, path: tuple[str, ...], depth: int
) -> Iterator[tuple[str, str, Any]]:
    if not values:
        return
    if all(isinstance(value, str) for value in values):
        yield f"join(' ', {where} || `[]`)", " ".join(reversed(path[-2:])), " ".join(values[:100])
    elif isinstance(values[0], dict):
        yield from _leaves(values[0], f"{where}[0]", path, depth + 1)


def quoted(name: str) -> str:
    """A name as an expression has it: in quotes if it is not made of ASCII letters, digits and _."""
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)
