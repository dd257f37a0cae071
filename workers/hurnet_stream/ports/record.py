"""A Kafka record as it was read, and one that is to be sent."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from hurnet_schemas.base import InvalidReason
from hurnet_stream.core import places
from hurnet_stream.core.stored.batch import Anchor

Headers = tuple[tuple[str, bytes | None], ...]
CORRELATION_ID = "correlation-id"
"""Header of a query that comes back with its answer: which query it answers."""
REPLY_TO = "reply-to"
"""Header of a query: the topic that its answer goes to."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a stretch of a partition can't be read as records, and what is known of it.

    The record that carries the fault stands for every offset from `first` to its own. `size` is in bytes,
    `excerpt` is the beginning of these bytes, and `sha256` the digest of all of them.
    """

    reason: InvalidReason
    detail: str
    first: int
    size: int
    excerpt: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it came from Kafka.

    `value` is None for a tombstone. A record with a `fault` has the value b"", so that nobody takes it for
    a tombstone. `leader_epoch` is the epoch of the broker that took the record in, or -1 if the broker
    does not tell it. `number` is that of its topic in the store (core/places.py).
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    fault: Fault | None = None
    leader_epoch: int = -1
    number: int = places.TEXTS

    @property
    def shard(self) -> int:
        """The shard that the record's partition fills."""
        return places.shard_of(self.number, self.partition)

    @property
    def first_position(self) -> int:
        """Where in its shard the record's entries begin."""
        if self.number == places.TEXTS:
            return self.offset  # as below, for every record of a first fill
        return places.first_position(self.shard, self.offset)

    @property
    def last_position(self) -> int:
        """The watermark of its shard after the record."""
        return places.last_position(self.shard, self.offset)

    @property
    def anchor(self) -> Anchor:
        """What ties a shard to its log if this is the last record that the shard has seen."""
        digest = hashlib.blake2b(struct.pack("<qq", self.offset, self.timestamp_ms), digest_size=8)
        headers = (part for name, value in self.headers for part in (name.encode(errors="replace"), value))
        for part in (self.key, self.value, *headers):
            # The length goes first, so that two different records never give the same bytes.
            digest.update(b"\0" if part is None else struct.pack("<BQ", 1, len(part)) + part)
        return Anchor(self.offset, self.leader_epoch, digest.hexdigest())

    @property
    def coordinates(self) -> str:
        """The record's place as topic/partition/offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    def header(self, name: str) -> bytes | None:
        """The value of the last header of that name (b"" if it has none); None if there is no such header."""
        return next((value or b"" for key, value in reversed(self.headers) if key == name), None)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be sent. Without a value it is a tombstone.

    Without a partition the key decides where it goes. Without a key, too, the client picks a partition.
    """

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int | None = None
