"""What calls return that is no message of a topic."""

from __future__ import annotations

from dataclasses import dataclass

from hurnet_schemas.places import Marks, ShardName


class Watermarks(dict[ShardName, int]):
    """Offsets up to which something was written: by partition of the topic of texts, or by TOPIC/PARTITION of
    another one.

    `a | b` has the higher offset of each, so that who has seen it has seen both:

        >>> Watermarks({0: 41}) | {0: 39, "tickets/3": 7}
        Watermarks({0: 41, 'tickets/3': 7})
    """

    def __or__(self, other: Marks) -> Watermarks:  # type: ignore[override] # never less than both
        joined = Watermarks(self)
        for name, offset in other.items():
            joined[name] = max(offset, joined.get(name, -1))
        return joined

    __ror__ = __or__  # type: ignore[assignment]

    def __ior__(self, other: Marks) -> Watermarks:  # type: ignore[override]
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
