"""The in-memory twin of `RedisLeaseStore`."""

from __future__ import annotations

import time

from tests.memory.redis import MemoryRedis


class MemoryLeaseStore:
    """Fills `hurnet_stream.ports.LeaseStore`."""

    def __init__(self, redis: MemoryRedis | None = None) -> None:
        self._redis = redis or MemoryRedis()

    def acquire(self, role: str, owner: str, ttl_s: float) -> str:
        with self._redis.changed:
            now = time.monotonic()
            holder, expires = self._redis.data.leases.get(role, (owner, now))
            if holder != owner and expires > now:
                return holder
            self._redis.data.leases[role] = owner, now + ttl_s
            return owner

    def release(self, role: str, owner: str) -> None:
        with self._redis.changed:
            if self._redis.data.leases.get(role, ("", 0))[0] == owner:
                del self._redis.data.leases[role]
