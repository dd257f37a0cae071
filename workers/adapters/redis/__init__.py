"""The context, the solver's state and the leases in Redis or Valkey, on one server with or without replicas.

Every key begins with the prefix. Those that one step changes share a hash tag ({shard-P}, {solver}), so
that a Redis Cluster could hold them; but all shards are read in one round trip, which is for a single server.
"""

from workers.adapters.redis.connection import Bound, Connection, connect
from workers.adapters.redis.context import RedisContextStore
from workers.adapters.redis.lease import RedisLeaseStore
from workers.adapters.redis.weights import RedisWeightsStore

__all__ = ["Bound", "Connection", "RedisContextStore", "RedisLeaseStore", "RedisWeightsStore", "connect"]
