"""Batches as a worker takes them in: a bounded part at a time, and those of all shards in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hurnet.core.stored.batch import Batch


def in_turn(batches: Sequence[Batch]) -> list[Batch]:
    """The first of each shard, then the second of each: what is left for later is not always one shard's."""
    seen: Counter[int] = Counter()
    places = []
    for batch in batches:
        places.append(seen[batch.partition])
        seen[batch.partition] += 1
    return [batch for _, batch in sorted(zip(places, batches, strict=True), key=lambda pair: pair[0])]


def split(batches: Sequence[Batch], rows: int) -> tuple[Sequence[Batch], Sequence[Batch]]:
    """The first batches that have at most so many rows together, or the first alone; and the others."""
    count, total = 1, batches[0].rows
    while count < len(batches) and (total := total + batches[count].rows) <= rows:
        count += 1
    return batches[:count], batches[count:]
