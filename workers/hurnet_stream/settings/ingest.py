"""HURNET_INGEST_*: the worker that takes texts in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Duration, Records, Unit


class IngestSettings(Section):
    """The worker that appends texts to the store."""

    group: str = Field(
        "",
        max_length=200,
        description="The consumer group of all ingest workers. If it is empty: HURNET_REDIS_PREFIX, then "
        "-ingest.",
    )
    batch: Records = Field(
        256, ge=1, le=10_000, description="Most records that one turn reads, over all partitions together."
    )
    poll: Duration = Field(
        0.5, ge=0, le=5, description="Longest wait for new records in one turn, in seconds."
    )
    keys: Literal["", "upsert", "append"] = Field(
        "",
        description="What a text does to those that came under its key before, in its context: upsert takes "
        "their place, append stands beside them. If it is empty: upsert for a store that was begun by a "
        "hurnet that knows this setting, append for an older one.",
    )
    embed_on: Literal["here", "dask"] = Field(
        "here",
        description="Who makes the vectors: this process, or the workers of the Dask cluster that "
        "HURNET_DASK_SCHEDULER names.",
    )
    skip_gap: bool = Field(
        False,
        description="Whether to go on if the topic no longer holds the next record, which is then lost to "
        "the store. If not, the worker stops and says so.",
    )
    max_contexts: Annotated[int, Unit("contexts")] = Field(
        64,
        ge=1,
        le=10_000,
        description="How many contexts there may be. A text that names one more becomes a dead letter.",
    )
    dead_letters_in_a_row: Records = Field(
        1_000,
        ge=1,
        le=1_000_000_000,
        description="More dead letters than this in a row raise an alarm: the worker says so, and is not "
        "ready while it lasts.",
    )
    dead_letters_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="A larger share of dead letters (0 to 1) among the last dead_letters_window records "
        "raises the same alarm.",
    )
    dead_letters_window: Records = Field(
        10_000, ge=1, le=1_000_000, description="How many records dead_letters_share is taken over."
    )
    dead_letters_stop: bool = Field(
        False, description="Whether the alarm about dead letters ends the worker, too."
    )
