"""Sending records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hurnet_stream.ports.record import Outgoing


class Sink(Protocol):
    """A producer."""

    def send(self, messages: Sequence[Outgoing]) -> Sequence[tuple[int, int]]:
        """Send the messages and wait until all in-sync replicas have acknowledged each of them.

        Returns the (partition, offset) of each message, in the order of `messages`. Raises
        `Undeliverable` if the broker refuses a message for what it is.
        """

    def close(self) -> None:
        """Release every connection."""
