"""Whether an entry's metadata meets a filter, entry by entry: for lists, not for questions.

A responder finds all rows that meet one at once, by the columns of its index. `hurnet_schemas.filter` says
what a filter means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from hurnet_schemas.filter import And, Condition, Exists, In, Is, Not, Or, Range
from hurnet_stream.core.index.conditions import number_in

Bound = int | float | str


def meets(metadata: Mapping[str, str], condition: Condition) -> bool:
    """Whether metadata meet a condition."""
    match condition:
        case And():
            return all(meets(metadata, each) for each in condition.conditions)
        case Or():
            return any(meets(metadata, each) for each in condition.conditions)
        case Not():
            return not meets(metadata, condition.condition)
        case _:
            return _has(metadata.get(condition.key), condition)


def _has(value: str | None, condition: Is | In | Range | Exists) -> bool:
    if isinstance(condition, Exists):
        return (value is not None) == condition.exists
    if value is None:
        return False
    if isinstance(condition, Range):
        return _within(value, condition)
    return value == condition.value if isinstance(condition, Is) else value in condition.values


def _within(value: str, bounds: Range) -> bool:
    at_least, above, at_most, below = bounds.bounds
    return (
        _holds(value, at_least, lambda given, bound: given >= bound)
        and _holds(value, above, lambda given, bound: given > bound)
        and _holds(value, at_most, lambda given, bound: given <= bound)
        and _holds(value, below, lambda given, bound: given < bound)
    )


def _holds(value: str, bound: Bound | None, compare: Callable[..., bool]) -> bool:
    """Texts are compared by code points, and numbers as float64. A value that is no number meets none."""
    if bound is None:
        return True
    if isinstance(bound, str):
        return compare(value, bound)
    number = number_in(value)
    return not math.isnan(number) and compare(number, float(bound))
