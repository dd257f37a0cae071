"""Deletions of very many entries take many small steps, and it is still as if they had never been seen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from hurnet_schemas import Query
from hurnet_stream.core.rule.halves import undivided
from hurnet_stream.core.search.blocks import Blocks
from hurnet_stream.core.stored.batch import Batch, Deletion, Entry
from hurnet_stream.core.stored.codec import bare
from hurnet_stream.errors import TransientError
from hurnet_stream.ingest import appending
from hurnet_stream.ports import Outgoing
from hurnet_stream.responder import backlog as backlog_module
from hurnet_stream.responder import following
from hurnet_stream.responder.backlog import Backlog
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.solver import portions
from hurnet_stream.solver import solver as solver_module
from tests.memory import shard as shard_module
from tests.memory.entry_store import MemoryEntryStore
from tests.worlds import responder as asked
from tests.worlds.deleting import DIMENSION, EMBEDDER, Follower, World, assert_never_seen, turn
from tests.worlds.verifying import whole

ROWS = 23


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of three entries, and time for one of them in each step."""
    monkeypatch.setattr(shard_module, "MOST_TARGETS", 3)
    monkeypatch.setattr(appending, "DELETION_S", 0.0)
    monkeypatch.setattr(portions, "STEP_S", 0.0)
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)
    monkeypatch.setattr(backlog_module, "PIECE_ROWS", 2)


def taught(rows: int = ROWS) -> World:
    world = World()
    for i in range(rows):
        world.send(f"text number {i}", f"answer {i % 3}", key="k", context=("one", "two")[i % 2])
    world.send("text in the other shard", "answer", partition=1)
    world.take_in()
    return world


def tombstone(world: World, *headers: tuple[str, bytes], key: str = "k") -> None:
    world._send(None, key, 0, headers)


def test_ingest_does_a_part_a_step_and_another_goes_on_after_it() -> None:
    world = taught()
    tombstone(world)
    world.send("text that comes later", "answer", key="k")
    world.send("text in the other shard", "another", partition=1)
    one = world.ingest()
    while not world.redis.data.shards[0].unfinished:
        turn(one)
    parts = len(world.redis.data.shards[0].parts[ROWS])
    assert world.redis.data.shards[0].state.watermark == ROWS - 1
    turn(one)
    assert len(world.redis.data.shards[0].parts[ROWS]) == parts + 1
    one.close()
    world.take_in()
    assert next(entry.text for _, entry in world.left()) == "text that comes later"
    assert_never_seen(world)
    assert world.redis.data.audit[0, ROWS].entries == ROWS
    assert whole(world).equal


def test_other_shards_go_on_while_a_deletion_takes_its_time() -> None:
    world = taught()
    tombstone(world)
    world.send("text in the other shard", "another", partition=1)
    ingest = world.ingest()
    while world.redis.data.shards[1].state.watermark < 1:
        turn(ingest)
    assert world.redis.data.shards[0].state.watermark < ROWS


def test_the_solver_takes_out_a_part_a_step_and_saves_nothing_in_between() -> None:
    world = taught()
    tombstone(world)
    ingest = world.ingest()
    turn(ingest, 60)
    solver = world.solver()
    steps = 0
    while (0, ROWS) not in world.redis.data.audit:
        turn(solver)
        steps += 1
        covered = world.redis.data.checkpoint.shards[0].watermark
        assert covered == ROWS - 1 or (0, ROWS) in world.redis.data.audit
        if steps == 4:
            solver.drain()  # stopped in the middle: it leaves what was saved before
            solver = world.solver()
    assert steps > ROWS // 3
    ingest.close()
    world.take_in()
    assert_never_seen(world)


def test_what_is_deleted_and_not_erased_yet_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "READ_BATCHES", 1)
    world = taught()
    tombstone(world)
    turn(world.ingest(), 60)
    solver, seen = world.solver(), list[float]()
    while not world.settled():
        turn(solver)
        shown = solver._metrics.registry.get_sample_value("hurnet_deletions_pending", {"partition": "0"})
        seen += [] if shown is None else [shown]
    assert seen == sorted(seen, reverse=True)
    assert (seen[0], seen[-1]) == (ROWS, 0), "from when ingest has stored it until all is erased"
    assert any(0 < count < ROWS for count in seen)


