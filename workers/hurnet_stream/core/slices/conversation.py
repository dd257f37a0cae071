"""One conversation of a coordinator with the slices of a context: rounds in which all are asked at once.

    round 1    slices 0, 1, 2 asked    0 and 2 reply        1 is away: it is not asked again
    round 2    slices 0, 2 asked       0 and 2 reply
               slice 2 has moved on    `Moved`              begin again: its row numbers hold no longer
               slice 2 is away         `Away`               begin again, without it

All that is asked is read, so a conversation that breaks off leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from hurnet_stream.core.slices.messages import Asked, Given, Reply, Request

Ask = Callable[[Mapping[int, Request]], Mapping[int, Reply]]
"""Asks slices all at once, by their numbers, and gives their replies. A slice that is away, or too late, is
left out."""


class Moved(Exception):
    """The rows of a slice are not what they were when the conversation began. Begin again."""


class Away(Exception):
    """A slice has gone away in the middle of a conversation. Begin again."""


G = TypeVar("G", bound=Given)


def by_slice(kind: type[G], given: Mapping[int, Sequence[Given]], place: int = 0) -> dict[int, G]:
    """What stands at one place of what each slice gave. Raises ValueError if it is of another kind."""
    return {number: of(kind, each[place]) for number, each in given.items()}


def of(kind: type[G], given: Given) -> G:
    """What was given, which must be of this kind. Raises ValueError if it is not."""
    if not isinstance(given, kind):
        raise ValueError(f"a slice gave {type(given).__name__}, not {kind.__name__}")
    return given


class Conversation:
    """With the slices of these numbers, about one context. `name` tells it from all others."""

    def __init__(self, ask: Ask, slices: Sequence[int], context: str, name: str) -> None:
        self._ask = ask
        self._name = name
        self.context = context
        self.slices = list(slices)
        """The slices that take part: after the first round those that replied to it."""
        self.missing: list[int] = []
        """The slices that did not reply to the first round."""
        self._snapshots: dict[int, str] = {}

    def all(self, *asked: Asked) -> dict[int, tuple[Given, ...]]:
        """What every slice gives, each being asked the same."""
        return self.each(dict.fromkeys(self.slices, asked))

    def each(self, asked: Mapping[int, tuple[Asked, ...]]) -> dict[int, tuple[Given, ...]]:
        """What each of these slices gives, each being asked its own. Those that are asked nothing give
        nothing. Raises Moved and Away, and ValueError for a reply that does not fit what was asked."""
        requests = {number: self._request(number, parts) for number, parts in asked.items() if parts}
        if not requests:
            return dict.fromkeys(asked, ())
        replies = self._ask(requests)
        if not self._snapshots:
            self._began(replies)
        given: dict[int, tuple[Given, ...]] = dict.fromkeys(asked, ())
        for number, request in requests.items():
            if number in self._snapshots:
                given[number] = self._checked(number, request, replies.get(number))
        return {number: given[number] for number in given if number in self._snapshots}

    def close(self) -> None:
        """Nothing more is asked: the slices need not hold still."""
        if self._snapshots:
            self._ask({number: self._request(number, (), last=True) for number in self.slices})
            self.slices = []

    def _request(self, number: int, parts: tuple[Asked, ...], last: bool = False) -> Request:
        return Request(self._name, self.context, self._snapshots.get(number, ""), parts, last)

    def _began(self, replies: Mapping[int, Reply]) -> None:
        self._snapshots = {number: replies[number].snapshot for number in self.slices if number in replies}
        self.missing = [number for number in self.slices if number not in replies]
        self.slices = list(self._snapshots)
        if not self.slices:
            raise Away("no slice replies")

    def _checked(self, number: int, request: Request, reply: Reply | None) -> tuple[Given, ...]:
        if reply is None:
            raise Away(f"slice {number} does not reply any more")
        if reply.moved or reply.snapshot != self._snapshots[number]:
            raise Moved(f"slice {number}: {reply.moved or 'it has another snapshot'}")
        if len(reply.given) != len(request.asked):
            raise ValueError(f"slice {number} gave {len(reply.given)} parts for {len(request.asked)}")
        return reply.given
