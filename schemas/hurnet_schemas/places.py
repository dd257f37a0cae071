"""How records, entries and shards are named, wherever people and programs read or write it.

    an entry        2/89                        the record at offset 89 of partition 2 of the topic of texts
                    tickets/3/41                that of another topic
                    tickets/3/41#2              the third of the entries that this record became, a long text
    a shard         2                           all entries of a partition of the topic of texts
                    tickets/3                   those of another topic
    watermarks      0=41,tickets/3=39           in options and headers: an offset by shard
                    {"0": 41, "tickets/3": 39}  in JSON

This is the only reader and the only writer of these names. What they mean in one store is known where that
is: `hurnet_stream.places`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

PARTITION_MOST: Final = 2**31 - 1
OFFSET_MOST: Final = 2**63 - 1
CHUNK_MOST: Final = 1_023
TOPIC: Final = r"[A-Za-z0-9._-]{1,249}"
"""A regular expression: all that a topic of Kafka can be called."""
NAME: Final = rf"^({TOPIC}/)?[0-9]{{1,10}}/[0-9]{{1,19}}(#[0-9]{{1,4}})?$"
"""The same of an entry, for schemas. Only `place` says whether its numbers can be."""
EXAMPLES: Final = "2/89 or tickets/3/41"

_PLACE: Final = re.compile(rf"(?:({TOPIC})/)?([0-9]{{1,19}})/([0-9]{{1,19}})(?:#([0-9]{{1,4}}))?")
_SHARD: Final = re.compile(rf"(?:({TOPIC})/)?([0-9]{{1,19}})")
_MARK: Final = re.compile(rf"\s*(?:({TOPIC})/)?([0-9]{{1,19}})\s*=\s*([0-9]{{1,19}})\s*")

ShardName = int | str
"""The number of a partition of the topic of texts, or TOPIC/PARTITION of another one."""
Marks = Mapping[int, int] | Mapping[str, int] | Mapping[ShardName, int]
"""Watermarks as a caller may write them: offsets by the names of shards."""


class Place(NamedTuple):
    """Where a record or an entry stands. Without a `topic` it is the topic of texts."""

    topic: str | None
    partition: int
    offset: int
    chunk: int = 0
    """Which of the entries of a record, from 0."""

    @property
    def shard(self) -> ShardName:
        """The name of its shard."""
        return shard_name(self.topic, self.partition)

    def __str__(self) -> str:
        chunk = f"#{self.chunk}" if self.chunk else ""
        return f"{self.shard}/{self.offset}{chunk}"


def place(name: str) -> Place:
    """The place that is named. Raises ValueError, which says what is wrong and what would be right."""
    found = _PLACE.fullmatch(name)
    if found is None:
        raise ValueError(f"{_quoted(name)} is not [TOPIC/]PARTITION/OFFSET, as in {EXAMPLES}")
    topic, partition, offset, chunk = found.groups()
    return Place(
        topic,
        _number("partition", partition, PARTITION_MOST, name),
        _number("offset", offset, OFFSET_MOST, name),
        _number("chunk", chunk or "0", CHUNK_MOST, name),
    )


def record_place(name: str) -> Place:
    """The place of a record whose topic must be named, too, as in answers/0/42. Raises ValueError."""
    found = place(name)
    if found.topic is None or "#" in name:
        raise ValueError(f"{_quoted(name)} is not TOPIC/PARTITION/OFFSET, as in answers/0/42")
    return found


def shard(name: str) -> ShardName:
    """The shard that is named, in the one way in which it is written. Raises ValueError."""
    found = _SHARD.fullmatch(name)
    if found is None:
        raise ValueError(f"{_quoted(name)} is not [TOPIC/]PARTITION, as in 2 or tickets/3")
    return shard_name(found[1], _number("partition", found[2], PARTITION_MOST, name))


def shard_name(topic: str | None, partition: int) -> ShardName:
    """The name of a shard."""
    return partition if topic is None else f"{topic}/{partition}"


def shard_parts(name: ShardName) -> tuple[str | None, int]:
    """Topic and partition of a shard that was named by `shard` or `shard_name`."""
    if isinstance(name, int):
        return None, name
    topic, _, partition = name.rpartition("/")
    return topic, int(partition)


def in_order(names: Iterable[ShardName]) -> list[ShardName]:
    """Shards as people read them: those of the topic of texts first, then topic by topic."""
    return sorted(names, key=lambda name: (isinstance(name, str), *map(_sortable, shard_parts(name))))


def watermarks(text: str) -> dict[ShardName, int]:
    """The watermarks in a text like 0=41,tickets/3=39. Of a shard that is named twice the higher offset
    counts. Raises ValueError; a blank text has none."""
    marks: dict[ShardName, int] = {}
    for part in text.split(",") if text.strip() else ():
        found = _MARK.fullmatch(part)
        if found is None:
            raise ValueError(
                f"{_quoted(part.strip())} is not [TOPIC/]PARTITION=OFFSET, as in 0=41,1=39,tickets/3=7"
            )
        topic, partition, offset = found.groups()
        key = shard_name(topic, _number("partition", partition, PARTITION_MOST, part))
        marks[key] = max(_number("offset", offset, OFFSET_MOST, part), marks.get(key, 0))
    return marks


def without_topic(marks: Mapping[ShardName, int], texts: str) -> dict[ShardName, int]:
    """The same, with each shard of the topic `texts` by the number of its partition alone, as it is written
    if that is the topic of texts."""
    short: dict[ShardName, int] = {}
    for name, offset in marks.items():
        topic, partition = shard_parts(name)
        key = shard_name(None if topic == texts else topic, partition)
        short[key] = max(offset, short.get(key, 0))
    return short


def watermarks_json(marks: Marks) -> dict[str, int]:
    """As an object of JSON."""
    named: dict[ShardName, int] = dict(marks.items())
    return {str(name): named[name] for name in in_order(named)}


def watermarks_text(marks: Marks) -> str:
    """The text of which `watermarks` makes the same again."""
    return ",".join(f"{name}={offset}" for name, offset in watermarks_json(marks).items())


def _number(what: str, digits: str, most: int, name: str) -> int:
    if int(digits) > most:
        raise ValueError(f"{_quoted(name)}: no {what} is above {most}")
    return int(digits)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:79]}…")


def _sortable(part: str | int | None) -> str | int:
    return "" if part is None else part
