"""The context's vocabulary: entries, batches and how far a shard has come (eq. 4).

A shard is a partition of the topic of texts. An entry's identity is its coordinates (partition, offset), and
offsets order a shard, so a reader's position is an offset too: whatever batches the entries came in, and
however often they were delivered, "everything after offset o" means the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NOTHING = -1
"""The watermark of a shard that has seen nothing."""

Vectors = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Entry:
    """A validated item of the context."""

    offset: int
    timestamp_ms: int
    context: str
    text: str
    answer: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one shard in offset order with their vectors, and the offset they bring the shard to.

    `vectors` is (len(entries), dimension) on the grid. `watermark` may lie beyond the last entry's offset
    (dead letters, gaps of compaction and transactions), and `entries` may be empty.
    """

    partition: int
    watermark: int
    entries: Sequence[Entry]
    vectors: Vectors

    def after(self, offset: int) -> Batch:
        """What of this batch lies beyond `offset`; self if all of it does."""
        skip = sum(entry.offset <= offset for entry in self.entries)
        return (
            Batch(self.partition, self.watermark, self.entries[skip:], self.vectors[skip:]) if skip else self
        )


@dataclass(frozen=True, slots=True)
class ShardState:
    """How far a shard has come. `epoch` is that of its context, drawn when this was begun."""

    watermark: int = NOTHING
    rows: int = 0
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class EmbedderIdentity:
    """What made the vectors of a context; stored with it and never changed."""

    name: str
    fingerprint: str
    dimension: int
