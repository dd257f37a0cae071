"""Topic `texts`: what the context is made of."""

from __future__ import annotations

from pydantic import Field

from hurnet_schemas.base import DEFAULT_CONTEXT, MAX_WEIGHT, ContextName, Message, Metadata, Text


class TextEvent(Message):
    """A text to remember. With an answer it is a training pair; without one it is its own answer."""

    text: Text
    answer: Text | None = Field(None, description="the target this text should be answered with")
    weight: int | None = Field(
        None, strict=True, ge=1, le=MAX_WEIGHT, description="teaches like so many copies of it; 1 if absent"
    )
    context: ContextName = Field(DEFAULT_CONTEXT, description="the named context it belongs to")
    metadata: Metadata = Field(default_factory=dict, description="carried along, returned with matches")
