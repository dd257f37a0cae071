"""`LeaseStore` in Redis: a key per role that holds its owner and expires by the server's clock."""

from __future__ import annotations

from hurnet_stream.adapters.redis.connection import Connection, guarded
from hurnet_stream.adapters.redis.scripts import ACQUIRE_LEASE, RELEASE_LEASE
from hurnet_stream.errors import StoreReplaced


class RedisLeaseStore:
    """`LeaseStore` (see hurnet_stream/ports/lease_store.py) in Redis."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.server_name = connection.server_name
        self._client = connection.client
        self._keys = connection.keys
        self._bound = connection.bound

    @guarded
    def acquire(self, role: str, owner: str, ttl_s: float) -> str:
        """Raises `StoreReplaced` if the store that this process opened is no longer there."""
        ttl_ms = max(1, round(ttl_s * 1000))  # SET PX refuses 0
        keys = self._keys.lease(role), self._keys.meta
        holder = self._client.eval(ACQUIRE_LEASE, len(keys), *keys, owner, ttl_ms, self._bound.epoch)
        if holder is None:
            raise StoreReplaced(
                f"{self.server_name} no longer holds the store whose {role} this is; no role is taken there"
            )
        return bytes(holder).decode(errors="replace")

    @guarded
    def release(self, role: str, owner: str) -> None:
        self._client.eval(RELEASE_LEASE, 1, self._keys.lease(role), owner)

    @guarded
    def holder(self, role: str) -> str | None:
        """Who holds the lease now; None if nobody does."""
        holder = self._client.get(self._keys.lease(role))
        return holder.decode(errors="replace") if isinstance(holder, bytes) else None
