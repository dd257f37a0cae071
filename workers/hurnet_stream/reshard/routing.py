"""Which partition of the new topic a record goes to, and what is sent there for it.

    record of texts, 3 partitions           goes to, of texts-7
    key "a"                                 the partition that any producer of the key "a" takes
    key "hurnet-feedback/...", 0/12         0: what hurnet itself sends keeps its partition, modulo the number
    no key, 1/8                             (1 + 8) modulo 7 = 2, so that such texts are spread evenly

A header says where a record came from, so that it can be found by its old name. Key, value, time and all
other headers stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hurnet_schemas.places import Place, record_place
from hurnet_schemas.text import OWN_KEYS
from hurnet_stream.core.stored.batch import Entry
from hurnet_stream.ports import Outgoing, Record
from hurnet_stream.records import FORGET, text_of

ORIGIN: Final = "hurnet-origin"
"""Header of a record that was forwarded: where it stood before, as topic/partition/offset."""


@dataclass(frozen=True, slots=True)
class Route:
    """From the topic `origin` to `topic`, which has so many `partitions`. `key_of` gives the record key of an
    entry, if that follows from what it says: the store has digests of keys alone."""

    origin: str
    topic: str
    partitions: int
    key_of: Callable[[Entry], bytes | None] = lambda _entry: None

    def forwarded(self, record: Record) -> Outgoing:
        """The same record for the new topic."""
        headers = (*record.headers, self._origin(record.partition, record.offset))
        partition = self._partition(record.key, record.partition, record.offset)
        return Outgoing(self.topic, record.value, record.key, headers, partition, max(0, record.timestamp_ms))

    def rewritten(self, partition: int, entry: Entry) -> Outgoing:
        """A record for an entry whose own record Kafka no longer holds."""
        key = self.key_of(entry)
        headers = (self._origin(partition, entry.offset),)
        to = self._partition(key, partition, entry.offset)
        return Outgoing(self.topic, text_of(entry).encode(), key, headers, to, entry.timestamp_ms)

    def forgetting(self, partition: int, offset: int, place: tuple[int, int]) -> Outgoing:
        """A record that deletes what stands at `place` (partition, offset) of the new topic, because the one
        at `partition` and `offset` of the old one deletes what it was."""
        to, target = place
        key = f"hurnet-forget/{to}/{target}".encode()
        headers = ((FORGET, b"%d" % target), self._origin(partition, offset))
        return Outgoing(self.topic, None, key, headers, to)

    def place(self, record: Record) -> tuple[int, int] | None:
        """Where a record of the new topic stood in the old one, as (partition, offset); None if it was sent
        to the new one, or deletes something."""
        origin = record.header(ORIGIN)
        if origin is None or record.value is None:
            return None
        try:
            found: Place = record_place(origin.decode())
        except ValueError:
            return None
        return (found.partition, found.offset) if found.topic == self.origin else None

    def _origin(self, partition: int, offset: int) -> tuple[str, bytes]:
        return ORIGIN, f"{self.origin}/{partition}/{offset}".encode()

    def _partition(self, key: bytes | None, partition: int, offset: int) -> int | None:
        if key is None:
            return (partition + offset) % self.partitions
        return partition % self.partitions if key.startswith(OWN_KEYS.encode()) else None
