"""A context in slices, all of them in this process: what a coordinator asks goes over the wire format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.slices.codec import decode, encode
from hurnet_stream.core.slices.conversation import Conversation
from hurnet_stream.core.slices.messages import Reply, Request
from hurnet_stream.core.slices.slice_index import SliceIndex, State


@dataclass
class Slices:
    """Indexes by the number of their slice. `away` slices do not reply; `rounds` counts how often all were
    asked, `bytes` what went to and fro, and `closed` who was told that it is over."""

    indexes: Sequence[ContextIndex]
    away: set[int] = field(default_factory=set)
    moved: Mapping[int, int] = field(default_factory=dict)
    rounds: int = 0
    bytes: int = 0
    closed: list[int] = field(default_factory=list)
    before_round: Callable[[int], None] = lambda _: None

    def conversation(self) -> Conversation:
        return Conversation(self.ask, range(len(self.indexes)), "c", "conversation")

    def ask(self, requests: Mapping[int, Request]) -> Mapping[int, Reply]:
        self.rounds += 1
        self.before_round(self.rounds)
        return {
            number: self._reply(number, each) for number, each in requests.items() if number not in self.away
        }

    def _reply(self, number: int, request: Request) -> Reply:
        state = State(f"{number}/{self.moved.get(number, 0)}", watermarks={number: 1})
        asked = encode(request)
        reply = encode(SliceIndex(self.indexes[number], state).answer(decode(Request, asked)))
        self.closed += [number] * request.last
        self.bytes += len(asked) + len(reply)
        return decode(Reply, reply)
