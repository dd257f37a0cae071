"""The context, the solver's state and the leases in Redis or Valkey, on one server with or without replicas.

Every key begins with the prefix. Those that one step changes share a hash tag ({shard-P}, {solver}), so
that a Redis Cluster could hold them; but all shards are read in one round trip, which is for a single server.
"""

from hurnet.adapters.redis.connection import Bound, Connection, connect
from hurnet.adapters.redis.entry_store import RedisEntryStore
from hurnet.adapters.redis.lease import RedisLeaseStore
from hurnet.adapters.redis.weights import RedisWeightsStore

__all__ = ["Bound", "Connection", "RedisEntryStore", "RedisLeaseStore", "RedisWeightsStore", "connect"]
