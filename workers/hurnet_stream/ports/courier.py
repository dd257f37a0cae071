"""Sending and hearing without ever waiting: for whoever measures how long others take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hurnet_stream.ports.record import Outgoing


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The message that was posted under `ticket` is at this offset of this partition."""

    ticket: str
    partition: int
    offset: int
    at: float


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The message that was posted under `ticket` was not acknowledged, and will not be."""

    ticket: str
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class Replied:
    """A reply was read. Its correlation id may be somebody else's. `record` is topic/partition/offset."""

    correlation: str
    value: bytes | None
    at: float
    record: str


News = Acknowledged | Undelivered | Replied
"""What happened, and when: `at` is in monotonic seconds, taken where it happened and not where it is told."""


class Courier(Protocol):
    """Sends messages, and reads one topic of replies from now on. No call waits for a server."""

    def post(self, ticket: str, message: Outgoing) -> None:
        """Send it. What becomes of it is told once, by an `Acknowledged` or an `Undelivered`."""

    def receive(self, timeout_s: float) -> Sequence[News]:
        """What has happened since the last call, in order; waits up to `timeout_s` for the first."""

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has, as of some seconds ago; 0 as long as that is not known."""

    def trouble(self) -> str | None:
        """Why no replies can be read at the moment; None if they can."""

    def close(self) -> None:
        """Release every connection."""
