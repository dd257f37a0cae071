"""Texts that take the place of those under their key: what ingest, store and solver make of them together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.core import places
from hurnet_stream.core.places import PARTITIONS_MOST, SPAN
from hurnet_stream.core.stored.batch import APPEND, UPSERT, Batch, Entry, Vectors
from hurnet_stream.core.stored.replacing import halves, is_one_record, mode_at, replaced_keys, settled
from hurnet_stream.ingest import reuse as reuse_module
from hurnet_stream.ingest.reuse import Reuse
from hurnet_stream.solver import portions
from hurnet_stream.solver import solver as solver_module
from tests.memory import shard as shard_module
from tests.worlds.deleting import EMBEDDER, NOTHING_KNOWN, Follower, World, assert_never_seen, turn
from tests.worlds.verifying import whole


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)


def assert_exact(world: World, *followers: Follower) -> None:
    for follower in followers:
        for _ in range(30):
            follower.step(1)
    assert_never_seen(world, *(follower.memory for follower in followers))
    proof = whole(world)
    assert proof.equal, proof


def test_the_old_text_is_unlearned_as_if_it_had_never_been() -> None:
    world = World(keys=UPSERT)
    follower = Follower(world.redis)
    for version in range(3):
        for key in range(5):
            world.send(f"text {key} in version {version}", f"answer {version}", key=f"k{key}")
        world.take_in()
        follower.step()
    assert [entry.offset for _, entry in world.left()] == [10, 11, 12, 13, 14]
    assert world.redis.data.audit == {}, "nobody asked for a deletion"
    assert_exact(world, follower, Follower(world.redis))


def test_a_text_that_cant_be_embedded_takes_nobodys_place() -> None:
    world = World(keys=UPSERT)
    world.send("the first", "one", key="k")
    world.send(NOTHING_KNOWN, "two", key="k")
    world.take_in()
    assert [entry.text for _, entry in world.left()] == ["the first"]
    assert_exact(world, Follower(world.redis))


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_in_one_batch_too_the_last_that_can_be_embedded_wins(batch: int) -> None:
    world = World(keys=UPSERT)
    for text in ("the first", "the second", NOTHING_KNOWN):
        world.send(text, "one", key="k")
    ingest = world.ingest(batch=batch)
    turn(ingest, 10)
    ingest.close()
    world.take_in()
    assert [entry.text for _, entry in world.left()] == ["the second"]
    assert_exact(world, Follower(world.redis))


def test_a_key_with_very_many_texts_is_replaced_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_module, "MOST_TARGETS", 3)
    monkeypatch.setattr(portions, "STEP_S", 0.0)
    world = World()
    for number in range(20):
        world.send(f"text number {number}", f"answer {number % 3}", key="k")
    world.take_in()
    follower = Follower(world.redis)
    follower.step()
    world.keys = UPSERT
    for text in ("before", "the one", "after"):
        world.send(text, text, key="k" if text == "the one" else None)
    world.take_in()
    assert [entry.text for _, entry in world.left()] == ["before", "the one", "after"]
    assert world.redis.data.shards[0].state.modes == ((20, UPSERT),)
    assert_exact(world, follower, Follower(world.redis))


def test_a_store_of_an_older_program_goes_on_appending() -> None:
    world = World(keys="")
    world.redis.data.keys = APPEND
    for version in range(2):
        world.send(f"text in version {version}", "answer", key="k")
    world.take_in()
    assert len(world.left()) == 2
    assert_exact(world)


def test_a_store_that_is_begun_now_replaces() -> None:
    world = World(keys="")
    for version in range(2):
        world.send(f"text in version {version}", "answer", key="k")
    ingest = world.ingest()
    turn(ingest, 5)
    assert world.redis.data.shards[0].state.modes == ((0, UPSERT),)


def test_own_keys_never_replace() -> None:
    world = World(keys=UPSERT)
    for version in range(2):
        world.send(f"text in version {version}", "answer", key="hurnet-correction-1")
    world.upserted.clear()
    world.take_in()
    assert len(world.left()) == 2
    assert_exact(world)


class Counted:
    """An embedder that counts."""

    def __init__(self) -> None:
        self.identity = EMBEDDER.identity
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return EMBEDDER.embed(texts)

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return EMBEDDER.embed_questions(texts)


def test_unchanged_texts_are_not_embedded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reuse, "_pays", lambda _: True)
    world, counted = World(keys=UPSERT), Counted()
    monkeypatch.setattr("tests.worlds.deleting.EMBEDDER", counted)
    for text in ("alike", "changes"):
        world.send(text, "one", key=text)
    world.take_in()
    counted.texts.clear()
    for key, text in (("alike", "alike"), ("changes", "changed"), ("new", "alike")):
        world.send(text, "two", key=key)
    ingest = world.ingest()
    turn(ingest, 5)
    ingest.close()
    assert counted.texts == ["changed", "alike"], "a key that is new has nothing in the store"
    world.take_in()
    assert_exact(world, Follower(world.redis))


def test_vectors_are_looked_up_only_if_that_is_cheaper(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    asked: list[int] = []

    class Store:
        def under_keys(self, _: int, keys: Sequence[object]) -> dict[object, object]:
            asked.append(len(keys))
            clock[0] += 0.001 * len(keys)
            return {key: {"text": np.ones(2, np.int16)} for key in keys}

    def looked_up(embed_s: float) -> int:
        reuse = Reuse(Store())  # type: ignore[arg-type]
        asked.clear()
        for _ in range(4):
            wanted = {0: {(b"%d" % n, "c"): [reuse_module._Wanted(n, "text")] for n in range(100)}}
            monkeypatch.setattr(Reuse, "_wanted", lambda _self, _intakes, wanted=wanted: wanted)
            reuse.known([])
            reuse.learn(10, 10 * embed_s)
        return sum(asked)

    assert looked_up(0.0001) == reuse_module.SAMPLE
    assert looked_up(0.01) == reuse_module.SAMPLE + 300


CHUNKED = PARTITIONS_MOST + 2
ROWS = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", None]), st.sampled_from("xy"), st.integers(1, 3), st.booleans()),
    max_size=8,
)


@given(ROWS, st.sampled_from([2, CHUNKED]))
def test_cut_or_not_a_batch_leaves_what_a_dict_would(
    rows: Sequence[tuple[bytes | None, str, int, bool]], shard: int
) -> None:
    """Chunks of a record stand together; the last record of a key and context wins."""
    span = SPAN if shard == CHUNKED else 1
    entries, keys, replaces = [], [], []
    model: dict[object, list[int]] = {}
    for record, (key, context, chunks, upsert) in enumerate(rows):
        offsets = [record * span + chunk for chunk in range(chunks if shard == CHUNKED else 1)]
        entries += [Entry(offset, 1, context, "text", "answer") for offset in offsets]
        keys += [key] * len(offsets)
        replaces += [upsert and key is not None] * len(offsets)
        model[(key, context) if upsert and key is not None else record] = offsets
    end = len(rows) * span
    batch = Batch(shard, end, entries, np.ones((len(entries), 2), np.int16), keys=keys, replaces=replaces)
    kept = settled(batch)
    assert sorted(kept.columns.offsets.tolist()) == sorted(o for offsets in model.values() for o in offsets)
    named = kept.deletion.targets if kept.deletion else ()
    assert sorted([*named, *kept.columns.offsets.tolist()]) == batch.columns.offsets.tolist()
    assert len(replaced_keys(kept)) == len(set(replaced_keys(kept)))
    if entries and not is_one_record(batch):
        first, second = halves(batch)
        assert [*first.entries, *second.entries] == list(batch.entries)
        last = places.offset_of(shard, int(first.columns.offsets[-1]))
        assert first.watermark == places.last_position(shard, last)
        assert (
            max(first.columns.offsets.tolist())
            <= first.watermark
            < min([*second.columns.offsets.tolist(), end])
        )


def test_how_keyed_texts_were_taken_in_at_a_place() -> None:
    modes = ((5, UPSERT), (9, APPEND))
    assert [mode_at(modes, position) for position in (0, 4, 5, 8, 9)] == [
        APPEND,
        APPEND,
        UPSERT,
        UPSERT,
        APPEND,
    ]
