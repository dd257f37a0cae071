"""Reading questions and sending answers such that both count together or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from hurnet_stream.ports.partition_offsets import Committed, EndOffsets
from hurnet_stream.ports.record import Outgoing
from hurnet_stream.ports.source import Source

RollBack = Literal["partitions-lost", "fenced", "deadline", "refused", "stalled", "broker"]
"""Why a delivery was rolled back: other members have the partitions now; another producer took over the
transactional id; the deadline passed; a message or its topic was refused; some topics do not acknowledge;
or a broker failed."""


class Exchange(Source, Protocol):
    """A source whose offsets commit in one transaction with the messages that were made from its records."""

    def deliver(
        self,
        messages: Sequence[Outgoing],
        next_offsets: Mapping[int, int],
        notes: Mapping[int, str] | None = None,
    ) -> bool:
        """Send the messages and commit the offsets as one step (`notes` as in `commit`).

        True: all of it happened. False: none of it happened, the positions are back at the committed
        offsets, and the caller must drop what it holds.

        Raises `Superseded` if another producer has taken over this one's transactional id. Raises
        `Undeliverable` if a message or its topic is refused, and `Stalled` if some topics do not
        acknowledge though others do; before either of these two, the positions go back as for False.
        """

    def rolled_back_by(self) -> RollBack:
        """Why the last delivery that did not happen did not happen."""

    def progress(self, partitions: frozenset[int]) -> Mapping[int, Committed | None]:
        """As `committed`, together with the strings that are stored beside the offsets."""

    def cuts(self, ends: Mapping[int, int]) -> Mapping[int, int]:
        """Where the log was cut off below an end up to which the caller has read.

        `ends` gives that end per partition, as of the last call of `progress`. The reply gives, for each
        partition that was cut off, the first offset that may hold another record than before.
        """

    def end_offsets(self, topic: str, max_age_s: float) -> EndOffsets | None:
        """The last known ends of any topic; None if nothing is known yet. Never waits.

        If what is known is older than `max_age_s`, the broker is asked in the background, a few times a
        second at most.
        """

    def rewind(self) -> None:
        """Go back to the committed offsets: what was polled and not delivered comes again."""

    def has_topic(self, topic: str) -> bool:
        """Whether `topic` exists. The reply may be some seconds old."""

    def unwritable(self, topic: str) -> str | None:
        """Why `topic` takes no messages now, or None if nothing speaks against it.

        The reply may be some seconds old.
        """


class ForwardingExchange(Exchange, Protocol):
    """An exchange that tells where its messages stand."""

    def written(self) -> Sequence[tuple[int, int]]:
        """The (partition, offset) of each message of the last delivery; empty if that is not known, because
        the broker's answer was lost."""
