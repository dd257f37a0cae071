"""A store of each kind: what the contract tests ask of it, and what can happen to it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import redis

from hurnet_stream.adapters.redis import (
    RedisEntryStore,
    RedisLeaseStore,
    RedisRequestClaims,
    RedisWeightsStore,
    connect,
)
from hurnet_stream.ports import EntryStore, LeaseStore, RequestClaims, WeightsStore
from hurnet_stream.settings.settings import RedisSettings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.lease_store import MemoryLeaseStore
from tests.memory.redis import Data, MemoryRedis
from tests.memory.request_claims import MemoryRequestClaims
from tests.memory.weights_store import MemoryWeightsStore


class Stores(Protocol):
    """A server, new clients of it with each call, and what can happen to it."""

    def entry_store(self) -> EntryStore: ...

    def weights(self) -> WeightsStore: ...

    def leases(self) -> LeaseStore: ...

    def claims(self, keep_s: float) -> RequestClaims: ...

    def snapshot(self) -> Any: ...

    def restore(self, snapshot: Any) -> None: ...

    def wipe(self) -> None: ...

    def snapshot_of(self, shard: int | None) -> Any:
        """Of what a cluster has in one slot: a shard, or all that is no shard's."""

    def restore_of(self, shard: int | None, snapshot: Any) -> None:
        """That slot fell back to this state, and the others did not."""

    def is_upgraded(self, min_reader: int, min_writer: int) -> None:
        """A newer program wrote to the store: from now on a client must understand these formats."""


class MemoryStores:
    def __init__(self) -> None:
        self.redis = MemoryRedis()

    def entry_store(self) -> EntryStore:
        return MemoryEntryStore(self.redis)

    def weights(self) -> WeightsStore:
        return MemoryWeightsStore(self.redis)

    def leases(self) -> LeaseStore:
        return MemoryLeaseStore(self.redis)

    def claims(self, keep_s: float) -> RequestClaims:
        return MemoryRequestClaims(self.redis, keep_s)

    def snapshot(self) -> Data:
        return copy.deepcopy(self.redis.data)

    def restore(self, snapshot: Data) -> None:
        self.redis.data = copy.deepcopy(snapshot)

    def wipe(self) -> None:
        self.redis.data = Data()

    def snapshot_of(self, shard: int | None) -> Any:
        data = copy.deepcopy(self.redis.data)
        return data if shard is None else data.shards.get(shard)

    def restore_of(self, shard: int | None, snapshot: Any) -> None:
        shards = self.redis.data.shards
        if shard is None:
            self.redis.data = replace(copy.deepcopy(snapshot), shards=shards)
        else:
            shards[shard] = copy.deepcopy(snapshot)

    def is_upgraded(self, min_reader: int, min_writer: int) -> None:
        self.redis.data.min_reader, self.redis.data.min_writer = min_reader, min_writer


class RedisStores:
    def __init__(self, url: str, prefix: str) -> None:
        self.settings = RedisSettings(url=url, prefix=prefix)
        own = connect(self.settings)
        self.keys = own.keys
        self.client: Any = own.client if own.is_cluster else redis.Redis.from_url(url)
        self.close: list[Callable[[], None]] = [self.client.close]

    def entry_store(self) -> RedisEntryStore:
        store = RedisEntryStore(connect(self.settings))
        self.close.append(store.close)
        return store

    def weights(self) -> RedisWeightsStore:
        connection = connect(self.settings)
        self.close.append(connection.close)
        return RedisWeightsStore(connection)

    def leases(self) -> RedisLeaseStore:
        connection = connect(self.settings)
        self.close.append(connection.close)
        return RedisLeaseStore(connection)

    def claims(self, keep_s: float) -> RedisRequestClaims:
        connection = connect(self.settings)
        self.close.append(connection.close)
        return RedisRequestClaims(connection, keep_s)

    def held(self) -> list[bytes]:
        return list(self.client.scan_iter(f"{self.settings.prefix}:*", count=1_000))

    def snapshot(self) -> dict[bytes, Any]:
        return {key: self.client.dump(key) for key in self.held()}

    def restore(self, snapshot: dict[bytes, Any]) -> None:
        self.wipe()
        for key, value in snapshot.items():
            self.client.restore(key, 0, value)

    def wipe(self) -> None:
        if keys := self.held():
            self.client.delete(*keys)

    def snapshot_of(self, shard: int | None) -> dict[bytes, Any]:
        return {key: self.client.dump(key) for key in self._of_slot(shard)}

    def restore_of(self, shard: int | None, snapshot: dict[bytes, Any]) -> None:
        if keys := self._of_slot(shard):
            self.client.delete(*keys)
        for key, value in snapshot.items():
            self.client.restore(key, 0, value)

    def _of_slot(self, shard: int | None) -> list[bytes]:
        if shard is None:
            # Without leases: what is restored would never expire.
            return [key for key in self.held() if b"{shard-" not in key and b":lease:" not in key]
        return [key for key in self.held() if b"{shard-%d}" % shard in key]

    def is_upgraded(self, min_reader: int, min_writer: int) -> None:
        key = self.keys.meta
        fields = json.loads(self.client.get(key))
        needs = {"format": 9, "min_reader": min_reader, "min_writer": min_writer, "added": "later"}
        self.client.set(key, json.dumps({**fields, **needs}))
