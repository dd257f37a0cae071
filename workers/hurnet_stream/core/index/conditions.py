"""Conditions on the metadata of entries, as a filter is made of them.

All((OneOf("lang", ("en", "pt")), Between("price", at_least=10.0, below=20.0), Not(Has("draft"))))

{"lang": "pt", "price": "12.5"}                 meets it
{"lang": "pt", "price": "twelve"}               does not: its price is no number
{"lang": "pt", "price": "12.5", "draft": ""}    does not: there is a draft
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""Decimal digits alone: what else Python takes for a number, such as "1_000", " 5" or "nan", people don't."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """Has one of these values under the key."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """Has a value within these bounds under the key. All bounds are numbers, or all are texts."""

    key: str
    at_least: float | str | None = None
    above: float | str | None = None
    at_most: float | str | None = None
    below: float | str | None = None

    @property
    def bounds(self) -> tuple[float | str | None, ...]:
        """at_least, above, at_most, below."""
        return self.at_least, self.above, self.at_most, self.below


@dataclass(frozen=True, slots=True)
class Has:
    """Has any value under the key."""

    key: str


@dataclass(frozen=True, slots=True)
class All:
    """Meets all of them."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Meets at least one of them."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Does not meet it."""

    condition: Condition


Condition = OneOf | Between | Has | All | AnyOf | Not


def keys_of(condition: Condition) -> set[str]:
    """The keys that it names."""
    match condition:
        case All(conditions) | AnyOf(conditions):
            return set().union(*map(keys_of, conditions))
        case Not(inner):
            return keys_of(inner)
        case _:
            return {condition.key}


def number_in(value: str) -> float:
    """The number that is written in a value; NaN if there is none, or it is beyond float64."""
    number = float(value) if _NUMBER.fullmatch(value) else math.nan
    return number if math.isfinite(number) else math.nan
