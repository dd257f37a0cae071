"""Which shard belongs to which slice: its partition's number, modulo how many slices there are.

    3 slices          partition 0  1  2  3  4       tickets/0  tickets/1
    held by slice               0  1  2  0  1       0          1

Nobody has to agree on it, or to remember it: whoever knows a shard and the number of slices knows its slice.
So a shard that is new needs no assignment, and a slice that starts needs to ask nobody."""

from __future__ import annotations

from collections.abc import Collection

from hurnet_stream.core.places import partition_of


def slice_of(shard: int, count: int) -> int:
    """The number of the slice, of `count`, that holds this shard."""
    return partition_of(shard) % count


def shards_of(numbers: Collection[int], count: int, shards: Collection[int]) -> list[int]:
    """Those of `shards`, in order, that belong to one of these slices."""
    return [shard for shard in sorted(shards) if slice_of(shard, count) in numbers]
