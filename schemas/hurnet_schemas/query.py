"""Topic `queries`: what is asked. Headers: `reply-to` (a topic) and `correlation-id`, both optional."""

from __future__ import annotations

from pydantic import Field

from hurnet_schemas.base import (
    DEFAULT_CONTEXT,
    ContextName,
    Coordinates,
    Identifier,
    Message,
    Text,
    Watermarks,
    Whole,
)
from hurnet_schemas.detail import MOST, Detail
from hurnet_schemas.filter import Filter

MAX_TOP_K = 100
MAX_TIMEOUT_MS = 60_000
MAX_NEIGHBOURS = 50
WAITING = "hurnet-wait"
"""The `id` of queries that only wait for their `min_watermarks`: nobody wants to know the answer."""


class Query(Message):
    """A question to one context."""

    text: Text = Field(description="The question, at most 16,384 characters.")
    id: Identifier | None = Field(
        None,
        description="A name for the question, which the answer repeats. Default: topic/partition/offset of "
        "the query.",
    )
    context: ContextName = Field(DEFAULT_CONTEXT, description="The name of the context to ask.")
    top_k: Whole = Field(
        1, ge=1, le=MAX_TOP_K, description="How many candidate answers to return, best first."
    )
    min_watermarks: Watermarks = Field(
        default_factory=dict,
        description="Answer only when the texts up to these offsets can be found: by partition of `texts` "
        "(2), or by TOPIC/PARTITION of another topic (tickets/3).",
    )
    timeout_ms: Whole | None = Field(
        None,
        ge=1,
        le=MAX_TIMEOUT_MS,
        description="Longest wait for min_watermarks, in milliseconds. Responders may allow less "
        "(HURNET_RESPONDER_WAIT). A query that is older than this and older than a second when a responder "
        "reads it is answered as timed out.",
    )
    exclude: Coordinates | None = Field(
        None,
        description="An entry that is not an answer: the asker's own, if the question is in the context, too "
        "(equation 5).",
    )
    filter: Filter | None = Field(
        None,
        description="Conditions on the metadata of entries: the question is answered as if the context held "
        "only the entries that meet them.",
    )
    detail: Detail = Field(
        MOST,
        exclude_if=lambda detail: detail == MOST,  # an older responder does not know the field
        description="How much the answer shows: the answer alone, and which entry it is from (answer); the "
        "other candidates and the neighbours with their scores and entries, too (scores); and their texts "
        "and metadata (texts). Responders may allow less (HURNET_RESPONDER_DETAIL).",
    )
    neighbours: Whole = Field(
        0,
        ge=0,
        le=MAX_NEIGHBOURS,
        exclude_if=lambda count: not count,  # an older responder does not know the field
        description="How many of the entries that are nearest to the question to return, whatever their "
        "answers.",
    )
