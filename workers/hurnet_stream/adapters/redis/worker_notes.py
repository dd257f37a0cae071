"""What workers leave in the store about themselves: their groups' progress, and who has what in hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.scripts import ATTEMPT, ENTER, LEAVE, REMEMBER_PROGRESS
from hurnet_stream.core.offsets import is_number
from hurnet_stream.errors import StoreError
from hurnet_stream.ports import Committed


class RedisGroupProgress:
    """`GroupProgress`: a hash per group, partition -> "OFFSET NOTE"."""

    def __init__(self, store: OpenedStore) -> None:
        self._store = store

    def remember(self, group: str, committed: Mapping[int, Committed]) -> None:
        if not committed:
            return
        fields = [part for partition, c in committed.items() for part in (partition, f"{c.offset} {c.note}")]
        keys = self._store.keys.meta, self._store.keys.progress(group)
        self._store.run(REMEMBER_PROGRESS, keys, self._store.meta.epoch, *fields)

    def read(self, group: str) -> Mapping[int, Committed]:
        key = self._store.keys.progress(group)
        progress: dict[int, Committed] = {}
        for raw_partition, raw_value in self._store.client.hgetall(key).items():
            partition = bytes(raw_partition).decode(errors="replace")
            offset, _, note = bytes(raw_value).decode(errors="replace").partition(" ")
            if not (is_number(offset) and is_number(partition)):
                raise StoreError(
                    f"{key} is corrupt: without that key, which holds offsets and nothing else, its topic is"
                    " read from where the group has committed, or from the beginning"
                )
            progress[int(partition)] = Committed(int(offset), note)
        return progress


class RedisPartitionMarks:
    """`PartitionMarks`: a hash per role."""

    def __init__(self, store: OpenedStore) -> None:
        self._store = store

    def enter(self, role: str, owner: str, partitions: frozenset[int]) -> Mapping[int, str]:
        reply = [bytes(part).decode() for part in self._run(ENTER, role, owner, *partitions)]
        return dict(zip(map(int, reply[::2]), reply[1::2], strict=True))

    def leave(self, role: str, owner: str, partitions: frozenset[int]) -> None:
        self._run(LEAVE, role, owner, *partitions)

    def attempt(self, role: str, owner: str, partition: int, record: str) -> int:
        return int(self._run(ATTEMPT, role, owner, partition, record))

    def _run(self, script: str, role: str, *arguments: Any) -> Any:
        keys = self._store.keys.meta, self._store.keys.working(role)
        return self._store.run(script, keys, self._store.meta.epoch, *arguments)
