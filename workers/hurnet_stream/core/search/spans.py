"""Which rows may have an offset, so that an entry is found without looking at all rows.

A span is SPAN slots of a block that stand one behind the other. The lowest and the highest offset in each are
kept, 16 bytes a span. A partition's offsets come in ascending order, so the spans of a shard hardly overlap:

    span      0..255     256..511     512..767
    offsets   0 to 310   311 to 580   581 to 901        400 can only be in the second
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.stored.batch import MAX_OFFSET

SPAN: Final = 256
"""Slots."""

_EMPTY: Final = np.array([[MAX_OFFSET], [-1]])
"""The lowest and the highest offset of a span without rows: no offset lies between them."""

Integers = NDArray[np.int64]


class Spans:
    """The spans of all blocks, each of which has `slots` slots."""

    def __init__(self, slots: int) -> None:
        self._ranges = np.empty((2, 0, -(-slots // SPAN)), np.int64)  # (lowest and highest, blocks, spans)

    def widen(self, block: int, slot: int, offsets: Integers) -> None:
        """Rows with these offsets (n,) are written from this slot of a block on."""
        known = self._ranges.shape[1]
        if block >= known:
            self._make_room(max(block + 1, 2 * known))
        spans = slice(slot // SPAN, -(-(slot + len(offsets)) // SPAN))
        # Where among the offsets each of these spans begins: the first one may be half full already.
        starts = np.maximum(np.arange(spans.start, spans.stop) * SPAN - slot, 0)
        lowest, highest = self._ranges[:, block, spans]
        np.minimum(lowest, np.minimum.reduceat(offsets, starts), out=lowest)
        np.maximum(highest, np.maximum.reduceat(offsets, starts), out=highest)

    def clear(self, block: int) -> None:
        """A block has no rows any more."""
        self._ranges[:, block] = _EMPTY

    def near(self, offset: int) -> Iterator[tuple[int, int]]:
        """Each span that may have this offset: its block and its first slot."""
        lowest, highest = self._ranges
        blocks, spans = ((lowest <= offset) & (offset <= highest)).nonzero()
        return zip(blocks.tolist(), (spans * SPAN).tolist(), strict=True)

    def among(self, offsets: Integers) -> Iterator[tuple[int, int]]:
        """Each span that may have any of these offsets (n,), which ascend: its block and its first slot."""
        lowest, highest = self._ranges
        # An offset lies in a span if more of them are at or below its highest than below its lowest.
        any_inside = np.searchsorted(offsets, lowest) < np.searchsorted(offsets, highest, "right")
        blocks, spans = any_inside.nonzero()
        return zip(blocks.tolist(), (spans * SPAN).tolist(), strict=True)

    def saved(self, blocks: int) -> Integers:
        """All ranges of so many blocks."""
        return self._ranges[:, :blocks]

    def restore(self, ranges: Integers) -> None:
        """Be what was saved."""
        self._ranges = ranges

    def _make_room(self, blocks: int) -> None:
        _, known, spans = self._ranges.shape
        larger = np.empty((2, blocks, spans), np.int64)
        larger[:, :known], larger[:, known:] = self._ranges, _EMPTY[:, None]
        self._ranges = larger
