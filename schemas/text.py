"""Topic `texts`: what the context is made of."""

from __future__ import annotations

from pydantic import Field

from schemas.base import DEFAULT_CONTEXT, ContextName, Message, Metadata, Text


class TextEvent(Message):
    """A text to remember. With an answer it is a training pair; without one it is its own answer."""

    text: Text
    answer: Text | None = Field(None, description="the target this text should be answered with")
    context: ContextName = Field(DEFAULT_CONTEXT, description="the named context it belongs to")
    metadata: Metadata = Field(default_factory=dict, description="carried along, returned with matches")
