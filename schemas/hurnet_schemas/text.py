"""Topic `texts`: what is to be remembered."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from typing_extensions import override

from hurnet_schemas.base import (
    DEFAULT_CONTEXT,
    MAX_WEIGHT,
    ContextName,
    Message,
    Metadata,
    Text,
    printable,
)

MAX_KEY = 1_024
"""Bytes of a record's key in UTF-8."""


def _short(key: str) -> str:
    if len(key.encode()) > MAX_KEY:
        raise ValueError(f"a key has at most {MAX_KEY:,} bytes")
    if key.startswith(OWN_KEYS):
        raise ValueError(f"keys that begin with {OWN_KEYS} are hurnet's own")
    return key


OWN_KEYS = "hurnet-"
RecordKey = Annotated[str, StringConstraints(min_length=1), AfterValidator(printable), AfterValidator(_short)]


class TextEvent(Message):
    """A text to remember. With an answer it is a training pair; without one it is its own answer."""

    text: Text = Field(description="The text, at most 16,384 characters.")
    answer: Text | None = Field(
        None,
        description="What to answer when somebody asks this text or a similar one. Default: the text itself.",
    )
    weight: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=MAX_WEIGHT,
        description="The pair teaches as much as this many copies of it. Default: 1.",
    )
    context: ContextName = Field(
        DEFAULT_CONTEXT, description="The name of the context that the text belongs to."
    )
    metadata: Metadata = Field(
        default_factory=dict, description="Anything that answers from this text should bring along."
    )
    refutes: bool | None = Field(
        None,
        description="The answer is wrong for this text: it loses what the text would have brought it. The "
        "feedback worker writes such texts.",
    )

    @model_validator(mode="after")
    def _refutes_an_answer(self) -> TextEvent:
        if self.refutes and self.answer is None:
            raise ValueError("a text that refutes needs the answer that is wrong")
        return self


class KeyedText(TextEvent):
    """A text as it is taught over HTTP: with the key of its record."""

    key: RecordKey | None = Field(
        None,
        description="The key of the record: the text takes the place of the one under that key in its "
        "context, and can be deleted by it.",
    )

    @override
    def encode(self) -> bytes:
        """The text's message, which does not hold the key."""
        return self.model_dump_json(exclude_none=True, exclude={"key"}).encode()
