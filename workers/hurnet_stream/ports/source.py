"""Reading one topic as a member of a consumer group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hurnet_stream.core.stored.batch import LogIdentity
from hurnet_stream.ports.partition_offsets import OffsetRange
from hurnet_stream.ports.record import Record

POLL_BYTES = 16 << 20
"""About how many bytes of records one poll returns at most."""


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll brought.

    `assigned` are the partitions that this member was given, or given again, since the last poll. Their
    position is the committed offset, or the beginning if nothing was committed, until the caller seeks.
    `records` may hold records of them already. A partition whose position fell out of the topic is in
    `assigned` too. `revoked` are the partitions that were taken away.
    """

    records: Sequence[Record] = ()
    assigned: frozenset[int] = frozenset()
    revoked: frozenset[int] = frozenset()


class Source(Protocol):
    """A member of a consumer group on one topic or on several.

    Partitions are given by the numbers of their shards (core/places.py), which are their own if there is one
    topic. Offsets are those of records.
    """

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        """Wait up to `timeout_s` for records; return earlier if there are some.

        The records of a partition are in offset order. There are at most `max_records` of them, or about
        `POLL_BYTES`, and at least one if there is any. While the group rebalances, the call may take some
        seconds longer. Raises `StoreGap` if a position has fallen out of its partition.
        """

    def assignment(self) -> frozenset[int]:
        """The partitions that this member reads now."""

    def rebalances(self) -> int:
        """How often the group has shared out its partitions since this member joined it."""

    def has_share(self) -> bool:
        """Whether this member has its share of the partitions: some of them, or none because it is one too
        many and the others read all of them. The latter is asked for in the background. Never waits."""

    def seek(self, partition: int, offset: int) -> None:
        """Read `partition` from `offset` on. Does nothing if the partition is not assigned."""

    def pause(self, partitions: frozenset[int]) -> None:
        """Bring no records of exactly these partitions until the next call."""

    def offset_ranges(self, partitions: frozenset[int]) -> Mapping[int, OffsetRange]:
        """Which offsets each of the partitions holds, as the broker says now."""

    def log(self) -> LogIdentity | None:
        """Which log this is, as of a second ago; None as long as that is not known. No round trip.

        Once another Kafka cluster answers at the address than at first, every call raises `ForeignLog`.
        """

    def records_at(self, offsets: Mapping[int, int]) -> Mapping[int, Record | None]:
        """The record at the one offset given of each partition; None if there is none at that offset."""

    def topic_ids(self) -> Mapping[str, str]:
        """The UUIDs of the topics beside the first one, as far as they are known, as of a second ago. No
        round trip."""

    def compacted(self, partition: int) -> bool:
        """Whether single records may vanish from the middle of its topic (cleanup.policy has compact)."""

    def positions(self) -> Mapping[int, int]:
        """The next offset to be polled, per assigned partition. No round trip.

        Every record before it was polled, or the caller sought that offset. A partition whose position is
        not settled yet is left out.
        """

    def lag(self) -> Mapping[int, int]:
        """How many records are not polled yet, per assigned partition. Never waits.

        End offsets are asked for every few seconds in the background; a partition whose end is not known
        is left out.
        """

    def held_back(self) -> Mapping[int, int]:
        """How many of the records in `lag` can't be read before an open transaction ends, per partition.

        Partitions without such records are left out.
        """

    def retention_headroom(self) -> Mapping[int, float]:
        """By partition, the share of the topic's retention that is left before the next record to be polled
        is dropped: 1 if everything is polled, 0 if that record is gone. Never waits.

        The brokers are asked every half minute in the background. Partitions of which nothing is known, or
        nothing is ever dropped, are left out.
        """

    def committed(self, partitions: frozenset[int]) -> Mapping[int, int | None]:
        """The offset at which the group goes on, per partition; None if it never committed one."""

    def commit(self, next_offsets: Mapping[int, int], notes: Mapping[int, str] | None = None) -> None:
        """Commit offsets to the group, which lag tools and restarts read.

        A note is a string of up to 4,096 characters that is stored beside an offset. Partitions that a
        rebalance took away are skipped without an error.
        """

    def close(self) -> None:
        """Leave the group and release every connection."""
