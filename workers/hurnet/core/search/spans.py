"""Which rows may have an offset: the lowest and the highest of a few rows each, so that few are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet.core.stored.batch import MAX_OFFSET

SPAN: Final = 256
"""Rows."""
_NONE: Final = np.array([[MAX_OFFSET], [-1]])
"""Of a span without rows."""

Integers = NDArray[np.int64]


class Spans:
    """The spans of blocks of some rows each. One writer; others may look meanwhile. 16 bytes a span."""

    def __init__(self, rows: int) -> None:
        self._ranges = np.empty((2, 0, -(-rows // SPAN)), np.int64)

    def widen(self, block: int, at: int, offsets: Integers) -> None:
        """Rows with these offsets (n,) now stand from row `at` of a block on."""
        if block >= self._ranges.shape[1]:
            self._ranges = self._larger(max(block + 1, 2 * self._ranges.shape[1]))
        spans = slice(at // SPAN, -(-(at + len(offsets)) // SPAN))
        starts = np.maximum(np.arange(spans.start, spans.stop) * SPAN - at, 0)
        low, high = self._ranges[:, block, spans]
        np.minimum(low, np.minimum.reduceat(offsets, starts), out=low)
        np.maximum(high, np.maximum.reduceat(offsets, starts), out=high)

    def without(self, block: int) -> Spans:
        """A copy in which a block has no rows."""
        other = Spans(0)
        other._ranges = self._ranges.copy()
        other._ranges[:, block] = _NONE
        return other

    def near(self, offset: int) -> Iterator[tuple[int, int]]:
        """Blocks and the first row in each of a span that may have it."""
        low, high = self._ranges
        blocks, spans = ((low <= offset) & (offset <= high)).nonzero()
        return zip(blocks.tolist(), (spans * SPAN).tolist(), strict=True)

    def among(self, offsets: Integers) -> Iterator[tuple[int, int]]:
        """Likewise, of spans that may have any of these (n,), which ascend."""
        low, high = self._ranges
        some = np.searchsorted(offsets, low) < np.searchsorted(offsets, high, "right")
        blocks, spans = some.nonzero()
        return zip(blocks.tolist(), (spans * SPAN).tolist(), strict=True)

    def _larger(self, blocks: int) -> Integers:
        _, known, spans = self._ranges.shape
        larger = np.empty((2, blocks, spans), np.int64)
        larger[:, :known], larger[:, known:] = self._ranges, _NONE[:, None]
        return larger
