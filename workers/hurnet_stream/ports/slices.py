"""Slices: processes that hold part of the entries each, where they are, and how they are asked.

slice         says where it is (SliceMembers), and answers what comes in (SliceDoor)
coordinator   looks where slices are (SliceMembers), and asks all of them at once (SliceCalls)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class SliceHolding:
    """What a slice holds of one generation of the store. `watermarks` and `rows` are by shard."""

    epoch: str
    caught_up: bool
    watermarks: Mapping[int, int] = field(default_factory=dict)
    rows: Mapping[int, int] = field(default_factory=dict)
    deleting: Mapping[int, int] = field(default_factory=dict)
    """How many entries are out already of a deletion that the watermark has not passed yet."""


@dataclass(frozen=True, slots=True)
class SliceMember:
    """A process that holds slice `number` of `count`, and listens at `address` (HOST:PORT). `at_ms` is when
    it said so, by the clock of the store's server."""

    number: int
    count: int
    address: str
    holdings: Mapping[int, SliceHolding]
    """By number of the generation."""
    at_ms: int = 0


class SliceMembers(Protocol):
    """Which slices there are, as they say themselves."""

    def say(self, instance: str, member: SliceMember) -> None:
        """This slice is here, and holds this. To be said again every second."""

    def leave(self, instance: str) -> None:
        """This slice ends."""

    def present(self) -> Mapping[str, SliceMember]:
        """Those that have said so lately, by instance."""


class SliceCall(Protocol):
    """A request that came in, and waits for its reply."""

    @property
    def payload(self) -> bytes:
        """What is asked."""

    @property
    def is_awaited(self) -> bool:
        """Whether somebody still waits for the reply."""

    def reply(self, payload: bytes) -> None:
        """Answer it. Does nothing if nobody waits any more."""

    def refuse(self, reason: str, failed: bool = False) -> None:
        """Say why there is no answer. `failed`: there will be none to the same request."""


class SliceDoor(Protocol):
    """Where a slice is asked. The number of requests that wait, their bytes, and their time are bounded."""

    @property
    def address(self) -> str:
        """HOST:PORT that it listens at."""

    def take(self, wait_s: float) -> SliceCall | None:
        """The request that came first; None if none comes within `wait_s`."""

    def close(self) -> None:
        """Let nobody in any more. Who still waits is refused."""


Silence = Literal["away", "broke", "busy", "failed"]
"""away: it can't be reached, is too late, or holds nothing yet; broke: the connection ended when it had the
request in hand, perhaps it died of it; busy: too many wait already; failed: it can't answer this request."""


@dataclass(frozen=True, slots=True)
class NoReply:
    """Why a slice has not answered, for a person to read, and of which kind that is."""

    reason: str
    kind: Silence = "away"


class SliceCalls(Protocol):
    """How slices are asked."""

    def ask(self, calls: Sequence[tuple[str, bytes]], timeout_s: float) -> Sequence[bytes | NoReply]:
        """Send each payload to its address, all at once. Returns the replies in the same order, after
        `timeout_s` at most. Raises nothing because of what a slice does."""

    def close(self) -> None:
        """Release every connection."""
