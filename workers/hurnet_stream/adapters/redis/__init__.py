"""The store, the solver's state and the leases in Redis or Valkey, on one server, with replicas, or a
cluster.

keys.py           every key, in one table: begin here
entry_store.py    the entries of all contexts; its parts are named there
weights_store.py  the solver's checkpoint and the weights in force
lease_store.py    one worker of a role at a time
request_claims.py who writes what a request asks for
scripts/          what the server does in one atomic step, in Lua
connecting.py     from settings to a connection
permitted.py      which commands and keys our user lacks
connection.py     what every command goes through: is it still the primary, and what do errors mean
generations.py    which generations there are, and connections to one of them
copy_notes.py     what a second generation is filled with beside batches
forward_notes.py  what a topic is forwarded with beside its records
presence.py       which generations each responder holds
slices.py         which slices there are, and what each holds
keyed_store.py    the same with digests of keys under a secret
aside.py          one store moves away and a new one begins (`hurnet repair`)
"""

from hurnet_stream.adapters.redis.connecting import connect
from hurnet_stream.adapters.redis.connection import Bound, Connection
from hurnet_stream.adapters.redis.copy_notes import RedisCopyNotes
from hurnet_stream.adapters.redis.entry_store import RedisEntryStore
from hurnet_stream.adapters.redis.forward_notes import RedisForwardNotes
from hurnet_stream.adapters.redis.generations import (
    RedisGenerations,
    at_generation,
    connect_epoch,
    connect_serving,
    connect_to,
    embedder_name,
    generation_at,
    generation_of,
    serving_of,
)
from hurnet_stream.adapters.redis.keyed_store import KeyedEntryStore
from hurnet_stream.adapters.redis.lease_store import RedisLeaseStore
from hurnet_stream.adapters.redis.permitted import forbidden_commands
from hurnet_stream.adapters.redis.presence import RedisResponderPresence
from hurnet_stream.adapters.redis.request_claims import RedisRequestClaims
from hurnet_stream.adapters.redis.slices import RedisSliceMembers
from hurnet_stream.adapters.redis.weights_store import RedisWeightsStore

__all__ = [
    "Bound",
    "Connection",
    "KeyedEntryStore",
    "RedisCopyNotes",
    "RedisEntryStore",
    "RedisForwardNotes",
    "RedisGenerations",
    "RedisLeaseStore",
    "RedisRequestClaims",
    "RedisResponderPresence",
    "RedisSliceMembers",
    "RedisWeightsStore",
    "at_generation",
    "connect",
    "connect_epoch",
    "connect_serving",
    "connect_to",
    "embedder_name",
    "forbidden_commands",
    "generation_at",
    "generation_of",
    "serving_of",
]
