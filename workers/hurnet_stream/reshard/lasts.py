"""The last record of each partition of a topic: what lies behind it are markers of transactions."""

from __future__ import annotations

from typing import Final

from hurnet_stream.ports import History, OffsetRange

FIRST_LOOK: Final = 64
"""Offsets looked at first; a few times as many as long as there is no record among them."""


def last_offsets(history: History) -> dict[int, int]:
    """By partition, the offset of its last record; partitions that hold none are left out."""
    found = {
        partition: _last(history, partition, held) for partition, held in history.offset_ranges().items()
    }
    return {partition: offset for partition, offset in found.items() if offset is not None}


def _last(history: History, partition: int, held: OffsetRange) -> int | None:
    end, size = held.end, FIRST_LOOK
    while end > held.first:
        first = max(held.first, end - size)
        offsets = [record.offset for block in history.read(partition, first, end - 1) for record in block]
        if offsets:
            return max(offsets)
        end, size = first, 4 * size
    return None
