"""Deleting over in-memory adapters: whatever happens, it is as if the entry had never been seen."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hurnet_stream.solver import portions
from hurnet_stream.solver import solver as solver_module
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.deleting import (
    Follower,
    Schedule,
    World,
    assert_never_seen,
    turn,
)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)
    monkeypatch.setattr(portions, "READ_BATCHES", 2)  # deletions and what they delete in other steps


def test_by_key_all_earlier_entries_of_the_key_are_unlearned() -> None:
    world = World()
    follower = Follower(world.redis)
    for i in range(6):
        world.send(f"text number {i}", f"answer {i % 2}", key=f"k{i % 3}")
    world.take_in()
    follower.step()
    before = world.statistics()["one"].digest()
    world.delete_key("k1")
    world.send("text number 9", "answer 9", key="k1")
    world.take_in()
    follower.step()
    assert [e.offset for _, e in world.left()] == [0, 2, 3, 5, 7]
    assert_never_seen(world, follower.memory)
    (audit,) = world.redis.data.audit.values()
    assert (audit.partition, audit.deletion.offset, audit.deletion.targets) == (0, 6, (1, 4))
    assert audit.pairs == 2
    assert audit.digests["one"][0] != before  # the next text was folded in before the digest was taken
    assert audit.digests["one"][1] == world.statistics()["one"].digest()


def test_repeats_and_unknown_targets_are_audited_and_change_nothing() -> None:
    world = World()
    for i in range(4):
        world.send(f"text number {i}", "a", key="k")
    world.delete_at("2")
    world.delete_at("2")  # before the first is folded in
    world.take_in()
    digest = world.statistics()["one"].digest()
    assert world.statistics()["one"].count == 3
    world.delete_at("2")  # after it is erased
    world.delete_key("nobody's")
    world.delete_at("4")  # the first deletion's own record
    world.take_in()
    assert world.statistics()["one"].digest() == digest
    audits = [world.redis.data.audit[0, offset] for offset in range(4, 9)]
    assert [(a.pairs, len(a.digests)) for a in audits] == [(1, 1), (0, 0), (0, 0), (0, 0), (0, 0)]
    assert_never_seen(world)


@pytest.mark.parametrize(("offset", "key"), [("1", None), ("7", None), ("-1", None), ("x", "k"), ("", "k")])
def test_a_deletion_that_names_no_earlier_offset_is_a_dead_letter(offset: str, key: str | None) -> None:
    world = World()
    world.send("text number 0", "a", key="k")
    world._send(None, key, 0, (("forget", offset.encode()),))
    world.delete_key(None)
    world.send("text number 3", "b")
    world.take_in()
    letters = world.kafka.records("dead-letters")
    assert [(b'"tombstone"' in (letter.value or b"")) for letter in letters] == [True, True]
    assert [
        entry.offset for batch in MemoryEntryStore(world.redis).tail({}, 9).batches for entry in batch.entries
    ] == [0, 3]


def test_a_context_left_without_pairs_loses_its_weights_and_may_get_new_ones() -> None:
    world = World()
    world.send("text number 0", "a", key="k")
    world.send("text number 1", "b", context="two")
    world.take_in()
    assert world.redis.data.versions == {"one": 1, "two": 1}
    world.delete_key("k")
    world.take_in()
    assert world.redis.data.versions["one"] == 2
    assert_never_seen(world)
    world.send("text number 2", "c")
    world.take_in()
    assert world.redis.data.versions["one"] == 3
    assert_never_seen(world)


def test_without_a_saved_checkpoint_nothing_is_erased() -> None:
    world = World()
    world.send("text number 0", "a", key="k")
    world.delete_key("k")
    turn(world.ingest(), 6)
    assert world.redis.data.shards[0].pending == {0: 1}
    MemoryWeightsStore(world.redis).claim("solver")
    assert MemoryEntryStore(world.redis).erase(9, "solver", "") == 0
    assert world.redis.data.shards[0].pending == {0: 1}


@pytest.fixture
def compacts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hurnet_stream.solver.solver.COMPACT_S", 0.0)


def test_probes_that_were_deleted_leave_one_item_a_shard(compacts_at_once: None) -> None:
    world = World()
    ingest, solver = world.ingest(), world.solver(interval=3600, keep=0)
    follower = Follower(world.redis)
    for number in range(300):
        world.send(f"text number {number}", "answer", key="probe", partition=number % 2)
        world.delete_key("probe", number % 2)
        turn(ingest, 2)
        turn(solver, 2)
        follower.step()
    ingest.close()
    turn(solver, 4)
    shards = world.redis.data.shards.values()
    assert [len(shard.batches) for shard in shards] == [1, 1]
    assert [shard.batches[0].rows for shard in shards] == [150, 150]
    assert not any(shard.parts or shard.pending for shard in shards)
    for reader in (follower, Follower(world.redis)):
        for _ in range(4):
            reader.step()
        assert not reader.is_behind()
    assert_never_seen(world, follower.memory)


def test_a_follower_that_was_away_while_deletions_were_compacted_begins_anew(compacts_at_once: None) -> None:
    world = World()
    for number in range(6):
        world.send(f"text number {number}", "answer", key=f"k{number}")
    world.take_in()
    follower = Follower(world.redis)
    follower.step(1)
    for number in range(3):
        world.delete_key(f"k{number}")
    world.take_in()
    turn(world.solver(keep=0), 9)
    assert world.redis.data.shards[0].state.floor == 8
    for _ in range(4):
        follower.step()
    assert_never_seen(world, follower.memory)


def test_the_newest_audits_of_each_context_are_kept() -> None:
    world = World()
    for number in range(9):
        world.send(f"text number {number}", "answer", key=f"k{number}", context="one" if number else "two")
    for number in range(9):
        world.delete_key(f"k{number}")
    world.take_in()
    weights = MemoryWeightsStore(world.redis)
    weights.claim("solver")
    assert weights.trim_audit(3) == 5
    assert sorted(audit.deletion.offset for audit in weights.audit()) == [9, 15, 16, 17]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_interleaving_leaves_what_a_context_has_that_never_saw_what_was_deleted(
    data: st.DataObject, compacts_at_once: None
) -> None:
    schedule = Schedule(data)
    acts = [
        *[schedule.send, schedule.delete, schedule.step_ingest, schedule.step_solver] * 2,
        *[schedule.follow, schedule.crash, schedule.forget_the_checkpoint, schedule.change_mode],
    ]
    for act in data.draw(st.lists(st.sampled_from(acts), max_size=30)):
        act()
    if schedule.ingest:
        schedule.ingest.close()
    schedule.world.take_in()
    late = Follower(schedule.world.redis)
    for _ in range(30):
        schedule.follower.step()
        late.step()
    assert not schedule.follower.is_behind()
    assert not late.is_behind()
    assert_never_seen(schedule.world, schedule.follower.memory, late.memory)
    asked = [(r.partition, r.offset) for r in schedule.world.kafka.records("texts") if r.value is None]
    assert sorted(schedule.world.redis.data.audit) == sorted(asked)
