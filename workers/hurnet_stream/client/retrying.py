"""Tries again what fails for a while: with growing waits, and never beyond the time that the call was given.

try 1   503, Retry-After: 2        wait 2 s, as the server says
try 2   the connection is lost     wait up to 0.1 s, by chance, so that many clients do not come together
try 3   503, Retry-After: 60       60 s are more than the call has left: this is its error
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from hurnet_stream.client.errors import ClientError

T = TypeVar("T")

FIRST_S: Final = 0.05
LONGEST_S: Final = 2.0
SOONEST_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Again:
    """This try failed with `error`, and another may not: after `after_s` seconds, if the server said when."""

    error: ClientError
    after_s: float | None = None


class Deadline:
    """A moment, `timeout_s` seconds from now."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._at = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """Seconds until then, at least 0."""
        return max(0.0, self._at - time.monotonic())


async def tried(once: Callable[[], Awaitable[T | Again]], deadline: Deadline) -> T:
    """What `once` returns when it does not fail. Raises the error of the last try if no time is left."""
    number = 0
    while True:
        outcome = await once()
        if not isinstance(outcome, Again):
            return outcome
        wait_s = pause_s(number, outcome.after_s)
        if wait_s >= deadline.left_s:
            raise outcome.error
        await asyncio.sleep(wait_s)
        number += 1


def pause_s(number: int, after_s: float | None) -> float:
    """Seconds to wait after try `number` (from 0)."""
    by_chance = random.uniform(SOONEST_S, min(LONGEST_S, FIRST_S * 2 ** min(number, 16)))  # noqa: S311 - no secret
    return by_chance if after_s is None else after_s + by_chance


def retry_after_s(value: str | None) -> float | None:
    """The seconds that a header Retry-After says, as a number or as a date; None if it says nothing."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdecimal():
        return float(value.strip()[:9])
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - time.time())
