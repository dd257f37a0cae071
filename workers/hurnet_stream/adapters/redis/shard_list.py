"""The shards that there are, as a writer to a cluster keeps them listed.

On one server a script lists a shard and begins it in one step. On a cluster the list stands in the store's
slot and the shard in its own, and each may fall back alone in a failover. So a writer sees to both before its
first append to a shard, and once more after every failover:

    1. what epoch has the shard?             none, or that of another store that stood here
    2. store's slot: is it still our store?  then list the shard
    3. shard's slot: as it was in 1?         then begin it, and put aside what another store has left

A worker of a store that is gone stops at 2. If it stopped for an hour between 2 and 3, the shard is no longer
as it was in 1, and stays as it is.
"""

from __future__ import annotations

from typing import Final

from hurnet_stream.adapters.redis.keys import Keys
from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.scripts import ENTER_SLOT, LIST_SHARD, SHARD_KEYS

PARTS: Final = (*SHARD_KEYS, "redacted", "fence", "unused", "settled")


class ShardList:
    """What this process has seen to. On one server there is nothing to see to."""

    def __init__(self, store: OpenedStore) -> None:
        self._store = store
        self._seen: set[int] = set()
        self._run_id = ""

    def see_to(self, partition: int, begin: bool = False) -> None:
        """Have the shard listed if it has begun, or begin it. Raises `StoreReplaced` if the store is not
        ours."""
        connection = self._store.connection
        if not connection.is_cluster:
            return
        if connection.primary.run_id != self._run_id:  # something may be lost
            self._seen, self._run_id = set(), connection.primary.run_id
        if (begin or partition not in self._seen) and self._listed(partition, begin):
            self._seen.add(partition)

    def _listed(self, partition: int, begin: bool) -> bool:
        store, epoch = self._store, self._store.meta.epoch
        names = [store.keys.shard(partition, part) for part in PARTS]
        raw = store.client.hget(names[0], "epoch")
        before = "" if raw is None else bytes(raw).decode(errors="replace")
        if before != epoch and not begin:
            return False
        store.run(LIST_SHARD, (store.keys.meta, store.keys.shards), epoch, partition)
        if before != epoch:
            aside = Keys(f"{store.keys.prefix}.aside-{before}", cluster=True)
            others = [aside.shard(partition, part) for part in PARTS]
            store.client.eval(ENTER_SLOT, 2 * len(names), *names, *others, epoch, before)
        return True
