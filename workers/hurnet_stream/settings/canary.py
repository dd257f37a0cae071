"""HURNET_CANARY_*: the client that measures what clients see."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hurnet_schemas.base import ContextName
from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Duration, Seconds, Unit


class CanarySettings(Section):
    """The client that sends texts and asks for them back."""

    instance: str = Field(
        "canary",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="The name of this canary, which is in the record key of its texts. It must stay the same "
        "from start to start, since a start deletes what is left under it; each running one needs its own.",
    )
    context: ContextName = Field(
        "canary", description="The context that its texts are in, and nobody else's."
    )
    interval: Duration = Field(
        5.0,
        ge=0.1,
        le=600,
        description="Seconds from one probe to the next. Each goes to the next partition.",
    )
    timeout: Duration = Field(
        10.0,
        ge=6,
        le=60,
        description="Seconds after which a probe is lost: the text or its answer did not come. The same for "
        "the question whether a deleted text is gone.",
    )
    deletion_interval: Duration = Field(
        3_600.0,
        ge=1,
        le=86_400,
        description="Seconds after which all texts of a partition are deleted, and that is watched.",
    )
    deletion_timeout: Duration = Field(
        900.0,
        ge=1,
        le=86_400,
        description="Seconds after which a deleted text must be erased from the store.",
    )
    store: bool = Field(
        True,
        description="Whether it may read the store: to see that deleted texts are erased, and to compare "
        "topic and store. If not, it needs Kafka alone.",
    )
    verify_interval: Seconds = Field(
        3_600.0, description="Seconds from one comparison of topic and store to the next. 0: there are none."
    )
    verify_offsets: Annotated[int, Unit("offsets")] = Field(
        250,
        ge=1,
        le=100_000,
        description="How many offsets of each partition are compared: the newest, and as many at a place "
        "drawn at random.",
    )
    verify_timeout: Duration = Field(
        120.0, ge=10, le=3_600, description="Longest time in seconds for one comparison."
    )
