"""HURNET_FEEDBACK_*: the worker that turns verdicts on answers into texts."""

from __future__ import annotations

from pydantic import Field

from hurnet_stream.settings.transactions import TransactionSettings
from hurnet_stream.settings.types import Duration, Records


class FeedbackSettings(TransactionSettings):
    """The worker that teaches corrections."""

    group: str = Field(
        "",
        max_length=200,
        description="The consumer group of all feedback workers, and the first part of their transactional "
        "ids. If it is empty: HURNET_REDIS_PREFIX, then -feedback.",
    )
    batch: Records = Field(64, ge=1, le=1_000, description="Most records that one transaction takes.")
    poll: Duration = Field(0.2, ge=0, le=5, description="Longest wait for feedback in one turn, in seconds.")
