"""What a verification found, and how rows and statistics are compared."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

import numpy as np

from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Batch, Entry, Vectors

Row = tuple[Entry, Vectors]
"""An entry and its vector (dimension,)."""
Rows = dict[int, Row]
"""Rows by their offsets."""


@dataclass(slots=True)
class ShardProof:
    """What came of offsets `first` to `last` of a shard. `entries` are equal, `deleted` were deleted, and
    `unproved` are no longer in the topic. `erased` are no longer in the store, for a deletion beyond what was
    read. `difference` is the first offset at which topic and store differ, and how they differ there."""

    partition: int
    first: int
    last: int
    entries: int = 0
    deleted: int = 0
    unproved: int = 0
    erased: int = 0
    difference: tuple[int, str] | None = None


@dataclass(slots=True)
class Proof:
    """`digests` are those of the replayed statistics, by their key. `differences` says, by the same key, what
    the solver's statistics have otherwise."""

    shards: list[ShardProof] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        return not self.differences and all(shard.difference is None for shard in self.shards)

    @property
    def unproved(self) -> int:
        return sum(shard.unproved for shard in self.shards)


def rows_of(batch: Batch) -> Rows:
    """The entries of a batch."""
    return {entry.offset: (entry, batch.vectors[row]) for row, entry in enumerate(batch.entries)}


def compare(proof: ShardProof, replayed: Rows, stored: Rows, deleted: Set[int], erased: Set[int]) -> None:
    """Count what is equal, up to the first difference. A deleted entry may be on one side only."""
    for offset in sorted(replayed.keys() | stored.keys()):
        if (offset in deleted or offset in erased) and (offset in replayed) != (offset in stored):
            proof.erased += offset not in deleted
            continue
        if difference := row_difference(replayed.get(offset), stored.get(offset)):
            proof.difference = offset, difference
            return
        proof.entries += 1


def row_difference(replayed: Row | None, stored: Row | None) -> str | None:
    """How one row differs, in words; None if it does not."""
    if stored is None:
        return "the store lacks this entry"
    if replayed is None:
        return "the store has an entry, and the topic no valid text"
    names = ("timestamp_ms", "context", "text", "answer", "metadata", "copies")
    fields = [name for name in names if getattr(replayed[0], name) != getattr(stored[0], name)]
    if not np.array_equal(replayed[1], stored[1]):
        fields.append("vector")
    return f"the store has another {', '.join(fields)}" if fields else None


def statistics_difference(replayed: Statistics, stored: Statistics) -> str:
    """What is other of statistics whose digests differ, in words."""
    if replayed.count != stored.count:
        return f"the solver counts {stored.count} pairs, the replay {replayed.count}"
    different = sorted(
        answer
        for answer in replayed.answer_sums.keys() | stored.answer_sums.keys()
        if answer not in replayed.answer_sums
        or answer not in stored.answer_sums
        or replayed.encode_sum(answer) != stored.encode_sum(answer)
    )
    if not different:
        return "the gram differs"
    return f"the sums of {len(different)} answers differ, the first is {different[0]!r}"
