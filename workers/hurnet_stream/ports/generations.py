"""Which generations there are, and what a second one is filled with beside batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hurnet_stream.core.stored.generations import Generations

FORWARDED = "reshard"
"""The group under which a forwarder notes in the new store how far the old topic is forwarded, and as the
note beside it, which offsets of the new topic that takes (`offsets.spelled`)."""
Step = Callable[[Generations], Generations]


class GenerationsStore(Protocol):
    """The one value that says which generations there are, and which of them answers."""

    def read(self) -> Generations | None:
        """None: the store never had a second generation."""

    def change(self, step: Step) -> Generations:
        """Make one step from what holds now, in one atomic step; returns what holds then.

        `step` may be called again if somebody else was quicker. What it raises is raised, and nothing is
        changed. Raises `StoreError` if there is no store yet.
        """


@dataclass(frozen=True, slots=True)
class Presence:
    """What a responder says of itself: which generations it has loaded, and which one it answers with."""

    holds: frozenset[int]
    serving: int


class ResponderPresence(Protocol):
    """Which responders there are, and what they hold."""

    def say(self, instance: str, holds: Collection[int], serving: int) -> None:
        """This responder is here. To be said again every few seconds."""

    def leave(self, instance: str) -> None:
        """This responder ends."""

    def present(self) -> Mapping[str, Presence]:
        """Those that have said so lately, by instance."""


class CopyNotes(Protocol):
    """What a follower needs of two generations beside their batches, shard by shard.

    A batch that is read from a store does not say which record keys its entries came under. While a shard is
    followed, its store keeps that by offset, and compacts no deletion away that was not copied yet.
    """

    def share_log(self) -> None:
        """The second store is filled from the same log: one cluster, and topics with the same numbers."""

    def follow(self, partition: int, watermark: int) -> None:
        """From now on this shard is followed, and copied up to `watermark`. Costs a look at all its keys."""

    def copied(self, partition: int, watermark: int) -> None:
        """It is copied up to `watermark`."""

    def keys_of(self, partition: int, offsets: Sequence[int]) -> Sequence[bytes | None]:
        """The digests of the record keys that these entries of the first store came under, in order. None:
        it had none, or what came under the key was deleted before the shard was followed."""

    def leave_out(self, partition: int, reasons: Mapping[int, str]) -> None:
        """Note that the entries at these offsets are not in the second generation, and why."""

    def take_back(self, partition: int, offsets: Sequence[int]) -> None:
        """The entries at these offsets are deleted: if they were left out, they no longer count as such."""

    def left_out(self) -> int:
        """How many entries the second generation leaves out."""


class ForwardNotes(Protocol):
    """What a forwarder needs of the old store beside its batches, and leaves in the new one."""

    def follow(self, partition: int, done: int) -> None:
        """All of this shard of the old store up to the offset `done` is forwarded. Deletions beyond that are
        not compacted away."""

    def deleted(self, partition: int, first: int, last: int) -> frozenset[int]:
        """The offsets from `first` to `last` of entries of the old store that are deleted and not erased
        yet."""

    def leave_out(self, partition: int, reasons: Mapping[int, str]) -> None:
        """Note that the entries at these offsets are not in the new topic, and why."""

    def left_out(self) -> int:
        """How many entries the new topic leaves out."""
