"""What one client, and all together, may take at a time. Nobody queues: what is too much is refused at once.

Rates, by a bucket that empties evenly (GCRA). A bucket is one number, the moment at which it will be empty:

    rate 2 a second, so each request fills in 0.5 s          now   empty at
    a request: the bucket was empty, it is taken              10.0    10.5
    a batch of 64 questions: there is room for one, taken      10.0    42.5     all of it is charged
    a request: the bucket is ahead by 32.5 s, refused          10.0    42.5     Retry-After: 32

So a client that keeps to its rate is never refused, a burst of a second's worth is taken, and a batch that
costs more than that is taken once and paid for afterwards. The memory is a number a key.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

BURST_S: Final = 1.0
"""How much of its rate a client may use at once."""
ROUNDING_S: Final = 1e-9
BUCKETS_MOST: Final = 10_000
"""Buckets that are kept, more than there can be keys."""


class TooMuch(Exception):
    """It is refused. `again_s` is when it may be taken, in seconds from now."""

    def __init__(self, why: str, again_s: float) -> None:
        super().__init__(why)
        self.why = why
        self.again_s = again_s


class Rates:
    """How many requests a second each key may make. `clock_s` never goes back."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._empty_at_s: OrderedDict[str, float] = OrderedDict()

    def take(self, name: str, rate: float) -> None:
        """Count one request of this name, whose rate is `rate` a second; 0 is no limit. Raises `TooMuch` if
        its bucket is full."""
        if rate <= 0:
            return
        now_s = self._clock_s()
        ahead_s = max(0.0, self._empty_at_s.get(name, now_s) - now_s)
        # The bucket holds a second's worth, and always one request.
        room_s = max(BURST_S, 1 / rate) - 1 / rate
        if ahead_s > room_s + ROUNDING_S:
            raise TooMuch("rate", ahead_s - room_s)
        self.charge(name, rate, 1)

    def charge(self, name: str, rate: float, cost: int) -> None:
        """Count so many requests, whether they have room or not."""
        if rate <= 0:
            return
        now_s = self._clock_s()
        self._empty_at_s[name] = max(now_s, self._empty_at_s.get(name, now_s)) + cost / rate
        self._empty_at_s.move_to_end(name)
        while len(self._empty_at_s) > BUCKETS_MOST:
            self._empty_at_s.popitem(last=False)


@dataclass(slots=True)
class Places:
    """A fixed number of places, such as for questions under way. `again_s` is what those are told who find
    none."""

    why: str
    most: int
    again_s: float = 1.0
    taken: int = 0

    @contextmanager
    def held(self, count: int = 1) -> Iterator[None]:
        """Hold so many places within the block. Raises `TooMuch` at once if they are not free; more than
        there are at all can be held only alone."""
        if self.taken and self.taken + count > self.most:
            raise TooMuch(self.why, self.again_s)
        self.taken += count
        try:
            yield
        finally:
            self.taken -= count
