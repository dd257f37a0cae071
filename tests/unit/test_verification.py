"""The proof, in memory: what it finds equal, and that it tells every kind of difference where it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_stream.core.stored.batch import Batch, Entry, ShardState
from hurnet_stream.errors import StoreGap, Unreadable, UpgradeNeeded
from hurnet_stream.operations.proof import ShardProof
from hurnet_stream.ports import Tail
from hurnet_stream.solver import solver as solver_module
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.deleting import EMBEDDER, Schedule, World
from tests.worlds.verifying import verification, whole


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)


def taught() -> World:
    """Two shards, a dead letter, and in the first shard two deletions of three entries, long erased."""
    world = World()
    for i in range(12):
        world.send(f"text number {i}", f"answer {i % 3}", key=f"k{i % 4}", partition=i % 2)
    world.send("no pair", context="two")
    world.delete_at("1")
    world.delete_key("k0")
    world.delete_key(None)
    world.send("the last one", "answer 9")
    world.take_in()
    return world


def tamper(world: World, offset: int, **changes: object) -> None:
    """Change an entry of shard 0 behind everyone's back."""
    shard = world.redis.data.shards[0]
    for i, batch in enumerate(shard.batches):
        entries = [replace(e, **changes) if e.offset == offset else e for e in batch.entries]  # type: ignore[arg-type]
        shard.batches[i] = replace(batch, entries=entries)


def test_what_was_taken_in_is_equal_deletions_and_dead_letters_included() -> None:
    proof = whole(taught())
    assert proof.equal
    assert proof.unproved == 0
    assert proof.shards == [
        ShardProof(0, 0, 10, entries=4, deleted=4),
        ShardProof(1, 0, 5, entries=6),
    ]
    assert sorted(proof.digests) == ["one"]


def test_changed_statistics_are_told_though_all_entries_are_equal() -> None:
    world = taught()
    statistics = world.redis.data.checkpoint.statistics["one"]
    row = EMBEDDER.embed(["text number 3"])
    statistics.subtract(row, ["answer 0"])
    proof = whole(world)
    assert not proof.equal
    assert proof.differences == {"one": "the solver counts 8 pairs, the replay 9"}
    statistics.add(EMBEDDER.embed(["something else"]), ["answer 0"])
    assert whole(world).differences == {"one": "the sums of 1 answers differ, the first is 'answer 0'"}
    assert all(shard.difference is None for shard in proof.shards)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": "another"}, "another text"),
        ({"answer": "x"}, "another answer"),
        ({"context": "two", "metadata": {"a": "b"}}, "another context, metadata"),
    ],
)
def test_the_first_changed_entry_is_told(changes: dict[str, object], said: str) -> None:
    world = taught()
    tamper(world, 5, **changes)
    tamper(world, 10, text="and another")
    assert whole(world).shards[0].difference == (5, f"the store has {said}")


def test_a_changed_vector_is_told() -> None:
    world = taught()
    for batch in world.redis.data.shards[1].batches:
        batch.vectors[[entry.offset == 2 for entry in batch.entries], 3] += 1
    assert whole(world).shards[1].difference == (2, "the store has another vector")


def test_a_lost_entry_and_an_invented_one_are_told() -> None:
    world = taught()
    shard = world.redis.data.shards[1]
    batch = shard.batches[-1]
    shard.batches[-1] = replace(batch, entries=batch.entries[:-1], vectors=batch.vectors[:-1])
    assert whole(world).shards[1].difference == (5, "the store lacks this entry")
    shard.batches[-1] = batch
    invented = Batch(0, 9, [Entry(9, 0, "one", "invented", "x")], np.ones((1, 32), np.int16))
    world.redis.data.shards[0].batches.insert(-1, invented)
    assert whole(world).shards[0].difference == (9, "the store has an entry, and the topic no valid text")


def test_what_retention_took_is_trusted_and_counted() -> None:
    world = taught()
    world.kafka.delete_before("texts", 0, 4)
    proof = whole(world)
    assert proof.equal
    assert [(s.entries, s.unproved) for s in proof.shards] == [(3, 1), (6, 0)]
    world.kafka.delete_before("texts", 0, 9)  # the deletions' records too
    proof = whole(world)
    assert proof.equal
    assert [(s.entries, s.unproved) for s in proof.shards] == [(1, 3), (6, 0)]
    world.kafka.delete_before("texts", 0, 11)
    world.kafka.delete_before("texts", 1, 6)
    assert (whole(world).equal, whole(world).unproved) == (True, 10)


def test_a_range_is_compared_alone() -> None:
    world = taught()
    tamper(world, 5, text="another")
    found = verification(world)
    assert found.shard(0, 0, 4, 10).difference is None
    assert found.shard(0, 6, 10, 10).difference is None
    assert found.shard(0, 3, 6, 10) == ShardProof(
        0, 3, 6, entries=1, deleted=1, difference=(5, "the store has another text")
    )


def test_a_topic_that_is_shorter_than_the_context_is_refused() -> None:
    world = taught()
    world.redis.data.checkpoint.shards[1] = ShardState(6, 6, "")
    with pytest.raises(StoreGap, match="partition 1 ends at offset 6, but the store has seen 6"):
        whole(world)


def test_a_checkpoint_that_is_behind_is_compared_at_its_own_watermarks() -> None:
    world = taught()
    checkpoint = MemoryWeightsStore(world.redis).load_checkpoint(32)
    world.delete_at("2")
    world.send("later", "answer 0")
    world.take_in()
    found = verification(world).whole(checkpoint)
    assert found.equal
    assert found.shards[0].last == 10
    assert whole(world).equal


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_happened_it_is_equal(data: st.DataObject) -> None:
    schedule = Schedule(data)
    acts = [schedule.send, schedule.delete, schedule.step_ingest, schedule.step_solver, schedule.crash]
    acts.append(schedule.change_mode)
    for act in data.draw(st.lists(st.sampled_from(acts), max_size=25)):
        act()
        proof = whole(schedule.world)
        assert proof.equal, proof
    schedule.send()
    if schedule.ingest:
        schedule.ingest.close()
    schedule.world.take_in()
    assert whole(schedule.world).equal


def test_a_store_that_can_not_be_read_differs_from_there_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost item of a shard is a lost text, and not a comparison that could not be made."""
    world, tail = taught(), MemoryEntryStore.tail

    def damaged(store: MemoryEntryStore, positions: Mapping[int, int], limit: int) -> Tail:
        if 0 <= positions[0] < 10:
            raise error("shard 0 was trimmed")
        return tail(store, positions, 1)

    monkeypatch.setattr(MemoryEntryStore, "tail", damaged)
    error: type[Unreadable] = Unreadable
    shard, other = whole(world).shards
    assert shard.difference is not None
    assert 0 < shard.difference[0] <= 10
    assert shard.difference[1] == "the store can't be read from here on: shard 0 was trimmed"
    assert other.difference is None
    error = UpgradeNeeded
    with pytest.raises(UpgradeNeeded):
        whole(world)
