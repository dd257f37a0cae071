"""Which entries may answer each question of a turn: its filter as the core takes it, and the rows that pass.

questions    filter            rows
1            lang is en        0 2 5       questions of the same filter share its rows
2            none              all
3            lang is en        0 2 5
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from hurnet_schemas import Query
from hurnet_schemas.answer import MISSING_KEYS
from hurnet_schemas.filter import And, Exists, Filter, In, Is, Or, Range
from hurnet_stream.core.index.attributes import TooCostly
from hurnet_stream.core.index.conditions import (
    All,
    AnyOf,
    Between,
    Condition,
    Has,
    Not,
    OneOf,
    keys_of,
)
from hurnet_stream.core.index.readable import Allowed, Index
from hurnet_stream.embedding import Rejection

KEYS_NAMED = 3
"""Keys that a reason names at most."""


def condition_of(given: Filter) -> Condition:
    """The filter of a query as the core takes it."""
    match given:
        case And():
            return All(tuple(map(condition_of, given.conditions)))
        case Or():
            return AnyOf(tuple(map(condition_of, given.conditions)))
        case Is() | In() | Range() | Exists():
            return _of_key(given)
        case _:
            return Not(condition_of(given.condition))


def _of_key(given: Is | In | Range | Exists) -> Condition:
    match given:
        case Is():
            return OneOf(given.key, (given.value,))
        case In():
            return OneOf(given.key, tuple(given.values))
        case Range():
            bounds = [float(bound) if isinstance(bound, int) else bound for bound in given.bounds]
            return Between(given.key, *bounds)
        case _:
            return Has(given.key) if given.exists else Not(Has(given.key))


def passing_of(
    queries: Sequence[Query | None], index: Index, until: float = math.inf
) -> tuple[list[Allowed | None], dict[int, Rejection]]:
    """For each query (n,) the rows that pass its filter, None if it has no filter; and which queries are
    rejected, by their places, because their filters would take too long. It ends at `until` (monotonic
    seconds) with as many of the first queries as it has come to, one at least: a filter may take a second."""
    known: dict[Condition, Allowed] = {}
    within, refused = list[Allowed | None](), dict[int, Rejection]()
    for place, query in enumerate(queries):
        condition = condition_of(query.filter) if query and query.filter else None
        if condition is not None and condition not in known:
            if place and time.monotonic() > until:
                break
            try:
                known[condition] = index.passing(condition)
            except TooCostly as error:
                refused[place] = ("scoring-failed", str(error))
        within.append(known.get(condition) if condition else None)
    return within, refused


def why_none(query: Query, within: Allowed, index: Index, hints: bool = True) -> str:
    """Why a filter leaves no answer, for a person to read; with `hints` also which keys no entry has."""
    if within.count:
        return f"none of the {within.count:,} entries that meet the filter supports an answer"
    reason = f"none of the {len(index):,} entries of context {query.context!r} meets the filter"
    named_by = query.filter if hints else None
    missing = index.lacking(sorted(keys_of(condition_of(named_by)))) if named_by else []
    named = ", ".join(map(repr, missing[:KEYS_NAMED])) + (", ..." if missing[KEYS_NAMED:] else "")
    return f"{reason}{MISSING_KEYS}{named} in its metadata" if missing else reason
