"""Topic `queries`: what is asked. Headers: `reply-to` (a topic), `correlation-id`."""

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
)

MAX_TOP_K = 100
MAX_TIMEOUT_MS = 60_000


class Query(Message):
    """A question to one context."""

    text: Text
    id: Identifier | None = Field(None, description="repeated in the answer; default: topic/partition/offset")
    context: ContextName = Field(DEFAULT_CONTEXT, description="the named context to ask")
    top_k: int = Field(1, ge=1, le=MAX_TOP_K, description="how many candidate answers to return")
    min_watermarks: Watermarks = Field(
        default_factory=dict,
        description="partition -> offset of `texts` that must be in before this is answered",
    )
    timeout_ms: int | None = Field(
        None,
        ge=1,
        le=MAX_TIMEOUT_MS,
        description="longest wait for min_watermarks, up to what responders allow (HURNET_RESPONDER_WAIT); a "
        "question that is older than this, and than a second, when it is read is answered as timed out",
    )
    exclude: Coordinates | None = Field(None, description="the asker's own entry, where it is one (eq. 5)")
