"""What a client hands its user: the answer, together with what was asked and where the answer stands."""

from __future__ import annotations

from pydantic import Field

from hurnet_schemas.answer import Answer


class Reply(Answer):
    """An answer with its question. `POST /v1/ask`, `Client.ask` and `hurnet ask --json` give it."""

    question: str = Field(description="The question, as it was asked.")
    record: str | None = Field(
        None,
        description="topic/partition/offset of the answer's record: the lasting name of its receipt, which "
        "`hurnet replay` takes. Absent if there is no such record.",
    )

    @classmethod
    def of(cls, answer: Answer, question: str, record: str | None = None) -> Reply:
        """The answer as a reply to `question`."""
        fields = {name: getattr(answer, name) for name in Answer.model_fields}
        return cls.model_construct(answer.model_fields_set, **fields, question=question, record=record)
