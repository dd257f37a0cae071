"""Leases: a key per role that holds its owner and expires."""

from __future__ import annotations

from typing import Final

from hurnet.adapters.redis.connection import Connection, guarded
from hurnet.adapters.redis.scripts import OURS
from hurnet.errors import StoreReplaced

_ACQUIRE: Final = (
    OURS
    + """
if ARGV[3] ~= '' and not ours(KEYS[2], ARGV[3]) then return false end
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""
)
_RELEASE: Final = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


class RedisLeaseStore:
    """`LeaseStore` (see the ports) in Redis, by the server's clock."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.place = connection.place
        self._client = connection.client
        self._prefix = connection.prefix
        self._bound = connection.bound

    @guarded
    def acquire(self, role: str, owner: str, ttl_s: float) -> str:
        ttl_ms = max(1, round(ttl_s * 1000))
        keys = self._key(role), f"{self._prefix}:meta"
        holder: bytes | None = self._client.eval(_ACQUIRE, len(keys), *keys, owner, ttl_ms, self._bound.epoch)
        if holder is None:
            raise StoreReplaced(
                f"{self.place} no longer holds the context whose {role} this is; no role is taken there"
            )
        return holder.decode(errors="replace")

    @guarded
    def release(self, role: str, owner: str) -> None:
        self._client.eval(_RELEASE, 1, self._key(role), owner)

    @guarded
    def holder(self, role: str) -> str | None:
        """Who holds the lease now."""
        holder = self._client.get(self._key(role))
        return holder.decode(errors="replace") if isinstance(holder, bytes) else None

    def _key(self, role: str) -> str:
        return f"{self._prefix}:lease:{role}"
