"""Records that ask to delete something: an entry, the entries of a key, a context.

What they say is told in records.py. They go behind what they delete, into the same partition of its topic:

    entry 2/89           partition 2 of texts      forget=89
    entry tickets/3/41   partition 3 of tickets    forget=41, if [topics.tickets] says writable = true
    key k of faq         every partition           key k, context=faq
    context faq          every partition           drop-context=faq

A key's partition depends on the producer, and on how many partitions there were when it wrote. So all of them
are asked.

Other topics belong to whoever writes them: nothing is written there unless the settings say so. What is
deleted at the source, by a tombstone or a change that deletes, is deleted here just as exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hurnet_schemas.places import Place
from hurnet_stream.errors import HurnetError
from hurnet_stream.ports import Outgoing
from hurnet_stream.records import CONTEXT, DROP, FORGET
from hurnet_stream.settings.topics import TopicSettings


class NotWritable(HurnetError):
    """A deletion can't be written where it would have to be."""


@dataclass(frozen=True, slots=True)
class Deletable:
    """Where deletions may be written: to the topic of texts, and to those of the other topics whose tables
    say so."""

    texts: str
    tables: Mapping[str, TopicSettings] = field(default_factory=dict)

    def topic_of(self, place: Place) -> str:
        """The topic to which the deletion of the record at this place is written. Raises `NotWritable`."""
        topic = place.topic or self.texts
        if place.chunk:
            raise NotWritable(
                f"{place} is a part of a record, and records are forgotten whole: name"
                f" {place._replace(chunk=0)}"
            )
        if topic == self.texts or self.writable(topic):
            return topic
        table = "has writable = false" if topic in self.tables else "is not in the settings here"
        raise NotWritable(
            f"hurnet does not write to the topic {topic}: [topics.{topic}] {table}. Delete {place} at its"
            f" source: a tombstone with the record's key in {topic}, or the deletion of a row that a"
            " connector sends there, deletes it here as exactly"
        )

    def writable(self, topic: str) -> bool:
        """Whether the table of another topic allows it."""
        return topic in self.tables and self.tables[topic].writable

    @property
    def topics(self) -> list[str]:
        """All topics to which deletions of keys and contexts are written."""
        return [self.texts, *filter(self.writable, sorted(self.tables))]

    def out_of_reach(self, read: Iterable[str]) -> list[str]:
        """Those of the topics that are read to which none may be written."""
        return sorted(set(read) - set(self.topics))


def of_entry(topic: str, partition: int, offset: int) -> list[Outgoing]:
    """Asks to delete the entries of one record."""
    # Kafka clients refuse records without key and value, and so do compacted topics. A key that nothing else
    # has lets compaction remove no other record: under the record's own a newer one may stand by now.
    key = f"hurnet-forget/{partition}/{offset}".encode()
    return [Outgoing(topic, None, key, ((FORGET, str(offset).encode()),), partition)]


def of_key(topic: str, partitions: Iterable[int], key: bytes, context: str) -> list[Outgoing]:
    """Asks to delete the entries of a context whose records have this key. `EVERY` stands for all
    contexts."""
    header = ((CONTEXT, context.encode()),)
    return [Outgoing(topic, None, key, header, partition) for partition in sorted(partitions)]


def of_context(topic: str, partitions: Iterable[int], context: str) -> list[Outgoing]:
    """Asks to delete all entries of a context."""
    # A key of its own lets compaction keep the last of these records.
    key, header = f"hurnet-drop-context/{context}".encode(), ((DROP, context.encode()),)
    return [Outgoing(topic, None, key, header, partition) for partition in sorted(partitions)]
