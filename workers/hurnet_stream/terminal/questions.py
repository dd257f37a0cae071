"""Questions that a person asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hurnet_schemas import Query
    from hurnet_schemas.detail import Detail
    from hurnet_schemas.places import Marks


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
