"""Writing messages together, and finding out later whether they were written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hurnet_stream.ports.record import Outgoing, Record


@dataclass(frozen=True, slots=True)
class Found:
    """The records that were looked for, by partition and offset, and the offsets up to which was read.
    `complete` says that this is the end, as it was when the search began."""

    records: Sequence[Record]
    positions: Mapping[int, int]
    complete: bool


class AtomicSink(Protocol):
    """A producer whose messages of one call become visible together or not at all.

    It writes under a name. After a failure of which the end is not known it takes a new one, and no name ever
    comes back. So whoever knows under which name something was to be written can `fence` that name: then it
    was written before, or never will be, and `find` tells which of the two.

    `begin`, `write` and `close` belong to one thread; the others may be called by any.
    """

    @property
    def name(self) -> str:
        """The name under which the next `write` writes; "" while there is none."""

    def begin(self) -> None:
        """Get ready to write, if that is not so already: end what the last name has left, and take a new
        one."""

    def write(self, messages: Sequence[Outgoing], under: str) -> Sequence[tuple[int, int]]:
        """Write the messages, and return the (partition, offset) of each.

        Raises:
            Superseded: `under` is not the name any more. Nothing was written.
            Undeliverable: a message or a topic is refused. Nothing was written, and the name stays unless
                somebody has fenced it, or may have.
            TransientError: all of it may have been written, or none. The name is given up.
        """

    def fence(self, name: str) -> None:
        """From its return on nothing more is written under `name`, by whatever process, and all that was
        written can be read."""

    def ends(self, topic: str) -> Mapping[int, int]:
        """By partition the offset of the next record. Raises `ConfigurationError` if there is no such
        topic."""

    def find(
        self, topic: str, wanted: Callable[[Record], bool], since: Mapping[int, int], patience_s: float
    ) -> Found:
        """The committed records that are `wanted`, from the offsets `since` on, as far as they can be read in
        `patience_s`. A partition that `since` does not name is read from its beginning."""

    def close(self) -> None:
        """Release every connection."""
