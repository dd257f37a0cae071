"""Reading what is written to a topic from now on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hurnet_stream.ports.record import Record


class Listener(Protocol):
    """Reads some partitions of a topic, apart from any group, from where they ended when it was made."""

    def poll(self, timeout_s: float) -> Sequence[Record]:
        """The committed records that have come since the last call. Waits up to `timeout_s` for the first."""

    def close(self) -> None:
        """Release every connection."""
