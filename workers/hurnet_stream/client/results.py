"""What calls return that is no message of a topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class Watermarks(dict[int, int]):
    """Offsets of the topic of texts by partition, up to which something was written.

    `a | b` has the higher offset of each partition, so that who has seen it has seen both:

        >>> Watermarks({0: 41}) | {0: 39, 1: 7}
        Watermarks({0: 41, 1: 7})
    """

    def __or__(self, other: Mapping[int, int]) -> Watermarks:  # type: ignore[override] # never less than both
        joined = Watermarks(self)
        for partition, offset in other.items():
            joined[partition] = max(offset, joined.get(partition, -1))
        return joined

    __ror__ = __or__  # type: ignore[assignment]

    def __ior__(self, other: Mapping[int, int]) -> Watermarks:  # type: ignore[override]
        self.update(self | other)
        return self

    def __repr__(self) -> str:
        return f"Watermarks({super().__repr__()})"


@dataclass(frozen=True, slots=True)
class Corrected:
    """A correction that was written at `feedback` (topic/partition/offset).

    `taught` says whether its effect was seen. An answer that is asked for after `watermarks` knows it."""

    feedback: str
    watermarks: Watermarks
    taught: bool


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A deletion that was written: `records` (topic/partition/offset each) ask for it. An answer that is
    asked for after `watermarks` no longer comes from what was deleted."""

    records: tuple[str, ...]
    watermarks: Watermarks
