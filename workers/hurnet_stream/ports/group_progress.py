"""A copy of the offsets that a consumer group has committed, for the case that Kafka forgets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hurnet_stream.ports.partition_offsets import Committed


class GroupProgress(Protocol):
    """The last known progress of consumer groups."""

    def remember_progress(self, group: str, committed: Mapping[int, Committed]) -> None:
        """Keep what the group has committed of these partitions; others keep what was there."""

    def progress(self, group: str) -> Mapping[int, Committed]:
        """What was kept of the group last, by partition. Raises `StoreError` if it is corrupt."""
