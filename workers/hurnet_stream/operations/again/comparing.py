"""Then and now, field by field, and why a field differs.

    field                                then      now       why
    candidates.0.scores.combined         0.823     0.822     entries were forgotten since: 1 of the context
    receipt.weights.digest               9f31…     12ab…     weights 3 were replaced since: solved again ...
    receipt.rows                         4         3         entries were forgotten since: 1 of the context

Compared is every byte but how long it took and the trace that the question belonged to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hurnet_schemas import Answer

MOST: Final = 200
"""Differences that are told; there may be thousands."""
BUG: Final = (
    "all that is known to count is the same: either the receipt was changed since, or this is a bug (please"
    " report it)"
)

CHANGES: Final = (
    "receipt.watermarks",
    "receipt.beyond",
    "receipt.rows",
    "receipt.deleting",
    "receipt.weights",
    "receipt.mix.version",
)
"""What says how far a context has come, and not what it answers: each text moves it."""

_ONE_TIME: Final = frozenset({"receipt.seconds", "receipt.trace_id"})
_NEWER: Final = frozenset(
    {
        "receipt.store",
        "receipt.arithmetic",
        "receipt.vector",
        "receipt.error_rate_set",
        "receipt.rows_of_context",
        "receipt.weights.digest",
        "receipt.weights.threads",
    }
)
"""What receipts of an older hurnet lack."""
_CAUSES_OF: Final = (
    ("receipt.store", ("store",)),
    ("receipt.arithmetic", ("arithmetic",)),
    ("receipt.vector", ("vector", "embedder")),
    ("receipt.embedder", ("embedder",)),
    ("receipt.fingerprint", ("embedder",)),
    ("receipt.watermarks", ("entries",)),
    ("receipt.beyond", ("entries",)),
    ("receipt.deleting", ("entries",)),
    ("receipt.missing", ("settings",)),
    ("receipt.rows", ("entries",)),
    ("receipt.weights", ("weights",)),
    ("receipt.mix.version", ("mix",)),
    ("receipt.rehearsed", ("mix",)),
    ("receipt.threshold", ("settings",)),
    ("receipt.error_rate_set", ("settings",)),
    ("receipt.half_life", ("settings",)),
    ("receipt.p", ("settings",)),
)
"""Which causes a field can have, by the beginning of its name. Every other one can have any."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of the answer that is not as it was. None: it is not there."""

    field: str
    then: Any
    now: Any
    why: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def differences(
    then: Answer, now: Answer, causes: Mapping[str, str], passing_over: Sequence[str] = ()
) -> list[Difference]:
    """Where two answers differ; at most `MOST`, in the order of the fields. `causes` are sentences: why, by
    kind of cause. Fields whose names begin so are passed over."""
    before, after = dict(_flat(then)), dict(_flat(now))
    names = [*before, *(name for name in after if name not in before)]
    differing = [
        name
        for name in names
        if name not in _ONE_TIME
        and repr(before.get(name)) != repr(after.get(name))
        and not (name in _NEWER and name not in before)
        and not any(_begins(name, start) for start in passing_over)
    ]
    return [
        Difference(name, before.get(name), after.get(name), _why(name, causes)) for name in differing[:MOST]
    ]


def _why(name: str, causes: Mapping[str, str]) -> str:
    kinds: Sequence[str] = next((kinds for start, kinds in _CAUSES_OF if _begins(name, start)), tuple(causes))
    found = [causes[kind] for kind in kinds if kind in causes] or list(causes.values())
    return "; ".join(found) or BUG


def _begins(name: str, start: str) -> bool:
    return name == start or name.startswith((f"{start}.", f"{start}_"))


def _flat(answer: Answer) -> Iterator[tuple[str, Any]]:
    """Each field that has a value, by its name, as in candidates.0.scores.words."""
    fields = answer.model_dump(mode="json", exclude_none=True, include=set(Answer.model_fields))
    return _leaves("", fields)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    inner = (
        enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else None
    )
    if inner is None:
        yield name, value
        return
    for key, part in inner:
        yield from _leaves(f"{name}.{key}" if name else str(key), part)
