"""What all routes share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from hurnet_stream.client.switchboard import Switchboard
from hurnet_stream.gateway.bodies import Held
from hurnet_stream.gateway.children import Children
from hurnet_stream.gateway.keys import Key, Keys
from hurnet_stream.gateway.limits import Places, Rates, TooMuch
from hurnet_stream.gateway.problems import busy
from hurnet_stream.gateway.readings import Readings
from hurnet_stream.gateway.writes import Writes
from hurnet_stream.metrics.gateway import GatewayMetrics
from hurnet_stream.settings.settings import Settings

T = TypeVar("T")

READING_MOST: Final = 32
"""Requests at once that read from the store or from Kafka. One more is refused."""

BLOCKING_MOST: Final = 4
"""Calls at once that block a thread: of Redis, and of Kafka's administration."""


@dataclass(slots=True)
class Gateway:
    """One running gateway. `threads` are for calls that block, and `ending` is set once it is to stop.

    Raises `ConfigurationError` if the file of keys can't be used."""

    settings: Settings
    switchboard: Switchboard
    metrics: GatewayMetrics
    readings: Readings
    writes: Writes
    keys: Keys = field(init=False)
    rates: Rates = field(default_factory=Rates)
    bodies: Held = field(init=False)
    reading: Places = field(default_factory=lambda: Places("reading", READING_MOST))
    children: Children = field(default_factory=Children)
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(BLOCKING_MOST, thread_name_prefix="blocking")
    )

    def __post_init__(self) -> None:
        self.keys = Keys(self.settings.gateway.keys)
        self.bodies = Held(self.settings.gateway.body)

    async def blocking(self, call: Callable[[], T]) -> T:
        """What `call` returns. It runs in one of a few threads, so that it holds up no other request."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, call)

    def take(self, key: Key) -> None:
        """Count a request by this key. Raises `Problem` (429) if it is one too many."""
        rate = self._rate(key)
        try:
            self.rates.take(key.name, rate)
        except TooMuch as error:
            raise busy(429, f"more than {rate:g} requests a second by this key", error.again_s) from None

    def charge(self, key: Key, cost: int) -> None:
        """Count so many further requests, which are done already: those that follow wait longer."""
        self.rates.charge(key.name, self._rate(key), cost)

    def _rate(self, key: Key) -> float:
        return self.settings.gateway.rate if key.rate is None else key.rate

    def unready(self) -> list[str]:
        """Why it can't serve; empty if it can."""
        if self.ending.is_set():
            return ["stopping"]
        troubles = dict.fromkeys((self.switchboard.trouble(), self.writes.group.trouble()))
        return [trouble for trouble in troubles if trouble]

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.writes.close()
        self.switchboard.close()
        self.readings.close()
