"""Topic `feedback`: what people say of answers.

Feedback on a question replaces all earlier feedback on the same question in the same context. Records on one
question must come in one partition, so that the last one is the last: key them by the question if the topic
has several.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, model_validator

from hurnet_schemas.base import (
    DEFAULT_CONTEXT,
    MAX_METADATA_ITEMS,
    ContextName,
    Identifier,
    Message,
    Metadata,
    Text,
)

Verdict = Literal["right", "wrong", "retracted"]
SOURCE: Final = "feedback"
"""The key, in the metadata of what is taught, of the coordinates of the feedback."""


class Feedback(Message):
    """A verdict on the answer to a question, and the right answer if it is known."""

    question: Text = Field(description="The question as it was asked.")
    verdict: Verdict = Field(
        description="What became of the question: it was answered right; it was answered wrong, or not at "
        "all; or retracted: all earlier feedback on it is taken back, as if it had never been."
    )
    answer: Text | None = Field(
        None,
        description="The right answer. With the verdict right it is what was answered. It is taught as the "
        "question's answer.",
    )
    given: Text | None = Field(
        None,
        description="What was answered, if that was wrong. Without a right answer, `given` will count as "
        "refuted for this question.",
    )
    context: ContextName = Field(DEFAULT_CONTEXT, description="The name of the context that was asked.")
    metadata: Metadata = Field(
        default_factory=dict,
        exclude_if=lambda metadata: not metadata,  # an older feedback worker does not know the field
        description="What the taught pair is to carry, so that questions with filters find it: at most 31 "
        "values beside `feedback`, the coordinates of this record, which replaces a value of that name.",
    )
    query: Identifier | None = Field(
        None,
        description="What tells this question from others in the same words, for example the receipt's "
        "`query`. The verdict on it then counts once in the metrics, however often it is sent.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Feedback:
        """What the verdict needs must be there, and nothing that contradicts it."""
        if self.verdict == "right" and (self.answer is None or self.given is not None):
            raise ValueError("the verdict right needs the answer, and nothing else was given")
        if self.verdict == "wrong" and self.answer is None and self.given is None:
            raise ValueError("the verdict wrong needs the right answer, or what was given")
        if self.verdict == "wrong" and self.answer == self.given:
            raise ValueError("the right answer is what was given, so the verdict can't be wrong")
        if self.verdict == "retracted" and (self.answer or self.given) is not None:
            raise ValueError("a retraction has no answer")
        if len({*self.metadata, SOURCE}) > MAX_METADATA_ITEMS:
            raise ValueError(f"metadata has at most {MAX_METADATA_ITEMS - 1} values beside {SOURCE}")
        return self
