"""Topic `audit`, if there is one: who asked, when, in which context, and what the answer came from."""

from __future__ import annotations

from pydantic import Field

from hurnet_schemas.answer import Outcome, Receipt
from hurnet_schemas.base import OwnMessage


class Asked(OwnMessage):
    """That a question was asked and answered. It is written in the same transaction as the answer.

    The message key is `query`, by which a reader recognises a copy if answers are not exactly once.
    """

    query: str = Field(description="topic/partition/offset of the question's record.")
    id: str = Field(description="The id of the answer.")
    who: str | None = Field(
        None,
        description="The name of the gateway's key that asked. Absent if the question did not come by a "
        "gateway that shares HURNET_PRIVACY_AUDIT_SECRET with the responders.",
    )
    asked_ms: int = Field(description="The timestamp of the question's record, in milliseconds since 1970.")
    outcome: Outcome | str = Field(description="What became of the question, as the answer says.")
    context: str | None = Field(
        None, description="The name of the context that was asked. Absent if the question can't be read."
    )
    receipt: Receipt | None = Field(
        None,
        description="The receipt of the answer, without what tells of the question or quotes an entry: "
        "filter, vector, runner_up. Absent if nothing was searched.",
    )
    question: str | None = Field(
        None,
        description="The question, or its digest by HURNET_PRIVACY_AUDIT_SECRET, if "
        "HURNET_PRIVACY_AUDIT_QUESTIONS chooses that.",
    )
