"""A slice: it holds the entries of some shards, and answers what coordinators ask about them.

A turn of its loop does four things, each of them bounded in time:

    look      which generations of the store are there?                  ../serving.py
    say       where it is and what it holds, once a second               ports/slices.py
    follow    take in what is new in its shards, unless it must hold     ../following.py, stillness.py
              still for a conversation
    answer    what is asked, in the order in which it came               answering.py

It needs the store alone. Who reaches its port can read what is in its entries, so it listens on loopback
unless a secret or certificates are set."""

from __future__ import annotations

import gc
import os
import socket
import time
from collections import deque
from functools import partial

import structlog

from hurnet_stream.core.slices.messages import Request
from hurnet_stream.errors import HurnetError, TransientError
from hurnet_stream.metrics.slice import SliceMetrics
from hurnet_stream.ports import (
    GenerationsStore,
    SliceCall,
    SliceDoor,
    SliceHolding,
    SliceMember,
    SliceMembers,
)
from hurnet_stream.responder.generation import LoadedGeneration
from hurnet_stream.responder.serving import Load, Serving
from hurnet_stream.responder.showing import HeldShowing
from hurnet_stream.responder.slices.answering import SliceAnswers
from hurnet_stream.responder.slices.sharing import slice_of
from hurnet_stream.responder.slices.stillness import Stillness
from hurnet_stream.runtime.progress import Progress
from hurnet_stream.settings.settings import Settings

log = structlog.get_logger()

SAY_S = 1.0
"""How often it says what it holds."""
TURN_S = 0.05
"""How long a turn answers, before it looks at the store again."""
IDLE_S = 0.02
"""Longest wait for a request before looking for new entries."""

Waiting = tuple[SliceCall, int, Request]
"""A request that has come too late for the conversations that are open, and the generation it asks for."""


class SliceWorker:
    """The worker: `step` is one turn. `number` is that of its slice."""

    name = "slice"

    def __init__(
        self,
        first: LoadedGeneration,
        door: SliceDoor,
        members: SliceMembers,
        number: int,
        settings: Settings,
        metrics: SliceMetrics,
    ) -> None:
        chosen = settings.slices
        self._number, self._count = number, chosen.count
        self._door = door
        self._members = members
        self._metrics = metrics
        self._instance = chosen.instance or f"{socket.gethostname()}:{os.getpid()}"
        first.following.only(self.belongs)
        self._serving = Serving(first, metrics)
        self._answers = SliceAnswers(self._serving, metrics)
        self._still = Stillness(chosen.hold)
        self._waiting: deque[Waiting] = deque()
        self._progress = Progress(settings.metrics)
        self._showing = HeldShowing(metrics)
        self._said_at = float("-inf")
        metrics.number.set(number)
        metrics.count.set(chosen.count)
        metrics.describe(embedder=first.name, fingerprint=first.embedder.identity.fingerprint)

    def choosing_by(self, known: GenerationsStore, load: Load, number: int) -> SliceWorker:
        """Hold its share of all generations in `known`. The one that it was made with is `number`, and `load`
        opens others."""
        self._serving.current.numbered(number)
        self._serving.by(known, partial(self._loaded, load), None, self._instance)
        return self

    def belongs(self, shard: int) -> bool:
        """Whether a shard is one of this slice."""
        return slice_of(shard, self._count) == self._number

    def step(self) -> None:
        """Follow the store, and answer what is asked for a moment."""
        moved = 0
        try:
            with self._serving.turn():
                moved = self._turn()
        finally:
            self._observe(moved)

    def unready(self) -> list[str]:
        if not self._serving.current.following.caught_up:
            return ["loading the store"]
        return self._progress.unready()

    def standing(self) -> str:
        return f"slice {self._number} of {self._count}, at {self._door.address}"

    def drain(self) -> None:
        """Coordinators need not find out by themselves that it ends."""
        self._members.leave(self._instance)

    def close(self) -> None:
        self._door.close()
        self._serving.close()
        gc.unfreeze()  # what is held goes with this worker

    def _turn(self) -> int:
        """Returns how many entries were taken in and requests answered."""
        self._metrics.stage.begin_turn()
        self._serving.look()
        self._say()
        moved = 0
        if not self._still.left_s(time.monotonic()):
            self._metrics.cut.inc(self._still.moved())
            self._answers.moved()
            moved = self._follow()
        moved += self._answer()
        self._metrics.conversations_open.set(len(self._still))
        return moved

    def _follow(self) -> int:
        current = self._serving.current
        current.refresh()
        with self._metrics.stage("tail"):
            moved = current.following.follow(queries_wait=False)
            self._serving.follow(queries_wait=bool(self._waiting))
        self._serving.save()
        return moved

    def _answer(self) -> int:
        """What has waited for entries to be taken in, then what comes for a moment. Returns how much was
        answered."""
        answered = 0
        waited, self._waiting = self._waiting, deque()
        for each in waited:
            answered += self._take(*each)
        until = time.monotonic() + TURN_S
        wait_s = IDLE_S if not answered and not self._serving.current.following.behind else 0.0
        while call := self._next(wait_s):
            if opened := self._answers.opened(call):
                answered += self._take(call, *opened)
            now = time.monotonic()
            if now >= until:
                break
            wait_s = min(IDLE_S, self._still.left_s(now))  # whoever has begun goes on soon
        return answered

    def _next(self, wait_s: float) -> SliceCall | None:
        with self._metrics.stage("wait"):
            return self._door.take(wait_s)

    def _take(self, call: SliceCall, generation: int, request: Request) -> bool:
        """Answer a request, or let it wait until entries were taken in. Whether it was answered."""
        now = time.monotonic()
        if not call.is_awaited:
            return False
        if not self._still.joins(request.conversation, now):
            self._waiting.append((call, generation, request))
            return False
        with self._metrics.stage("answer"):
            if not self._answers.answer(call, generation, request):
                return False
        if request.last:
            self._still.ended(request.conversation)
        else:
            self._still.began(request.conversation, now)
        return True

    def _loaded(self, load: Load, *asked: object) -> LoadedGeneration:
        generation = load(*asked)  # type: ignore[arg-type]
        generation.following.only(self.belongs)
        return generation

    def _say(self) -> None:
        now = time.monotonic()
        if now - self._said_at < SAY_S:
            return
        self._said_at = now
        both = [each for each in (self._serving.current, self._serving.standby) if each]
        held = {each.number: _holding(each) for each in both}
        member = SliceMember(self._number, self._count, self._door.address, held)
        try:
            self._members.say(self._instance, member)
        except TransientError:
            raise
        except HurnetError as error:
            log.warning("could not say where this slice is", error=str(error))

    def _observe(self, moved: int) -> None:
        """Once a turn, also if it failed: readiness and metrics."""
        current = self._serving.current
        self._progress.turn(has_share=True, behind=current.following.behind, moved=moved)
        self._showing.show(current)


def _holding(generation: LoadedGeneration) -> SliceHolding:
    memory = generation.memory
    watermarks = dict(memory.watermarks())
    rows = {shard: memory.shard_rows(shard) for shard in watermarks}
    return SliceHolding(memory.epoch, generation.following.caught_up, watermarks, rows)
