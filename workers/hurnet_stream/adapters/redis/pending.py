"""Since when rows wait to be erased.

A member of a shard's set `pending` is (offset of the entry, offset of the record that deletes it), in the
order of the entries. The record of a deletion stands in the shard like a batch, with its timestamp.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from hurnet_stream.adapters.redis.keys import Keys
from hurnet_stream.adapters.redis.shard_reader import ShardReader

LOOKED_AT: Final = 1_000
"""Pending rows that are looked at in each shard."""


def deletion_timestamps_ms(client: Any, keys: Keys, reader: ShardReader) -> Iterator[int]:
    """By shard, the timestamp of the first record of those that delete its first pending rows. A deletion
    whose last part is not stored yet has none."""
    partitions = list(reader.states())
    pipe = client.pipeline(transaction=False)
    for partition in partitions:
        pipe.zrange(keys.shard(partition, "pending"), 0, LOOKED_AT - 1)
    for partition, members in zip(partitions, pipe.execute(), strict=True):
        if not members:
            continue
        offset = min(int.from_bytes(member[8:], "big") for member in members)
        batch = reader.batch_reaching(partition, offset)
        if batch and batch.deletion and (batch.deletion.replaces or batch.deletion.offset == offset):
            yield batch.deletion.timestamp_ms
