"""What a client needs of the way to hurnet: Kafka and HTTP are two.

Everything else is the same for both: what a call's arguments mean, how many questions are under way, and
how a generator is taught piece by piece. All calls are made in one event loop, end within `timeout_s`
seconds, and raise `ClientError`. A call whose task is cancelled leaves nothing behind that grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hurnet_schemas import Feedback, Query, Reply, TextEvent
from hurnet_schemas.places import Place
from hurnet_stream.client.results import Corrected, Forgotten, Watermarks


@dataclass(frozen=True, slots=True)
class Keyed:
    """A text, and the key of its record: `forget` can name it."""

    event: TextEvent
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Forget:
    """What is to be deleted: the entries of a record, or all entries of a context that came under a key."""

    entry: Place | None = None
    key: str | None = None
    context: str | None = None


class Transport(Protocol):
    """A way to hurnet."""

    async def ask(self, query: Query, timeout_s: float) -> Reply:
        """The reply to a query."""

    async def teach(self, texts: Sequence[Keyed], timeout_s: float) -> Watermarks:
        """Write these texts, in this order. If this raises `InvalidRequest`, none of them is written."""

    async def correct(self, feedback: Feedback, wait_s: float, timeout_s: float) -> Corrected:
        """Write feedback, and wait up to `wait_s` for its effect."""

    async def forget(self, what: Forget, timeout_s: float) -> Forgotten:
        """Write a deletion."""

    async def close(self) -> None:
        """Release every connection. Calls under way end with `Closed`."""
