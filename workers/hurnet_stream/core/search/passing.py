"""The rows that pass a filter, as a search takes them.

    rows    2 3 35                      ascending
    bits    00001100 0... 00001000      a bit for each row of the index: row r is bit r % 8 of byte r // 8

The kernels read 32 rows at once, and 32 bits say which of these may answer.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.search.block import BLOCK_ROWS

Integers = NDArray[np.int64]


class Passing:
    """Rows (n,), which ascend, of an index with rows below `end`. Good until rows are next added or
    removed. `condition` is what they meet, by which the same filter is known again."""

    def __init__(self, rows: Integers, end: int, condition: Hashable = None) -> None:
        self.rows = rows
        self.condition = condition
        self.count = len(rows)
        self._room = -(-end // BLOCK_ROWS) * BLOCK_ROWS

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Whether each row passes: (room,), for all slots of all blocks."""
        return self._marked()

    @cached_property
    def bits(self) -> NDArray[np.uint8]:
        """The same as bits (room / 8,). Who needs these needs no mask: it is not kept."""
        return np.packbits(self._marked(), bitorder="little")

    def _marked(self) -> NDArray[np.bool_]:
        mask = np.zeros(self._room, np.bool_)
        mask[self.rows] = True
        return mask

    @property
    def of_blocks(self) -> NDArray[np.uint8]:
        """The same by block: (blocks, BLOCK_ROWS / 8)."""
        return self.bits.reshape(-1, BLOCK_ROWS // 8)
