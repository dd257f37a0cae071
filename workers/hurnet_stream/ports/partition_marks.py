"""Who has which partition in hand. `hurnet_stream.suspects` says what this is for.

    worker A   enter(0)                                     mark of 0: A
    worker A   attempt(0, "r7") -> 1                        note of 0: r7, tried by 1 owner
    worker A   is killed by record r7
    worker B   enter(0) -> {0: "r7"}                        mark of 0: B
    worker B   attempt(0, "r7") -> 2                        note of 0: r7, tried by 2 owners
    worker B   lives, goes on, and leaves in order: leave(0)

A mark that `enter` finds tells the next worker to handle the records of that partition carefully.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class PartitionMarks(Protocol):
    """Marks of the workers that have partitions in hand, and notes of the record that each handles."""

    def enter(self, role: str, owner: str, partitions: frozenset[int]) -> Mapping[int, str]:
        """Put the mark of `owner` on these partitions, among the workers of `role`.

        Returns the partitions on which another owner's mark stood, which means that this owner never left,
        each with the record that was noted of it last, or "". If the last note of a partition is by
        `owner` itself, that try no longer counts: an owner that enters has nothing in hand.
        """

    def leave(self, role: str, owner: str, partitions: frozenset[int]) -> None:
        """Take the mark away, and take back the note, if they are `owner`'s: it has nothing in hand."""

    def attempt(self, role: str, owner: str, partition: int, record: str) -> int:
        """Note that `owner` is about to handle `record`. A partition has one note; this replaces it.

        Returns how many owners, this one included, have noted this very record since any other was noted.
        """
