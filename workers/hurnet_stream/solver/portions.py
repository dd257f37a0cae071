"""The bounds of one step, and batches cut to them.

    read        shard 0: a b c d        shard 1: e f
    interleaved a e b f c d             so that what is left for the next step is not always the same shard's
    split       [a e b] [f c d]         the first portion has at most PORTION_ROWS rows, or one batch

What a step has no time for is left to the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.stored.batch import Batch

STEP_S = 0.5
"""How long a step goes on with new pairs, with deletions, and with solves, each of them. One portion of them
may take longer; the lease is kept meanwhile (leading.py)."""
READ_BATCHES = 64
"""Batches read per shard and step at most, fewer with kernel features."""
COMPACT_STEPS = 64
"""Transactions or looks of compaction in a step, each of at most 32 items."""
PORTION_ROWS = 4096
"""Rows folded in at once at most, fewer with kernel features. Progress is noted after each portion."""


def batches_per_step(kernel_map: KernelMap) -> int:
    """How many batches of a shard a step reads."""
    return max(1, int(READ_BATCHES * _row_share(kernel_map)))


def rows_per_portion(kernel_map: KernelMap) -> int:
    """How many rows are folded in at once."""
    return int(PORTION_ROWS * _row_share(kernel_map))


def _row_share(kernel_map: KernelMap) -> float:
    # The work on a row grows with the square of the number of features, because G has that many elements.
    # So a step of fewer rows takes as long as one without a kernel.
    return min(1.0, kernel_map.dimension / kernel_map.size) ** 2


def interleaved(batches: Sequence[Batch]) -> list[Batch]:
    """The first batch of each shard, then the second of each, and so on."""
    seen: Counter[int] = Counter()
    places = []  # of each batch in its shard
    for batch in batches:
        places.append(seen[batch.partition])
        seen[batch.partition] += 1
    return [batch for _, batch in sorted(zip(places, batches, strict=True), key=lambda pair: pair[0])]


def split(batches: Sequence[Batch], rows_max: int) -> tuple[Sequence[Batch], Sequence[Batch]]:
    """The first batches that have at most `rows_max` rows together, or the first alone; and the others."""
    count, total = 1, batches[0].rows
    while count < len(batches) and (total := total + batches[count].rows) <= rows_max:
        count += 1
    return batches[:count], batches[count:]
