"""Which slices are asked, of those that there are.

Slices of several counts may be there at once, while somebody changes their number. Those of the largest count
of which all are there are asked:

    there are                    asked
    0/2  1/2                     0/2  1/2
    0/2  1/2  0/4  2/4           0/2  1/2              1/4 and 3/4 are not there yet
    0/2  1/2  0/4  1/4  2/4  3/4     0/4  1/4  2/4  3/4
    0/4  1/4  3/4                0/4  1/4  3/4         2/4 is away: questions wait, or are answered without it

Of several processes that hold the same slice the one that was asked before is asked on, so that what a client
has seen is not forgotten. If that is gone, the one that has come furthest is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hurnet_stream.ports.slices import SliceHolding, SliceMember


@dataclass(frozen=True, slots=True)
class Chosen:
    """The slices to ask: `count` of them, and of each, by its number, the instance and what it says."""

    count: int
    asked: Mapping[int, tuple[str, SliceMember]] = field(default_factory=dict)

    @property
    def away(self) -> tuple[int, ...]:
        """The numbers of the slices that nobody holds who can be asked."""
        return tuple(number for number in range(self.count) if number not in self.asked)

    @property
    def is_complete(self) -> bool:
        """Whether all of them can be asked."""
        return self.count > 0 and len(self.asked) == self.count


def choose(
    present: Mapping[str, SliceMember], can_be_asked: Callable[[str, SliceMember], bool], before: Chosen
) -> Chosen:
    """The slices to ask from now on. `present` are all, by instance; `before` are those asked by now. If of
    no count all can be asked, it stays that of `before`."""
    usable = {name: each for name, each in present.items() if can_be_asked(name, each)}
    by_count: dict[int, dict[int, dict[str, SliceMember]]] = {}
    for name, member in usable.items():
        by_count.setdefault(member.count, {}).setdefault(member.number, {})[name] = member
    complete = [count for count, numbers in by_count.items() if len(numbers) == count]
    count = max(complete, default=before.count)
    numbers = by_count.get(count, {})
    return Chosen(
        count, {number: _one_of(held, before, count, number) for number, held in sorted(numbers.items())}
    )


def _one_of(
    held: Mapping[str, SliceMember], before: Chosen, count: int, number: int
) -> tuple[str, SliceMember]:
    """The one to ask, of those that hold this slice."""
    name, _ = before.asked.get(number, ("", None))
    if before.count != count or name not in held:
        name = min(held, key=lambda each: (-_progress(held[each]), each))
    return name, held[name]


def _progress(member: SliceMember) -> int:
    """How far it has come, as far as that can be said in one number."""
    return sum(sum(held.watermarks.values()) for held in member.holdings.values())


def holding_of(member: SliceMember, generation: int, epoch: str) -> SliceHolding | None:
    """What it holds of this generation, if it has all of it that was there at its start. `epoch` is that of
    the store, "" if that is not known. A slice of which no shard has entries yet knows none."""
    held = member.holdings.get(generation)
    if held is None or not held.caught_up:
        return None
    return held if not epoch or held.epoch in ("", epoch) else None