def test_a_solver_that_fails_in_the_middle_begins_the_deletion_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = taught()
    tombstone(world)
    turn(world.ingest(), 60)
    held, calls = MemoryEntryStore.stored_at, 0

    def fails(self: MemoryEntryStore, partition: int, offsets: Sequence[int]) -> Iterator[Batch]:
        nonlocal calls
        calls += 1
        if calls in (3, 5):
            raise TransientError("the store is away")
        return held(self, partition, offsets)

    monkeypatch.setattr(MemoryEntryStore, "stored_at", fails)
    solver = world.solver()
    while not world.settled():
        turn(solver)
    turn(solver, 3)  # a context a step is solved
    assert_never_seen(world)


def test_a_responder_passes_a_deletion_once_all_of_it_is_gone_and_lets_others_go_on() -> None:
    world = taught()
    follower = Follower(world.redis)
    for _ in range(5):
        follower.step()
    tombstone(world)
    world.send("text in the other shard", "another", partition=1)
    turn(world.ingest(), 60)
    backlog = Backlog(follower.store, follower.memory)
    backlog.add(follower.store.tail(follower.memory.watermarks(), 100).batches)
    assert backlog.shards() == {0, 1}
    rows = []
    while backlog:
        backlog.take_in(0.0)
        rows.append(sum(follower.memory.rows().values()))
        watermarks = follower.memory.watermarks()
        assert watermarks[1] == 1
        assert (watermarks[0] == ROWS) == (not backlog)
    assert rows == sorted(rows, reverse=True)
    assert len(rows) > ROWS // 3
    assert rows[-1] == 2
    assert list(follower.memory.rows()) == ["one"]  # nothing of the other context stays


def test_what_fails_on_the_way_into_memory_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = taught()
    follower = Follower(world.redis)
    for _ in range(5):
        follower.step()
    tombstone(world)
    turn(world.ingest(), 60)
    backlog = Backlog(follower.store, follower.memory)
    backlog.add(follower.store.tail(follower.memory.watermarks(), 100).batches)
    part, calls = MemoryEntryStore.deletion_part, 0

    def fails(self: MemoryEntryStore, partition: int, offset: int, number: int) -> Sequence[int]:
        nonlocal calls
        calls += 1
        if calls in (1, 4):
            raise TransientError("the store is away")
        return part(self, partition, offset, number)

    monkeypatch.setattr(MemoryEntryStore, "deletion_part", fails)
    failed = 0
    while backlog:
        try:
            backlog.take_in(0.0)
        except TransientError:
            failed += 1
    assert failed == 2
    assert sum(follower.memory.rows().values()) == 1


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ((), []),
        ((("context", b"*"),), []),
        ((("context", b"one"),), ["two"]),
        ((("context", b"nobody"),), ["one", "two"]),
        ((("drop-context", b"two"),), ["one"]),
    ],
)
def test_a_key_belongs_to_its_context_and_a_replay_agrees(
    headers: tuple[tuple[str, bytes], ...], left: list[str]
) -> None:
    world = taught()
    tombstone(world, *headers)
    world.take_in()
    follower = Follower(world.redis)
    for _ in range(20):
        follower.step()
    kept = [e for b in MemoryEntryStore(world.redis).tail({0: -1, 1: 9}, 999).batches for e in b.entries]
    assert sorted({entry.context for entry in kept}) == left
    assert {c for c in follower.memory.rows() if c in left} == set(left)
    proof = whole(world)
    assert proof.equal, proof
    assert set(world.redis.data.checkpoint.statistics) == {"one", *left}  # one entry is in the other shard


