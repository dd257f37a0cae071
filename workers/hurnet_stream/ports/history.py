"""Reading a topic from its beginning, without a consumer group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from hurnet_stream.ports.partition_offsets import OffsetRange
from hurnet_stream.ports.record import Record


class History(Protocol):
    """All that one topic still holds."""

    def offset_ranges(self) -> Mapping[int, OffsetRange]:
        """Which offsets each partition holds."""

    def read(self, partition: int, first: int, last: int) -> Iterator[Sequence[Record]]:
        """The records at offsets `first` to `last`, in blocks. The partition must reach beyond `last`."""

    def close(self) -> None:
        """Release every connection."""
