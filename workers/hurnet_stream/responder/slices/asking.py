"""Asking the slices of one generation: where they are, and what they say.

Where slices are is looked up twice a second. One that did not answer is not asked again until it has shown
that it does, and another process that holds the same slice is asked in its place. It is tried again after
half a second, then after one, two, ... eight. That costs others nothing but the short wait for such a try.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count as counted

import structlog

from hurnet_stream.core.slices import codec
from hurnet_stream.core.slices.conversation import Conversation
from hurnet_stream.core.slices.messages import Reply, Request, Stand, Standing
from hurnet_stream.errors import SliceFailing
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports.slices import NoReply, SliceCalls, SliceHolding, SliceMember, SliceMembers
from hurnet_stream.responder.slices import wire
from hurnet_stream.responder.slices.choosing import Chosen, choose, holding_of

log = structlog.get_logger()

LOOK_S = 0.5
"""How often it is looked up where slices are."""
TRY_S = 0.5
"""How long one is waited for that did not answer before."""
RETRY_FIRST_S, RETRY_MOST_S = 0.5, 8.0
"""After these it is tried again."""


class SliceRefused(Exception):
    """A slice could not answer what it was asked: one of the questions is the reason."""


@dataclass(slots=True)
class _Silent:
    """An instance that did not answer: when it is tried again (monotonic seconds), and the pause after
    that."""

    again_at: float
    pause_s: float


class Slices:
    """Those that hold generation `number` of the store."""

    def __init__(
        self, members: SliceMembers, calls: SliceCalls, count: int, timeout_s: float, metrics: HoldingMetrics
    ) -> None:
        """`count` is that of the settings: these are waited for while of no count all can be asked."""
        self.number = 0
        """Of the generation."""
        self.chosen = Chosen(count)
        self.epoch = ""
        """That of the store."""
        self._members = members
        self._calls = calls
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._present: Mapping[str, SliceMember] = {}
        self._looked_at = float("-inf")
        self._silent: dict[str, _Silent] = {}
        self._names = (f"{secrets.token_hex(6)}-{n}" for n in counted())
        self._said: tuple[int, ...] = ()

    def shown_by(self, metrics: HoldingMetrics) -> None:
        """From now on these metrics show it."""
        self._metrics = metrics

    @property
    def holdings(self) -> Mapping[int, SliceHolding]:
        """By its number, what each slice that is asked holds, as it said last."""
        found = {number: each.holdings.get(self.number) for number, (_, each) in self.chosen.asked.items()}
        return {number: held for number, held in found.items() if held is not None}

    def look(self) -> bool:
        """Look up where slices are, if it is time for it, and choose anew. Whether it was."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return False
        self._looked_at = now
        self._present = self._members.present()
        self._silent = {name: each for name, each in self._silent.items() if name in self._present}
        self._try_again(now)
        self._choose()
        return True

    def stand(self) -> None:
        """Have each slice that is asked say how far it is."""
        replies = self.ask({number: self._stand() for number in self.chosen.asked})
        given = {number: next(iter(reply.given), None) for number, reply in replies.items()}
        self.stand_at({number: each for number, each in given.items() if isinstance(each, Standing)})

    def stand_at(self, standings: Mapping[int, Standing]) -> None:
        """What slices say of themselves now takes the place of what they said last."""
        for number, standing in standings.items():
            name, member = self.chosen.asked[number]
            if held := member.holdings.get(self.number):
                now = replace(held, watermarks=standing.watermarks, deleting=standing.deleting)
                said = replace(member, holdings={**member.holdings, self.number: now})
                self._present = {**self._present, name: said}
        self._choose()

    def ended(self, how: str) -> None:
        """A conversation has: ok, moved or away."""
        if isinstance(self._metrics, ResponderMetrics):
            self._metrics.conversations.labels(how).inc()

    def ask(self, requests: Mapping[int, Request]) -> Mapping[int, Reply]:
        """The replies of slices, by their numbers, all asked at once. One that does not answer is left out,
        and not chosen any more. Raises `SliceRefused` if one can't answer, and `SliceFailing` if one was gone
        in the middle of it."""
        asked = {number: self.chosen.asked[number] for number in requests if number in self.chosen.asked}
        calls = [
            (member.address, wire.enveloped(self.number, requests[number]))
            for number, (_, member) in asked.items()
        ]
        began = time.perf_counter()
        replies = self._calls.ask(calls, self._timeout_s)
        if isinstance(self._metrics, ResponderMetrics) and requests:
            kind = wire.kind_of(next(iter(requests.values())))
            self._metrics.round_seconds.labels(kind).observe(time.perf_counter() - began)
        return self._understood(asked, replies)

    def conversation(self, context: str) -> Conversation:
        """A new one with all slices that can be asked."""
        return Conversation(self.ask, list(self.chosen.asked), context, next(self._names))

    def close(self) -> None:
        self._calls.close()

    def _stand(self, of: str = "") -> Request:
        """What asks a slice how far it is. Nobody holds still for it."""
        return Request(next(self._names), of, "", (Stand(),), last=True)

    def _choose(self) -> None:
        self.chosen = choose(self._present, self._can_be_asked, self.chosen)
        away = self.chosen.away
        if isinstance(self._metrics, ResponderMetrics):
            self._metrics.slices.set(self.chosen.count)
            self._metrics.slices_away.set(len(away))
        if away != self._said:
            log.warning("slices are away", away=list(away), count=self.chosen.count) if away else log.info(
                "all slices can be asked", count=self.chosen.count
            )
        self._said = away

    def _can_be_asked(self, name: str, member: SliceMember) -> bool:
        return name not in self._silent and holding_of(member, self.number, self.epoch) is not None

    def _understood(
        self, asked: Mapping[int, tuple[str, SliceMember]], replies: Sequence[bytes | NoReply]
    ) -> Mapping[int, Reply]:
        found: dict[int, Reply] = {}
        failed: NoReply | None = None
        for (number, (name, _)), reply in zip(asked.items(), replies, strict=True):
            if isinstance(reply, bytes):
                found[number] = codec.decode(Reply, reply)
            elif reply.kind in ("away", "broke"):
                self._fell_silent(name, reply)
            if isinstance(reply, NoReply) and reply.kind != "away":
                failed = reply
        if failed and failed.kind == "failed":
            raise SliceRefused(failed.reason)
        if failed:
            raise SliceFailing(f"a slice does not answer: {failed.reason}", broke=failed.kind == "broke")
        return found

    def _fell_silent(self, name: str, why: NoReply) -> None:
        """It is not asked until it has shown that it answers."""
        log.warning("a slice does not answer", instance=name, reason=why.reason)
        self._silent.setdefault(name, _Silent(time.monotonic() + RETRY_FIRST_S, RETRY_FIRST_S))
        self._choose()

    def _try_again(self, now: float) -> None:
        """Ask those again, all at once, whose pause is over."""
        due = {name: each for name, each in self._silent.items() if now >= each.again_at}
        if not due:
            return
        payload = wire.enveloped(self.number, self._stand())
        replies = self._calls.ask([(self._present[name].address, payload) for name in due], TRY_S)
        for (name, silent), reply in zip(due.items(), replies, strict=True):
            if isinstance(reply, bytes):
                del self._silent[name]
                continue
            silent.pause_s = min(RETRY_MOST_S, 2 * silent.pause_s)
            silent.again_at = time.monotonic() + silent.pause_s