def test_a_dropped_name_is_free_and_can_be_used_again_and_a_replay_agrees() -> None:
    world = taught()
    for partition in range(2):
        world._send(None, "d", partition, (("drop-context", b"one"),))
    world.take_in()
    assert world.redis.data.contexts == {"two"}
    assert set(world.redis.data.weights) == {"two"}
    assert whole(world).equal
    world.send("text number 3 again", "answer 9", context="one")
    world.take_in()
    assert world.redis.data.contexts == {"one", "two"}
    assert set(world.redis.data.weights) == {"one", "two"}
    assert whole(world).equal


def test_texts_that_came_before_their_context_was_let_in_are_no_difference() -> None:
    world = World()
    for i in range(6):
        world.send(f"text number {i}", "a", context=("one", "two", "three")[i % 3])
    ingest = world.ingest()
    ingest._admission._contexts_max = 2
    turn(ingest, 9)
    world._send(None, "d", 0, (("drop-context", b"two"),))
    turn(ingest, 5)
    solver = world.solver()
    while not world.settled():
        turn(solver)
    ingest._admission.clear()
    world.send("text number 7", "a", context="three")
    turn(ingest, 9)
    ingest.close()
    world.take_in()
    assert world.redis.data.contexts == {"one", "three"}
    assert whole(world).equal


def test_each_index_is_asked_once_for_all_that_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every context's index was asked for every offset, one after the other."""
    memory, rows = LoadedContexts(undivided(DIMENSION)), 20_000
    vectors = np.tile(EMBEDDER.embed(["text number 1"]), (4_000, 1))
    for first in range(0, rows, 4_000):
        entries = [Entry(o, 0, f"c{o % 32}", f"text {o}", f"a{o % 50}") for o in range(first, first + 4_000)]
        memory.append(Batch(0, first + 3_999, entries, vectors))
    gone = replace(bare(0, rows, DIMENSION), deletion=Deletion(rows, 0, targets=tuple(range(rows // 2))))
    asked: list[int] = []
    find_all = Blocks.find_all

    def counted(blocks: Blocks, partition: int, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        asked.append(len(offsets))
        return find_all(blocks, partition, offsets)

    monkeypatch.setattr(Blocks, "find_all", counted)
    monkeypatch.setattr(Blocks, "find", lambda *_: pytest.fail("one was looked up by itself"))
    memory.append(gone)
    assert sum(memory.rows().values()) == rows // 2
    assert len(asked) <= 2 * 32  # to know what of it is there, and to remove that
    assert sum(asked) <= (rows // 2) * 32 / 2 + 2 * rows  # what one index had, the next is not asked for
    asked.clear()
    memory.append(replace(gone, watermark=rows + 1))  # what is not there
    assert len(asked) <= 32


def test_a_drop_of_what_never_was_is_recorded_without_effect() -> None:
    world = World()
    world.kafka.append([Outgoing("texts", None, b"d", (("drop-context", b"none"),), 0)])
    world.take_in()
    assert world.redis.data.audit[0, 0].entries == 0
    assert world.kafka.records("dead-letters") == []


def test_a_responder_answers_between_two_pieces_of_a_deletion_and_is_ready_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "TAKE_IN_S", 0.0)
    world = asked.World()
    world.teach(*[(f"text number {i}", "a") for i in range(ROWS)])
    responder = world.responder()
    asked.turn(responder)
    store = MemoryEntryStore(world.redis)
    store.open(asked.EMBEDDER.identity)
    mark = store.state(0).watermark
    store.delete(0, Deletion(mark + 1, 0, context="default"), mark)
    while store.state(0).watermark == mark:
        store.delete(0, Deletion(mark + 1, 0, context="default"), mark)
    answers = 0
    while responder._memory.watermarks()[0] == mark:
        world.ask(Query(text="text number 3", top_k=100))
        began = time.monotonic()
        asked.turn(responder, 1)
        answers += 1
        assert len(world.answers()) == answers
        assert responder.unready() == []
        assert responder._progress._moved_at >= began
    assert answers > ROWS // 3
    assert world.answers()[-1].reason == "empty context 'default'"
