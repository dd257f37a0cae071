"""HURNET_RESHARD_*: the worker that forwards the topic of texts to one with another number of partitions."""

from __future__ import annotations

from pydantic import Field

from hurnet_stream.settings.transactions import TransactionSettings
from hurnet_stream.settings.types import Duration, Records


class ReshardSettings(TransactionSettings):
    """The worker of `hurnet reshard`."""

    batch: Records = Field(1_000, ge=1, le=10_000, description="Most records that one turn reads.")
    poll: Duration = Field(0.05, ge=0, le=5, description="Longest wait for texts in one turn, in seconds.")
    silence: Duration = Field(
        3_600,
        ge=1,
        le=30 * 86_400,
        description="The forwarder ends once the new topic answers and the old one has brought no texts for "
        "so many seconds.",
    )
