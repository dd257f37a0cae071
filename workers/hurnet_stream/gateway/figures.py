"""Live figures: one look at the system a second for all who listen, and none if nobody does.

    listeners   A   B   C                  one reader, however many there are
    1 s         ◀── figures 17 ──▶         to each its own view, with the contexts of its key
    2 s         ◀── figures 18 ──▶         a listener that is slow misses some; nothing waits for it

If a look takes long, listeners get a line of comment every `BEAT_S`, so that they know the line is alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from hurnet_stream.gateway.freshness import Freshness
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.keys import Key
from hurnet_stream.overview.running import missing
from hurnet_stream.overview.system_status import Status

log = structlog.get_logger()

EVERY_S: Final = 1.0
BEAT_S: Final = 5.0
LISTENERS_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class Look:
    """One look: its number, when it ended (monotonic seconds), and what it saw."""

    number: int
    at_s: float
    figures: Mapping[str, Any]


class Figures:
    """Looks as long as somebody listens."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._latest: Look | None = None
        self._changed = asyncio.Condition()
        self._one_looks = asyncio.Lock()
        self._freshness = Freshness()
        self._listeners = 0
        self._looking: asyncio.Task[None] | None = None

    async def once(self) -> Mapping[str, Any]:
        """A look of now, or of less than a second ago."""
        async with self._one_looks:  # those who come meanwhile are told what it sees
            latest = self._latest
            if latest and time.monotonic() - latest.at_s < EVERY_S:
                return latest.figures
            return (await self._look()).figures

    async def listen(self) -> AsyncGenerator[Look | None, None]:
        """Looks as they come, and None if none has come for `BEAT_S`. Ends when the gateway does."""
        self._listeners += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())
        try:
            number = 0
            while not self._gateway.ending.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S), self._changed:
                        await self._changed.wait_for(partial(self._is_new, number))
                look = self._latest if self._is_new(number) else None
                if not self._gateway.ending.is_set():
                    yield look
                number = look.number if look else number
        finally:
            self._listeners -= 1

    def _is_new(self, number: int) -> bool:
        return self._gateway.ending.is_set() or (self._latest is not None and self._latest.number > number)

    async def _look_on(self) -> None:
        while self._listeners and not self._gateway.ending.is_set():
            began = time.monotonic()
            try:
                await self._look()
            except Exception:  # whatever it is: those who listen hear nothing new, and the next look may do
                log.exception("a look at the system failed: this is a bug, please report it")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, began + EVERY_S - time.monotonic())):
                    await self._gateway.ending.wait()
        async with self._changed:
            self._changed.notify_all()

    async def _look(self) -> Look:
        status = await self._gateway.blocking(self._gateway.readings.status)
        now_s, before = time.monotonic(), self._latest
        fresh_ms = self._freshness.p99_ms(status.pages, now_s)
        figures = (
            told(status)
            | {
                "at_ms": round(1000 * time.time()),
                "rates": rates(before, status.ends, now_s),
                "questions_under_way": self._gateway.switchboard.waiting,
            }
            | ({"freshness_ms": fresh_ms} if status.pages else {})
        )
        self._latest = Look(before.number + 1 if before else 1, now_s, figures)
        async with self._changed:
            self._changed.notify_all()
        return self._latest


def told(status: Status) -> dict[str, Any]:
    """A status as JSON, with what is wrong in words."""
    absent = missing(status.workers, status.solver, status.store_read)
    unready = [f"{page.role} at {page.address}: {page.says}" for page in status.pages if not page.ready]
    return status.as_dict() | {"wrong": [*absent, *unready, *status.warnings]}


def rates(before: Look | None, ends: Mapping[str, int], now_s: float) -> dict[str, float]:
    """Records a second of each topic since the look before; empty at first."""
    if before is None or now_s <= before.at_s:
        return {}
    passed_s, past = now_s - before.at_s, before.figures["ends"]
    return {name: round(max(0, end - past[name]) / passed_s, 2) for name, end in ends.items() if name in past}


def seen_by(key: Key, figures: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the contexts that the key does not reach."""
    if key.reaches_all:
        return figures
    return {
        **figures,
        "contexts": [name for name in figures["contexts"] if key.reaches(name)],
        "weights": [told for told in figures["weights"] if key.reaches(told["context"])],
    }
