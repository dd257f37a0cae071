"""Questions that a person asks."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hurnet_schemas import Query
    from hurnet_schemas.detail import Detail
    from hurnet_schemas.places import Marks
    from hurnet_stream.terminal.lines import Line


@dataclass(frozen=True, slots=True)
class How:
    """All of a query but its text. `filter` is JSON as `hurnet_schemas.filter` has it, `timeout_s` is how
    long the asker waits."""

    context: str | None = None
    top_k: int = 1
    after: Marks = field(default_factory=dict)
    timeout_s: float = 10.0
    filter: Mapping[str, Any] | None = None
    neighbours: int = 0
    detail: Detail = "texts"

    def query(self, text: str) -> Query:
        """The query, which waits a little less than `timeout_s`. Raises `UsageError`."""
        from hurnet_stream.client import InvalidRequest
        from hurnet_stream.client.messages import query

        fields: dict[str, Any] = {
            "context": self.context,
            "top_k": self.top_k,
            "min_watermarks": dict(self.after),
            "filter": self.filter,
            "neighbours": self.neighbours,
            "detail": self.detail,
        }
        try:
            return query(text, fields, self.timeout_s)
        except InvalidRequest as error:
            raise click.UsageError(str(error)) from None


def typed() -> Iterator[Line]:
    """The lines that a person types, until one is blank."""
    from hurnet_stream.terminal.lines import LINE_BYTES_MAX, Line

    source = sys.stdin.buffer
    for number in count(1):
        click.echo("? ", nl=False, err=True)
        raw = source.readline(LINE_BYTES_MAX)
        if not raw.strip():
            return
        yield Line(number, raw.strip(), len(raw))
