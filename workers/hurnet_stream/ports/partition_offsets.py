"""What is known of a partition's offsets: what it holds, where it ends, what a group has committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hurnet_stream.core.places import first_position
from hurnet_stream.core.stored.batch import ShardState


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The offsets that a partition holds: first .. end - 1."""

    first: int
    end: int

    def rows_gone_from_log(self, shard: int, state: ShardState) -> int:
        """At most how many rows of the shard have a record that the partition no longer holds."""
        return min(state.rows, first_position(shard, self.first), state.watermark + 1)


@dataclass(frozen=True, slots=True)
class EndOffsets:
    """The next offset of every partition of a topic.

    `asked` is the time just before the broker was asked (monotonic seconds). `written` counts everything
    that is written. `readable` ends before the first transaction that is still open. `topic_id` is the
    topic's UUID, or "" if the brokers are too old to tell it.
    """

    asked: float
    written: Mapping[int, int]
    readable: Mapping[int, int]
    topic_id: str = ""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a group has committed of a partition: the next offset to read, and the string beside it."""

    offset: int
    note: str = ""
