"""What a repair sends again: all that only the store has, and nothing that the topic still holds."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_schemas import TextEvent
from hurnet_schemas.feedback import SOURCE
from hurnet_stream.core.places import SPAN, first_position, last_position, shard_of
from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion, Entry
from hurnet_stream.feedback.lessons import correction_key
from hurnet_stream.operations.repair import Comparison
from hurnet_stream.ports import Checkpoint, OffsetRange
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.history import MemoryHistory
from tests.memory.redis import MemoryRedis
from tests.memory.sink import MemorySink
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.ingest import World, numbered, turn


def filled(world: World) -> None:
    with closing(world.worker()) as worker:
        turn(worker, 40)


def repaired(world: World, same_topic: bool, after: int = NOTHING) -> tuple[int, int]:
    """(texts, deletions) sent again; the new store is filled then."""
    store = MemoryEntryStore(world.redis)
    comparison = Comparison(store, MemoryHistory(world.kafka), "texts", same_topic)
    parts = [part for p in store.states() for part in comparison.lacking(p, after)]
    for part in parts:
        assert all(message.key or message.value for message in part.messages), "clients refuse others"
        MemorySink(world.kafka).send(part.messages)
    world.redis = MemoryRedis()
    world.kafka.group("texts", "ingest").committed.clear()
    filled(world)
    return sum(part.texts for part in parts), sum(part.deletions for part in parts)


def contents(world: World) -> list[str]:
    """The texts that are answered from, without those deleted."""
    store = MemoryEntryStore(world.redis)
    found = [
        entry
        for batch in store.tail({}, 10_000).batches
        for entry in batch.entries
        if store.entry(batch.partition, entry.offset)
    ]
    return sorted(entry.text for entry in found)


def texts(*ranges: Iterable[int]) -> list[str]:
    return sorted(f"text number {i}" for numbers in ranges for i in numbers)


def test_what_an_unclean_election_lost_comes_back_from_the_context() -> None:
    world = World()
    world.send(*numbered(0, 10))
    filled(world)
    world.kafka.truncate("texts", 0, 6)
    world.send(*numbered(20, 35))
    assert repaired(world, same_topic=True) == (4, 0)
    assert contents(world) == texts(range(10), range(20, 35))


def test_a_topic_made_anew_gets_what_the_old_one_held() -> None:
    world = World()
    world.send(*numbered(0, 10))
    world.send(
        TextEvent(text="all of it", answer="a", context="c", metadata={"k": "v"}, weight=7), partition=1
    )
    filled(world)
    (before,) = [entry for entry in world.entries() if entry.text == "all of it"]
    world.kafka.create("texts", partitions=2)
    world.send(*numbered(50, 70))
    assert repaired(world, same_topic=False) == (11, 0)
    assert contents(world) == sorted([*texts(range(10), range(50, 70)), "all of it"])
    (after,) = [entry for entry in world.entries() if entry.text == "all of it"]
    same = Entry(before.offset, after.timestamp_ms, "c", "all of it", "a", {"k": "v"}, 7)
    assert (after, after.timestamp_ms) == (same, before.timestamp_ms)


def test_what_retention_took_comes_back_too() -> None:
    world = World()
    world.send(*numbered(0, 10))
    filled(world)
    world.kafka.delete_before("texts", 0, 4)
    world.kafka.truncate("texts", 0, 8)
    world.send(*numbered(20, 30))
    assert repaired(world, same_topic=True) == (6, 0)
    assert contents(world) == texts(range(10), range(20, 30))


def test_what_was_deleted_does_not_come_back() -> None:
    """Neither from the store, nor because the topic lost the record that deleted it."""
    world = World()
    world.send(*numbered(0, 10))
    world.delete(3)
    world.delete(9)
    filled(world)
    world.kafka.truncate("texts", 0, 8)
    world.send(*numbered(20, 30))
    assert repaired(world, same_topic=True) == (1, 1)  # text 8, and the deletion of text 3
    assert contents(world) == texts([0, 1, 2], range(4, 9), range(20, 30))


def compacted(world: World) -> None:
    """All is erased and compacted, as a solver brings it about."""
    store, weights = MemoryEntryStore(world.redis), MemoryWeightsStore(world.redis)
    store.identity()
    weights.claim("solver")
    checkpoint = Checkpoint(shards=dict(store.states()))
    weights.save_checkpoint(checkpoint)
    while store.erase(100, "solver", checkpoint.stamp):
        pass
    for _ in range(2):
        store.compact(100, "solver", checkpoint.stamp, keep_s=0)


def test_what_was_deleted_does_not_come_back_after_its_deletion_was_compacted_away() -> None:
    world = World()
    world.send(*numbered(0, 10))
    world.delete(3)
    world.delete(9)
    world.delete(1)
    filled(world)
    compacted(world)
    assert not [batch for batch in MemoryEntryStore(world.redis).tail({}, 99).batches if batch.deletion]
    world.kafka.truncate("texts", 0, 8)
    world.send(*numbered(20, 30))
    assert repaired(world, same_topic=True) == (1, 2)
    assert contents(world) == texts([0, 2], range(4, 9), range(20, 30))


def test_no_deletion_hits_another_topics_texts() -> None:
    world = World()
    world.send(*numbered(0, 5))
    world.delete(3)
    filled(world)
    world.kafka.create("texts", partitions=2)
    world.send(*numbered(50, 60))
    assert repaired(world, same_topic=False) == (4, 0)
    assert contents(world) == texts([0, 1, 2, 4], range(50, 60))


def test_a_producer_that_sent_it_all_again_needs_nothing() -> None:
    now = [1_000.0]
    world = World()
    world.kafka._now = lambda: now[0]
    world.send(*numbered(0, 8))
    filled(world)
    world.kafka.create("texts", partitions=2)
    world.send(*numbered(0, 12))
    assert repaired(world, same_topic=False) == (0, 0)
    assert contents(world) == texts(range(12))


def test_it_goes_on_where_it_was_cut_short() -> None:
    world = World()
    world.send(*numbered(0, 12))
    filled(world)
    world.kafka.create("texts", partitions=2)
    assert repaired(world, same_topic=False, after=7) == (4, 0)
    assert contents(world) == texts(range(8, 12))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_nothing_is_lost_and_nothing_comes_back(data: st.DataObject) -> None:
    """Whatever was deleted, truncated, taken by retention, or made anew."""
    world = World()
    count = data.draw(st.integers(1, 12))
    world.send(*numbered(0, count))
    deleted = data.draw(st.sets(st.integers(0, count - 1)))
    for offset in deleted:
        world.delete(offset)
    filled(world)
    end = count + len(deleted)
    world.kafka.delete_before("texts", 0, data.draw(st.integers(0, end)))
    same = data.draw(st.booleans())
    if same:
        world.kafka.truncate("texts", 0, data.draw(st.integers(0, end)))
    else:
        world.kafka.create("texts", partitions=2)
    more = data.draw(st.integers(0, 10))
    world.send(*numbered(100, 100 + more))
    repaired(world, same)
    kept = set(range(count)) - deleted
    assert contents(world) == texts(sorted(kept), range(100, 100 + more))


@pytest.mark.parametrize("partitions", [1, 2])
def test_a_topic_with_fewer_partitions_takes_all(partitions: int) -> None:
    world = World()
    world.send(*numbered(0, 3))
    world.send(*numbered(3, 5), partition=1)
    filled(world)
    store = MemoryEntryStore(world.redis)
    history = MemoryHistory(world.kafka)
    world.kafka.create("texts", partitions=2)
    comparison = Comparison(store, history, "texts", same_topic=False)
    comparison.bounds = dict(list(comparison.bounds.items())[:partitions])
    sent = [m for p in store.states() for part in comparison.lacking(p) for m in part.messages]
    assert {message.partition for message in sent} == set(range(partitions))
    assert len(sent) == 5


def test_what_feedback_taught_keeps_its_key_so_that_later_feedback_still_replaces_it() -> None:
    world = World()
    world.send(TextEvent(text="hi", answer="hello", weight=2, metadata={SOURCE: "feedback/0/7"}))
    world.send(TextEvent(text="hi", answer="bye", refutes=True, metadata={SOURCE: "feedback/0/8"}))
    world.send(TextEvent(text="hi", answer="oi"))
    filled(world)
    world.kafka.create("texts", 2)
    assert repaired(world, same_topic=False) == (3, 0)
    sent = [(record.key, TextEvent.decode(record.value)) for record in world.kafka.records("texts")]
    key = correction_key("default", "hi")
    assert sorted((k or b"", e.answer or "", e.weight, e.refutes) for k, e in sent) == [
        (b"", "oi", 1, None),
        (key, "bye", 1, True),
        (key, "hello", 2, None),
    ]


def test_of_another_topic_only_what_it_no_longer_holds_is_sent_to_the_texts() -> None:
    world, shard = World(), shard_of(1, 0)
    world.send(*numbered(0, 2))
    filled(world)
    store = MemoryEntryStore(world.redis)
    entries = [Entry(SPAN * i, 1_000, "faq", f"ticket {i}", "an answer") for i in range(4)]
    vectors = world.embedder.embed([entry.text for entry in entries])
    store.append(Batch(shard, last_position(shard, 3), entries, vectors), NOTHING)
    store.delete(shard, Deletion(first_position(shard, 4), 0, targets=(0,)), last_position(shard, 3))
    held = {shard: OffsetRange(2 * SPAN, 5 * SPAN)}
    comparison = Comparison(store, MemoryHistory(world.kafka), "texts", True, held)
    sent = [message for part in comparison.lacking(shard) for message in part.messages]
    assert [TextEvent.decode(message.value or b"").text for message in sent] == ["ticket 1"]
    assert {message.topic for message in sent} == {"texts"}
    gone = Comparison(store, MemoryHistory(world.kafka), "texts", True)
    assert sum(part.texts for part in gone.lacking(shard)) == 3
