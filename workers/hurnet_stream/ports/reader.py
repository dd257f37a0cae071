"""What a record of a topic says: entries to remember, or a deletion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hurnet_stream.core.stored.batch import Deletion, Entry
from hurnet_stream.ports.record import Record


@dataclass(frozen=True, slots=True)
class Taught:
    """What a record teaches: one entry, the chunks of a long text in their order, or nothing to remember.

    `key` is what the entries came under. If they replace, they take the place of all that their context held
    under the key in their shard.
    """

    entries: Sequence[Entry]
    key: bytes | None = None
    replaces: bool = False


class Reader(Protocol):
    """Reads the records of one kind of topic."""

    def read(self, record: Record) -> Taught | Deletion:
        """What the record says. Raises `InvalidMessage` if that can't be understood, and `TransientError` as
        long as something that is needed for it, such as a registry of schemas, does not answer."""


Read = Callable[[Record], Taught | Deletion]


@dataclass(frozen=True, slots=True)
class Readers:
    """The readers of all topics: one for the topic of texts, and others by the name of their topic."""

    texts: Reader
    others: Mapping[str, Reader] = field(default_factory=dict)

    def read(self, record: Record) -> Taught | Deletion:
        """What the record says, as its topic's reader understands it. Raises as that does."""
        return self.others.get(record.topic, self.texts).read(record)
