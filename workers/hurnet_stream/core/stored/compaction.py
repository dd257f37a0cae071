"""What deletions leave behind in a shard, made as small as it can be without renumbering a row.

A deletion leaves itself, and batches that say which of their rows are gone. Below a floor that the solver's
saved checkpoint has passed nobody needs them any more: only how many rows they took up, since every item says
the number of its first row. So neighbours become one item:

    offset   item                         row
    2        batch: entries 0 1 2         0       together at most RUN_ROWS entries and RUN_BYTES:
    3        batch: entry 3, erased       3       one item at offset 5, rows 0 to 3,
    4        deletes 3                    4       entries 0 1 2, and one row gone
    5        deletes 77 (nothing there)   4
    9        batch: 256 entries           4       has no room left, and nothing to get rid of: it stays

The next deletion behind it takes up the same item again. So what deletions leave does not grow with their
number: at most one item without entries for each full batch beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hurnet_stream.core.stored.batch import NOTHING, Batch, ShardState
from hurnet_stream.core.stored.entries import Entries

RUN_ROWS = 256
"""The most entries that several items are joined to. A single item may have more."""
RUN_BYTES = 128 << 10
"""The most bytes of vectors and texts of the same: what one more deletion beside them writes anew."""


@dataclass(frozen=True, slots=True)
class Run:
    """Items `first` to `last` of a sequence, which become one."""

    first: int
    last: int


def runs(items: Sequence[Batch]) -> list[Run]:
    """The neighbours among consecutive items of a shard that are to become one item each."""
    found: list[Run] = []
    first = 0
    for last in range(1, len(items) + 1):
        if last < len(items) and _fit(items[first : last + 1]):
            continue
        if _gains(items[first:last]):
            found.append(Run(first, last - 1))
        first = last
    return found


def merged(items: Sequence[Batch]) -> Batch | None:
    """The one item that takes the place of these; None if they take up no rows."""
    batches = [item for item in items if item.rows]
    if not batches:
        return None
    gone = sum(batch.gone + len(batch.removed) for batch in batches)
    entries = Entries.joined([batch.columns for batch in batches])
    vectors = np.concatenate([batch.vectors for batch in batches])
    joined = Batch(items[0].partition, items[-1].watermark, entries, vectors, gone=gone)
    return replace(joined, end=items[-1].end)


def _fit(items: Sequence[Batch]) -> bool:
    return sum(len(item.entries) for item in items) <= RUN_ROWS and sum(map(_bytes, items)) <= RUN_BYTES


def _gains(items: Sequence[Batch]) -> bool:
    """Whether something goes away if they become one."""
    if any(item.removed or _is_bare_deletion(item) for item in items):
        return True
    return len(items) > 1 and any(not item.entries for item in items)


def _is_bare_deletion(item: Batch) -> bool:
    """What a batch has replaced is no reason to write all of it anew: that goes when something else does."""
    return item.deletion is not None and (not item.rows or item.deletion.parts > 0)


def _bytes(item: Batch) -> int:
    return item.vectors.nbytes + len(item.columns.texts)


class Horizon:
    """Notices that a reader has missed a deletion, which was compacted away before the reader came to it.

    floor 10 when the reader began    it was never given what deletions up to 10 had deleted
    position 40, floor 10             it will be given every deletion beyond 40
    position 40, floor 90             deletions 41 to 90 may be gone, and it may hold their targets
    position 90, floor 90             it had been given them all
    """

    def __init__(self) -> None:
        self._floors: dict[int, int] = {}  # as they were when each shard was begun

    def passed(self, partition: int, position: int, state: ShardState, floor: int) -> bool:
        """Whether the shard's floor has passed a reader at `position`.

        `state` was read before what the reader is given now, and `floor` after it.
        """
        if position == NOTHING:
            self._floors[partition] = state.floor
        return position < floor and self._floors.get(partition, NOTHING) < floor
