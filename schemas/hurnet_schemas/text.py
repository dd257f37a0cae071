"""Topic `texts`: what is to be remembered."""

from __future__ import annotations

from pydantic import Field, model_validator

from hurnet_schemas.base import DEFAULT_CONTEXT, MAX_WEIGHT, ContextName, Message, Metadata, Text


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
