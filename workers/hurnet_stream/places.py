"""Entries and shards by the names that people use, and back: `hurnet_schemas.places` says how these look.

Inside, an entry is a position of a shard, and both are numbers (core/places.py). Outside it has the name of
its record. With a store whose topic `tickets` has the number 1:

    inside                           outside
    entry (2, 89)                    2/89
    entry (65_539, 41 * 1_024 + 2)   tickets/3/41#2
    watermark 65_539: 42_495         tickets/3: 41         all of record 41 is in

A watermark of another topic names whole records: outside it is the last record that is in to its last chunk,
and asking for it inside asks for all chunks of the record. Deletions that no record says stand behind that
(core/places.py); where it matters, they are counted beside the watermark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from hurnet_schemas import Coordinates
from hurnet_schemas.places import OFFSET_MOST, Place, ShardName, in_order, shard_name, shard_parts
from hurnet_stream.core.places import (
    CHUNKS_MOST,
    PARTITIONS_MOST,
    SPAN,
    TEXTS,
    Topics,
    chunk_of,
    first_position,
    last_position,
    number_of,
    offset_of,
    partition_of,
)

T = TypeVar("T")

EntryId = tuple[int, int]
"""Shard and position."""


class NotRead(ValueError):
    """A name is of a topic that hurnet does not read, or of a place that no topic has."""


@dataclass(frozen=True, slots=True)
class Places:
    """Names for what stands in one store."""

    topics: Topics
    home: str = ""
    """The topic of a name without one, "" for that of texts. While a topic is replaced by one with another
    number of partitions (`hurnet reshard`), a store may be filled from another topic of texts than the
    settings name. Then each of its names says its topic, so that nobody takes one for the other."""

    @classmethod
    def only(cls, texts: str) -> Places:
        """Those of a store that is filled from the topic of texts alone."""
        return cls(Topics.only(texts))

    @classmethod
    def of(cls, topics: Topics, texts: str, home: str = "") -> Places:
        """Those of a store with these topics. `texts` is the name of the topic of texts, and `home` the topic
        of names that say none, if that is another one."""
        others = {name: number for name, number in topics.numbers.items() if number != TEXTS}
        return cls(Topics({texts: TEXTS, **others}), "" if home == texts else home)

    def place(self, entry: EntryId) -> Place:
        """Where an entry is from."""
        shard, position = entry
        topic, partition = self._topic(shard), partition_of(shard)
        return Place(topic, partition, offset_of(shard, position), chunk_of(shard, position))

    def coordinates(self, entry: EntryId) -> Coordinates:
        """The same for a message."""
        return Coordinates.of(self.place(entry))

    def name(self, entry: EntryId) -> str:
        """The name of an entry, such as 2/89 or tickets/3/41#2."""
        return str(self.place(entry))

    def record(self, entry: EntryId) -> str:
        """The whole name of the record of an entry or of a deletion, such as texts/2/89. A deletion that no
        record says is named behind the record before it, as in tickets/3/41#512."""
        topic, partition, offset, chunk = self.place(entry)
        return str(Place(topic or self.texts, partition, offset, chunk if chunk > CHUNKS_MOST else 0))

    def whole_name(self, entry: EntryId) -> str:
        """The name of an entry with its topic, whichever that is, such as texts/2/89."""
        place = self.place(entry)
        return str(place._replace(topic=place.topic or self.texts))

    @property
    def texts(self) -> str:
        """The name of the topic of texts."""
        return self.topics.name(0) or "texts"

    def entry(self, place: Place) -> EntryId:
        """The entry at a place. Raises `NotRead`."""
        shard = self.shard(place.shard)
        if place.chunk > (CHUNKS_MOST - 1 if shard >= PARTITIONS_MOST else 0):
            raise NotRead(f"{place}: that record has no entry {place.chunk}")
        return shard, self._position(shard, place.offset) + place.chunk

    def entry_of(self, coordinates: Coordinates | None) -> EntryId | None:
        """The entry that a message names; None if it names none, or a partition that no topic has. Raises
        `NotRead`."""
        if coordinates is None or coordinates.partition >= PARTITIONS_MOST:
            return None
        return self.entry(coordinates.place)

    def deletion(self, place: Place) -> EntryId:
        """Where the deletion stands that the record at a place has asked for. Raises `NotRead`."""
        shard, first = self.entry(place._replace(chunk=0))
        return shard, last_position(shard, offset_of(shard, first))

    def shard_name(self, shard: int) -> ShardName:
        """The name of a shard, such as 2 or tickets/3."""
        return shard_name(self._topic(shard), partition_of(shard))

    def shard(self, name: ShardName) -> int:
        """The shard of a name. Raises `NotRead`."""
        topic, partition = shard_parts(name)
        topic = self.home or None if topic is None else topic
        found = self.topics.shard(self.texts if topic is None else topic, partition)
        if found is not None:
            return found
        if topic is not None and topic not in self.topics.numbers:
            raise NotRead(f"hurnet reads no topic {topic!r} here: it reads {self._listed()}")
        raise NotRead(f"{name}: no topic has a partition {partition}")

    def by_topic(self, values: Mapping[int, T]) -> dict[str, dict[int, T]]:
        """Values of shards by their topics, all of which are there, and by partition."""
        found: dict[str, dict[int, T]] = {name: {} for name in self.topics.numbers}
        for shard, value in values.items():
            found.setdefault(self._topic(shard) or self.texts, {})[partition_of(shard)] = value
        return found

    def seen(self, watermarks: Mapping[int, int]) -> dict[ShardName, int]:
        """Watermarks of shards as offsets by their names."""
        named = {self.shard_name(shard): _reached(shard, mark) for shard, mark in watermarks.items()}
        return {name: named[name] for name in in_order(named) if named[name] >= 0}

    def beyond(self, watermarks: Mapping[int, int]) -> dict[ShardName, int]:
        """By the names of shards, how many positions a watermark is beyond the one that `seen` names."""
        steps = {
            self.shard_name(shard): mark - last_position(shard, _reached(shard, mark))
            for shard, mark in watermarks.items()
            if mark >= 0
        }
        return {name: steps[name] for name in in_order(steps) if steps[name]}

    def positions(
        self, seen: Mapping[ShardName, int], beyond: Mapping[ShardName, int] | None = None
    ) -> dict[int, int]:
        """The watermarks of shards that named offsets stand for, and so many positions beyond. Raises
        `NotRead`."""
        found: dict[int, int] = {}
        for name, offset in seen.items():
            shard = self.shard(name)
            self._position(shard, offset)
            mark = last_position(shard, offset) + (beyond or {}).get(name, 0)
            found[shard] = max(mark, found.get(shard, mark))
        return found

    def _position(self, shard: int, offset: int) -> int:
        if shard >= PARTITIONS_MOST and offset > OFFSET_MOST // SPAN - 1:
            raise NotRead(f"{self.shard_name(shard)}/{offset}: no record has so high an offset")
        return first_position(shard, offset)

    def _topic(self, shard: int) -> str | None:
        """The topic of a shard; None for that of texts, unless names without a topic mean another one."""
        number = number_of(shard)
        if number == TEXTS and self.home:
            return self.texts
        return None if number == TEXTS else self.topics.name(shard) or f"unknown-{number}"

    def _listed(self) -> str:
        return ", ".join(sorted(self.topics.numbers))


def _reached(shard: int, watermark: int) -> int:
    """The last record of a shard that is wholly at or before this watermark."""
    offset = offset_of(shard, watermark)
    return offset if last_position(shard, offset) <= watermark else offset - 1
