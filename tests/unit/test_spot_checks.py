"""Spot checks: which offsets they take, how these count, and that a lost text shows in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.operations.proof import ShardProof
from hurnet_stream.operations.spot_checks import counted, sample_ranges
from hurnet_stream.ports import OffsetRange
from tests.worlds.deleting import World
from tests.worlds.verifying import verification


@given(st.integers(-1, 50), st.integers(0, 60), st.integers(1, 20), st.integers(0, 1_000))
def test_a_sample_is_the_newest_offsets_and_others_that_both_sides_hold(
    watermark: int, oldest: int, size: int, seed: int
) -> None:
    in_topic = {0: OffsetRange(oldest, 100)}
    ranges = list(sample_ranges({0: watermark}, in_topic, size, Random(seed)))
    offsets = [offset for _, first, last in ranges for offset in range(first, last + 1)]
    assert len(set(offsets)) == len(offsets) <= 2 * size
    assert all(oldest <= offset <= watermark for offset in offsets)
    there = max(0, watermark - oldest + 1)
    assert {*range(max(oldest, watermark - size + 1), watermark + 1)} <= {*offsets}
    assert len(offsets) == min(there, 2 * size) or there > size


def test_every_offset_counts_once() -> None:
    proofs = [
        ShardProof(0, 0, 99, entries=60, deleted=10),  # 30 offsets hold nothing on either side
        ShardProof(0, 100, 199, entries=50, unproved=20, erased=5),
        ShardProof(1, 10, 19, entries=3, difference=(14, "the store lacks this entry")),
    ]
    assert counted(map(asdict, proofs)) == {"ok": 100 + 75 + 4, "different": 1, "unproved": 25 + 5}


def checked(world: World, *ranges: tuple[int, int, int], until: Mapping[int, int]) -> dict[str, int]:
    proofs = [verification(world).shard(*each, until=until[each[0]]) for each in ranges]
    return counted(map(asdict, proofs))


def taken_in() -> World:
    world = World()
    for i in range(20):
        world.send(f"text number {i}", key=f"k{i % 4}")
    world.delete_key("k1")
    world.delete_at("2")
    world.take_in()
    return world


def test_deletions_are_found_behind_a_range_and_believed_beyond_what_is_read() -> None:
    world = taken_in()
    assert checked(world, (0, 0, 9), until={0: 21}) == {"ok": 10, "different": 0, "unproved": 0}
    assert checked(world, (0, 0, 9), until={0: 19}) == {"ok": 6, "different": 0, "unproved": 4}


def test_a_lost_text_is_a_difference() -> None:
    world = taken_in()
    shard = world.redis.data.shards[0]
    shard.batches = [
        replace(
            batch,
            entries=[e for e in batch.entries if e.offset != 11],
            vectors=batch.vectors[[e.offset != 11 for e in batch.entries]],
        )
        for batch in shard.batches
    ]
    assert checked(world, (0, 10, 14), until={0: 21}) == {"ok": 1, "different": 1, "unproved": 3}
