"""What `hurnet list` reads of a context: entries, the newest first, and how many have each answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from hurnet_schemas.filter import Condition, Filter
from hurnet_stream.core.stored.entries import Entry
from hurnet_stream.operations.meeting import meets
from hurnet_stream.terminal.screen import moment

PAGE = 500
"""Entries that are read at once."""
Newest = Callable[[Mapping[int, int], int], list[tuple[int, Entry]]]
"""Reads the newest entries below these offsets, and at most so many."""

_FILTER: TypeAdapter[Condition] = TypeAdapter(Filter)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for: those with this answer, and whose metadata meet the filter."""

    answer: str | None = None
    filter: Condition | None = None

    def __call__(self, entry: Entry) -> bool:
        return (self.answer is None or answer_of(entry) == self.answer) and (
            self.filter is None or meets(entry.metadata, self.filter)
        )


@dataclass(slots=True)
class Listed:
    """Entries of a context, each with its shard, the newest first. `before` are the positions to go on below,
    by shard, as far as it was read."""

    newest: Newest
    wanted: Wanted
    before: dict[int, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[int, Entry]]:
        while page := self.newest(dict(self.before), PAGE):
            for partition, entry in page:
                self.before[partition] = entry.offset
                if self.wanted(entry):
                    yield partition, entry
            if len(page) < PAGE:
                return

    def answers(self) -> list[tuple[str, int]]:
        """All answers, and how many entries have each, the most frequent first. What is only refuted has
        none."""
        counts = Counter(answer_of(entry) for _, entry in self if not entry.refutes)
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def filter_of(chosen: Mapping[str, Any] | None) -> Condition | None:
    """The filter. Raises `UsageError` if it is none."""
    if chosen is None:
        return None
    try:
        return _FILTER.validate_python(chosen)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(("filter", *map(str, problem["loc"])))
        raise click.UsageError(f"{where}: {problem['msg'].removeprefix('Value error, ')}") from None


def answer_of(entry: Entry) -> str:
    """A text without an answer is its own."""
    return entry.text if entry.answer is None else entry.answer


def described(name: str, entry: Entry) -> dict[str, Any]:
    """An entry, which has this name, as a JSON object."""
    return {
        "entry": name,
        "context": entry.context,
        "text": entry.text,
        "answer": entry.answer,
        "refutes": entry.refutes,
        "weight": abs(entry.copies),
        "metadata": dict(entry.metadata),
        "written": moment(entry.timestamp_ms),
    }


def row(name: str, entry: Entry) -> tuple[str, ...]:
    """An entry as a row for a person: name, time, text, answer, weight, metadata."""
    answer = entry.answer or ""
    return (
        name,
        moment(entry.timestamp_ms)[:19].replace("T", " "),
        entry.text,
        f"not: {answer}" if entry.refutes else answer,
        "" if abs(entry.copies) == 1 else str(abs(entry.copies)),
        ", ".join(f"{key}={value}" for key, value in sorted(entry.metadata.items())),
    )
