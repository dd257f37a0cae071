"""Conditions on the metadata of entries: a question with a filter is answered as if its context held only the
entries that meet it.

    {"and": [{"key": "product", "is": "router"},
             {"or": [{"key": "lang", "in": ["en", "pt"]}, {"not": {"key": "lang", "exists": true}}]},
             {"key": "price", "at_least": 10, "below": 20}]}

is met by the metadata {"product": "router", "lang": "pt", "price": "12.50"} and by {"product": "router",
"price": "10"}, but by neither {"product": "router", "lang": "de", "price": "12"} nor {"product": "router"}.

Metadata values are texts. `is` and `in` compare whole texts, character by character. Bounds that are numbers
compare values that are written as decimal numbers ("12.50", "-3", "1e3") as float64. Bounds that are texts
compare by code points, which is right for dates such as "2026-11-28". A value that is missing does not meet a
condition, nor does one that is no number if numbers are compared. `not` turns that round.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    TypeAdapter,
    model_validator,
)

from hurnet_schemas.base import MetadataKey, MetadataValue, Part, shortened

MAX_CONDITIONS: Final = 64
MAX_DEPTH: Final = 8
MAX_SET: Final = 256
"""Values."""
MAX_FILTER: Final = 65_536
"""Characters of its JSON."""
_MOST_FIELDS: Final = 16


class _Condition(Part):
    """What all conditions share."""

    # `is`, `in`, `and`, `or` and `not` can't be names in Python, so they are aliases.
    model_config = ConfigDict(serialize_by_alias=True)


def _text(value: object) -> object:
    if value is None:
        raise ValueError('null is no value; entries without the key meet {"key": ..., "exists": false}')
    if isinstance(value, bool | int | float):
        raise ValueError("metadata values are texts: put it in quotes, or compare numbers by at_least, below")
    return value


_TEXT: Final = TypeAdapter(MetadataValue)


def _number_or_text(value: object) -> object:
    """A bound, or None. Here and not by the union, whose errors would name three places instead of one."""
    if value is None or isinstance(value, str):
        return value if value is None else _TEXT.validate_python(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a bound is a number or a text")
    if not abs(value) <= sys.float_info.max:  # nor is NaN
        raise ValueError("a bound is a finite number of float64")
    return value


Bound = Annotated[StrictInt | StrictFloat | MetadataValue | None, BeforeValidator(_number_or_text)]
Value = Annotated[MetadataValue, BeforeValidator(_text)]


def _set_of(values: list[str]) -> list[str]:
    return sorted(set(values))


class Is(_Condition):
    """The metadata has this value under the key."""

    key: MetadataKey = Field(description="The key of the metadata.")
    value: Value = Field(alias="is", description="The value, a text.")


class In(_Condition):
    """The metadata has one of these values under the key."""

    key: MetadataKey = Field(description="The key of the metadata.")
    values: Annotated[list[Value], AfterValidator(_set_of)] = Field(
        alias="in", min_length=1, max_length=MAX_SET, description="The values, 1 to 256 texts."
    )


class Range(_Condition):
    """The value under the key lies within bounds. All bounds are numbers, or all are texts."""

    key: MetadataKey = Field(description="The key of the metadata.")
    at_least: Bound = Field(None, description="It is this or more.")
    above: Bound = Field(None, description="It is more than this.")
    at_most: Bound = Field(None, description="It is this or less.")
    below: Bound = Field(None, description="It is less than this.")

    @model_validator(mode="after")
    def _one_kind(self) -> Range:
        given = [bound for bound in self.bounds if bound is not None]
        if not given:
            raise ValueError("no bound is given: null is none")
        if len({isinstance(bound, str) for bound in given}) > 1:
            raise ValueError("one bound is a number and another one a text")
        return self

    @property
    def bounds(self) -> tuple[int | float | str | None, ...]:
        """at_least, above, at_most, below."""
        return self.at_least, self.above, self.at_most, self.below


class Exists(_Condition):
    """The metadata has, or has not, any value under the key."""

    key: MetadataKey = Field(description="The key of the metadata.")
    exists: StrictBool = Field(description="true: it has one; false: it has none.")


class And(_Condition):
    """All of the conditions are met."""

    conditions: list[Condition] = Field(alias="and", min_length=1, description="The conditions.")


class Or(_Condition):
    """At least one of the conditions is met."""

    conditions: list[Condition] = Field(alias="or", min_length=1, description="The conditions.")


class Not(_Condition):
    """The condition is not met."""

    condition: Condition = Field(alias="not", description="The condition.")


_OPERATORS: Final[dict[str, type[_Condition]]] = {
    "is": Is,
    "in": In,
    "at_least": Range,
    "above": Range,
    "at_most": Range,
    "below": Range,
    "exists": Exists,
    "and": And,
    "or": Or,
    "not": Not,
}


def _read(value: object) -> _Condition:
    """The condition that its operator says. Errors inside of it keep their places."""
    if isinstance(value, _Condition):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"a condition is an object, not {type(value).__name__}")
    if len(value) > _MOST_FIELDS:  # each unknown one would become an error of its own
        raise ValueError(f"has {len(value)} fields, and no condition has {_MOST_FIELDS}")
    kinds = {_OPERATORS[name]: name for name in value if name in _OPERATORS}
    if not kinds:
        found = shortened(", ".join(map(str, value)), 30) or "nothing"
        raise ValueError(f"has no operator, but {found}; there are {', '.join(_OPERATORS)}")
    if len(kinds) > 1:
        raise ValueError(f"has the operators {' and '.join(kinds.values())}; join conditions by and, or")
    return next(iter(kinds)).model_validate(value)


Condition = Annotated[Is | In | Range | Exists | And | Or | Not, BeforeValidator(_read)]


def _inside(value: object) -> list[object]:
    """The conditions of a condition, before or after it was read."""
    if isinstance(value, dict):
        inner = [value[name] for name in ("and", "or", "not") if name in value]
    else:
        inner = [getattr(value, name) for name in ("conditions", "condition") if hasattr(value, name)]
    return [one for part in inner for one in (part if isinstance(part, list) else [part])]


def _bounded(value: object) -> object:
    """Refuses what is too deep or has too many conditions, before any of it is read."""
    level, count, depth = [value], 0, 0
    while level:
        count, depth = count + len(level), depth + 1
        if count > MAX_CONDITIONS:
            raise ValueError(f"has more than {MAX_CONDITIONS} conditions")
        if depth > MAX_DEPTH:
            raise ValueError(f"is nested more than {MAX_DEPTH} deep")
        level = [inner for one in level for inner in _inside(one)]
    return value


def _short(read: Any) -> Any:
    if (length := len(canonical(read))) > MAX_FILTER:
        raise ValueError(f"has {length:,} characters as JSON, and the most are {MAX_FILTER:,}")
    return read


Filter = Annotated[Condition, AfterValidator(_short), BeforeValidator(_bounded)]


def canonical(read: Condition) -> str:
    """Its JSON without spaces, the fields in the order of their names and sets in ascending order."""
    fields = read.model_dump(mode="json", exclude_none=True)
    return json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


And.model_rebuild()
Or.model_rebuild()
Not.model_rebuild()
