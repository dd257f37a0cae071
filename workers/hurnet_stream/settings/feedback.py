"""HURNET_FEEDBACK_*: the worker that turns verdicts on answers into texts."""

from __future__ import annotations

import socket

from pydantic import Field

from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Duration, Records


class FeedbackSettings(Section):
    """The worker that teaches corrections."""

    group: str = Field(
        "",
        max_length=200,
        description="The consumer group of all feedback workers, and the first part of their transactional "
        "ids. If it is empty: HURNET_REDIS_PREFIX, then -feedback.",
    )
    instance: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9._-]{1,128}$",
        description="The name of this feedback worker. Each running one needs a name of its own. The default "
        "is the host's name.",
    )
    batch: Records = Field(64, ge=1, le=1_000, description="Most records that one transaction takes.")
    poll: Duration = Field(0.2, ge=0, le=5, description="Longest wait for feedback in one turn, in seconds.")
    transaction_deadline: Duration = Field(
        5.0,
        ge=0.1,
        le=900,
        description="Longest time in seconds for one transaction; the worker then gives it up and starts "
        "anew.",
    )
    transaction_timeout: Duration = Field(
        10.0,
        ge=1,
        le=900,
        description="Seconds after which the brokers abort a transaction that nobody ended.",
    )
