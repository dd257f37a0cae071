"""From a request to a reply: what a slice says of the entries that it holds.

What can't be answered is refused with its reason, and the coordinator decides what becomes of the question.
No request ends a slice."""

from __future__ import annotations

import secrets
import time

import structlog

from hurnet_stream.core.shelf import DamagedShelf
from hurnet_stream.core.slices import codec
from hurnet_stream.core.slices.messages import Request
from hurnet_stream.core.slices.slice_index import SliceIndex, State
from hurnet_stream.metrics.slice import SliceMetrics
from hurnet_stream.ports.slices import SliceCall
from hurnet_stream.responder.generation import LoadedGeneration
from hurnet_stream.responder.serving import Serving
from hurnet_stream.responder.slices import wire

log = structlog.get_logger()

KNOWN_MOST = 1_000
"""Contexts that are kept ready at once."""


class SliceAnswers:
    """Answers out of the generations that `serving` holds."""

    def __init__(self, serving: Serving, metrics: SliceMetrics) -> None:
        self._serving = serving
        self._metrics = metrics
        # Rows are numbered in each process anew: a snapshot of another process is never one of this.
        self._process = secrets.token_hex(8)
        self._known: dict[tuple[int, str], SliceIndex] = {}
        """By generation and context, since entries were last taken in: so a filter is looked up once."""

    def moved(self) -> None:
        """Entries may be taken in."""
        self._known.clear()

    def opened(self, call: SliceCall) -> tuple[int, Request] | None:
        """What is asked; None if that is unreadable, and refused."""
        try:
            return wire.opened(call.payload)
        except ValueError as error:
            self._refuse(call, "unreadable", f"unreadable: {error}")
            return None

    def answer(self, call: SliceCall, number: int, request: Request) -> bool:
        """Answer `request` about generation `number`. False: it was refused."""
        held = self._held(number)
        if held is None or not held.following.caught_up:
            self._refuse(call, "unloaded", f"generation {number} is not loaded here")
            return False
        began = time.perf_counter()
        try:
            reply = codec.encode(self._index(held, request.context).answer(request))
        except DamagedShelf:
            self._refuse(call, "unloaded", "files of the index are damaged")
            raise
        except Exception as error:
            log.exception("a request could not be answered: this is a bug, please report it", private=True)
            self._refuse(call, "failed", f"{type(error).__name__}: {error}")
            return False
        call.reply(reply)
        self._metrics.answer_seconds.labels(wire.kind_of(request)).observe(time.perf_counter() - began)
        return True

    def _held(self, number: int) -> LoadedGeneration | None:
        both = (self._serving.current, self._serving.standby)
        return next((each for each in both if each and each.number == number), None)

    def _index(self, generation: LoadedGeneration, context: str) -> SliceIndex:
        place = generation.number, context
        if place not in self._known:
            if len(self._known) >= KNOWN_MOST:
                self._known.clear()
            memory = generation.memory
            snapshot = f"{self._process}/{memory.changes(context)}"
            state = State(snapshot, memory.epoch, memory.watermarks(), memory.deleting())
            self._known[place] = SliceIndex(memory.index(context), state)
        return self._known[place]

    def _refuse(self, call: SliceCall, reason: str, why: str) -> None:
        self._metrics.refused.labels(reason).inc()
        call.refuse(why, failed=reason == "failed")
