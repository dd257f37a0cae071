"""Where an entry stands: in which shard, at which position, and from which record of which topic that is.

A shard is one partition of one topic, and is known by one number. The topic of texts has the number 0, so
that its shards are numbered as its partitions. Each other topic has a number of its own, which its store has
given it. In its shards a record takes up 1,024 positions, since a long text becomes several entries, its
chunks:

    topic     number    partition 3 is shard       record 41 begins at    its chunk 2    watermark after it
    texts     0         3                          41                     -              41
    tickets   1         1 * 65,536 + 3             41 * 1,024 = 41,984    41,986         41,984 + 511

The positions behind that watermark, up to 43,007, are for what no record says: entries that leave because
they are old. So everything behind ingest works with a shard and a position, and knows nothing of topics and
chunks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

TEXTS: Final = 0
"""The number of the topic of texts."""
PARTITIONS_MOST: Final = 65_536
"""More partitions than any topic has."""
NUMBERS_MOST: Final = 1 << 15
"""The topics of one store, so that a shard fits into 31 bits, as a partition of Kafka does."""
SPAN: Final = 1_024
"""The positions of a record, unless its topic is that of texts."""
OFFSETS_MOST: Final = 1 << 53
"""More offsets than a partition of such a topic can have: all positions are below 2**63."""
CHUNKS_MOST: Final = SPAN // 2 - 1
"""The chunks of a record. The position behind them is nobody's: it is the watermark after the record."""


def shard_of(number: int, partition: int) -> int:
    """The shard of a partition. Raises ValueError if it can't have one."""
    if not (0 <= number < NUMBERS_MOST and 0 <= partition < PARTITIONS_MOST):
        raise ValueError(f"topic number {number}, partition {partition}: that is too many of them")
    return number * PARTITIONS_MOST + partition


def number_of(shard: int) -> int:
    """The number of a shard's topic."""
    return shard // PARTITIONS_MOST


def partition_of(shard: int) -> int:
    """The partition of a shard in its topic."""
    return shard % PARTITIONS_MOST


def first_position(shard: int, offset: int) -> int:
    """Where the entries of the record at `offset` begin; -1, the offset before all others, stays -1."""
    return offset if shard < PARTITIONS_MOST or offset < 0 else offset * SPAN


def next_record(shard: int, watermark: int) -> int:
    """Where the first record behind a watermark begins."""
    return first_position(shard, offset_of(shard, watermark) + 1)


def last_position(shard: int, offset: int) -> int:
    """The watermark of the shard after the record at `offset`; -1 stays -1."""
    return offset if shard < PARTITIONS_MOST or offset < 0 else offset * SPAN + CHUNKS_MOST


def free_position(shard: int, watermark: int) -> int | None:
    """The position behind `watermark` for what no record says; None if there is none before the next
    record."""
    if shard < PARTITIONS_MOST or watermark < 0 or watermark % SPAN == SPAN - 1:
        return None
    return watermark + 1


def offset_of(shard: int, position: int) -> int:
    """The offset of the record that stands at `position`; -1 stays -1."""
    return position if shard < PARTITIONS_MOST else position // SPAN


def chunk_of(shard: int, position: int) -> int:
    """Which chunk of its record stands at `position`; 0 in shards of the topic of texts."""
    return 0 if shard < PARTITIONS_MOST else position % SPAN


class NumberedTopic(NamedTuple):
    """What a store knows of a topic beside that of texts: the number that it gave it, and its UUID.

    The UUID is "" as long as it is not known."""

    number: int
    id: str


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of a store, by name: the topic of texts, and those that have been given a number. `ids` are
    the UUIDs of the latter, as they were when they got it."""

    numbers: Mapping[str, int]
    ids: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def only(cls, texts: str) -> Topics:
        """Those of a store that is filled from the topic of texts alone."""
        return cls({texts: TEXTS})

    @classmethod
    def of(cls, topics: Mapping[str, NumberedTopic]) -> Topics:
        """Those that a store knows, without the topic of texts."""
        numbers = {name: topic.number for name, topic in topics.items()}
        return cls(numbers, {name: topic.id for name, topic in topics.items() if topic.id})

    def among(self, names: Collection[str]) -> Topics:
        """Those of them that have one of these names."""
        return Topics({name: number for name, number in self.numbers.items() if name in names}, self.ids)

    def with_texts(self, texts: str) -> Topics:
        """The same with the topic of texts, which comes first."""
        return Topics({texts: TEXTS, **self.numbers})

    def name(self, shard: int) -> str | None:
        """The name of a shard's topic; None if the store does not know it."""
        number = number_of(shard)
        return next((name for name, each in self.numbers.items() if each == number), None)

    def shard(self, topic: str, partition: int) -> int | None:
        """The shard of a partition; None if the store does not know the topic or it has no such partition."""
        number = self.numbers.get(topic)
        if number is None or not 0 <= partition < PARTITIONS_MOST:
            return None
        return shard_of(number, partition)
