"""The in-memory twin of `RedisRequestClaims`."""

from __future__ import annotations

import time
from collections.abc import Callable

from hurnet_stream.ports import Claim, Standing
from tests.memory.redis import MemoryRedis


class MemoryRequestClaims:
    """Fills `hurnet_stream.ports.RequestClaims`. `keep_s` is how long a claim is remembered."""

    def __init__(
        self, redis: MemoryRedis, keep_s: float = 86_400, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._keep_s = keep_s
        self._clock = clock

    def put(self, key: str, claim: Claim, instead_of: Claim | None) -> Standing:
        with self._redis.changed:
            held, age_s = self._held(key)
            if held != instead_of:
                return Standing(False, held, age_s)
            self._redis.data.claims[key] = claim, self._clock()
            return Standing(True, claim)

    def drop(self, key: str, claim: Claim) -> None:
        with self._redis.changed:
            if self._held(key)[0] == claim:
                del self._redis.data.claims[key]

    def _held(self, key: str) -> tuple[Claim | None, float]:
        claim, put_at = self._redis.data.claims.get(key, (None, self._clock()))
        age_s = self._clock() - put_at
        return (None, 0.0) if age_s >= self._keep_s else (claim, age_s)
