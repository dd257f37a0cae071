"""Texts that take the place of others, as every entry store does it: at each position that a reader can stand
at, the shard holds what a dict would."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hurnet_stream.adapters.redis import deletions as redis_deletions
from hurnet_stream.core.stored.batch import (
    APPEND,
    NOTHING,
    UPSERT,
    Batch,
    Deletion,
    EmbedderIdentity,
    Entry,
    key_digest,
)
from hurnet_stream.errors import UpgradeNeeded
from hurnet_stream.ports import Appended, EntryStore, Refused, Unfinished, deleted_by
from tests.contract.stores import MemoryStores, RedisStores, Stores
from tests.memory import shard as memory_shard

IDENTITY = EmbedderIdentity("hash4", "f" * 64, 4)
Text = tuple[str | None, str]
"""Key and context."""


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most three entries are replaced in a step."""
    monkeypatch.setattr(memory_shard, "MOST_TARGETS", 3)
    monkeypatch.setattr(redis_deletions, "MOST_TARGETS", 3)


def opened(stores: Stores) -> EntryStore:
    store = stores.entry_store()
    store.open(IDENTITY, writing=True)
    return store


def batch(first: int, texts: Sequence[Text], upsert: bool = True, watermark: int | None = None) -> Batch:
    """Texts from offset `first` on, as ingest makes a batch of them."""
    offsets = list(range(first, first + len(texts)))
    entries = [
        Entry(o, 1_000, context, f"text {o}", "yes") for o, (_, context) in zip(offsets, texts, strict=True)
    ]
    return Batch(
        0,
        offsets[-1] if watermark is None else watermark,
        entries,
        np.array([[o + 1, 0, -1, 1] for o in offsets], np.int16).reshape(-1, 4),
        keys=[key_digest(key.encode()) if key else None for key, _ in texts],
        replaces=[upsert and key is not None for key, _ in texts],
        mode=UPSERT if upsert else APPEND,
    )


class Reader:
    """Reads a shard batch by batch, as a responder does, and can stop anywhere."""

    def __init__(self, store: EntryStore) -> None:
        self.store = store
        self.position = NOTHING
        self.held: dict[int, str] = {}

    def states(self) -> Iterator[tuple[int, dict[int, str]]]:
        """Each position that it comes to, and what it holds there."""
        while batches := self.store.tail({0: self.position}, 1).batches:
            for each in batches:
                self.take(each)
                yield each.watermark, dict(self.held)

    def take(self, each: Batch) -> None:
        for targets in deleted_by(self.store, 0, each.deletion) if each.deletion else ():
            for target in targets:
                self.held.pop(target, None)
        self.held |= {entry.offset: entry.context for entry in each.entries}
        self.position = each.watermark


def appended(store: EntryStore, each: Batch, expected: int) -> int:
    """Send a batch until all of it is in, as ingest does. Returns how many entries it has replaced."""
    replaced = 0
    while not isinstance(result := store.append(each, expected), Appended):
        assert isinstance(result, Unfinished)
        replaced += result.replaced
        if result.state.watermark != expected:
            expected = result.state.watermark
            each = rest_of(each, expected)
    return replaced + result.replaced


def rest_of(each: Batch, watermark: int) -> Batch:
    rows = [row for row, offset in enumerate(each.columns.offsets.tolist()) if offset > watermark]
    return Batch(
        0,
        each.watermark,
        [each.entries[row] for row in rows],
        each.vectors[rows],
        keys=[each.keys[row] for row in rows],
        replaces=[each.replaces[row] for row in rows],
        mode=each.mode,
    )


def test_a_text_comes_in_the_step_in_which_the_one_before_it_goes(stores: Stores) -> None:
    store = opened(stores)
    store.append(batch(0, [("a", "faq"), ("b", "faq"), (None, "faq")]), NOTHING)
    done = store.append(batch(3, [("a", "faq"), ("c", "faq")]), 2)
    assert isinstance(done, Appended)
    assert (done.replaced, done.rows, done.state.rows) == (1, 2, 5)
    last = store.tail({0: 2}, 10).batches[-1]
    assert [entry.offset for entry in last.entries] == [3, 4]
    assert last.deletion == Deletion(4, 1_000, targets=(0,), replaces=True, by=(3,))
    assert [offset for offset in range(5) if store.entry(0, offset)] == [1, 2, 3, 4]
    assert store.pending_erasures() == {0: 1}
    assert store.oldest_deletion_ms() == 1_000


def test_a_key_belongs_to_its_context(stores: Stores) -> None:
    store = opened(stores)
    store.append(batch(0, [("a", "faq"), ("a", "home")]), NOTHING)
    store.append(batch(2, [("a", "faq")]), 1)
    assert [offset for offset in range(3) if store.entry(0, offset)] == [1, 2]


def test_of_a_batch_the_last_wins_and_readers_are_told_of_the_others(stores: Stores) -> None:
    store = opened(stores)
    done = store.append(batch(0, [("a", "faq"), ("b", "faq"), ("a", "faq")]), NOTHING)
    assert isinstance(done, Appended)
    assert (done.replaced, done.rows) == (1, 2)
    (only,) = store.tail({}, 10).batches
    assert [entry.offset for entry in only.entries] == [1, 2]
    assert only.deletion
    assert (only.deletion.targets, only.deletion.by) == ((0,), (2,))
    assert store.pending_erasures() == {0: 0}, "it never was in the store"


def test_the_store_is_one_for_newer_programs_from_the_first_replacement_on(stores: Stores) -> None:
    store = opened(stores)
    store.append(batch(0, [("a", "faq"), ("b", "faq")]), NOTHING)
    assert formats(stores) == 2
    assert store.keys_mode() == UPSERT
    store.append(batch(2, [("b", "faq")]), 1)
    assert formats(stores) == 3


def test_a_newer_programs_store_is_not_replaced_in(stores: Stores) -> None:
    store = opened(stores)
    store.append(batch(0, [("a", "faq")]), NOTHING)
    stores.is_upgraded(9, 9)
    with pytest.raises(UpgradeNeeded):
        store.append(batch(1, [("a", "faq")]), 0)


def test_what_was_forgotten_before_is_deleted_once_only(stores: Stores) -> None:
    store = opened(stores)
    store.append(batch(0, [("a", "faq"), ("b", "faq")]), NOTHING)
    store.delete(0, Deletion(2, 1_000, targets=(0,)), 1)
    done = store.append(batch(3, [("a", "faq")]), 2)
    assert isinstance(done, Appended)
    assert done.replaced == 0
    assert store.pending_erasures() == {0: 1}


def test_a_zombie_replaces_nothing(stores: Stores) -> None:
    store, zombie = opened(stores), opened(stores)
    store.append(batch(0, [("a", "faq")]), NOTHING)
    store.append(batch(1, [("b", "faq")]), 0)
    assert isinstance(zombie.append(batch(1, [("a", "faq")]), 0), Refused)
    assert store.entry(0, 0)
    assert store.pending_erasures() == {0: 0}


def test_from_where_on_texts_replace_is_remembered(stores: Stores) -> None:
    store = opened(stores)
    store.append(batch(0, [("a", "faq")], upsert=False), NOTHING)
    assert store.state(0).modes == ()
    store.append(batch(1, [("a", "faq")]), 0)
    store.append(batch(2, [(None, "faq")]), 1)
    store.append(batch(3, [("a", "faq")], upsert=False, watermark=7), 2)
    assert store.state(0).modes == ((1, UPSERT), (3, APPEND))


@pytest.mark.usefixtures("small_steps")
def test_a_key_with_very_many_texts_is_replaced_step_by_step(stores: Stores) -> None:
    store = opened(stores)
    store.append(batch(0, [("a", "faq")] * 8, upsert=False), NOTHING)
    assert isinstance(first := store.append(batch(8, [("a", "faq")]), 7), Unfinished)
    assert (first.state.watermark, first.replaced) == (7, 3)
    assert not store.tail({0: 7}, 10).batches, "readers see nothing of it before the text comes"
    assert appended(store, batch(8, [("a", "faq")]), 7) == 5
    reader = Reader(store)
    assert [sorted(held) for _, held in reader.states()] == [list(range(8)), [8]]


@pytest.mark.usefixtures("small_steps")
def test_what_passes_a_text_that_was_begun_takes_its_parts_along(stores: Stores) -> None:
    """The text does not come again alone: others come with it, or it is put aside."""
    for texts, left in (
        ([(None, "faq"), ("a", "faq"), ("b", "faq")], [8, 9, 10]),
        ([(None, "faq")] * 3, None),
    ):
        store = opened(stores)
        store.append(batch(0, [("a", "faq")] * 8, upsert=False), NOTHING)
        assert isinstance(store.append(batch(8, [(None, "faq"), ("a", "faq")]), 7), Unfinished)
        assert store.state(0).watermark == 8
        first = batch(9, texts[1:])
        appended(store, first, 8)
        reader = Reader(store)
        positions = list(reader.states())
        # Three were taken when the text began, and two were left under the key: all of them go together.
        assert sorted(positions[-1][1]) == (left or [3, 4, 5, 6, 7, 8, 9, 10])
        stores.wipe()


@pytest.mark.usefixtures("small_steps")
def test_a_deletion_behind_a_text_that_was_begun_ends_it(stores: Stores) -> None:
    store = opened(stores)
    store.append(batch(0, [("a", "faq")] * 8, upsert=False), NOTHING)
    assert isinstance(store.append(batch(8, [("a", "faq")]), 7), Unfinished)
    store.delete(0, Deletion(9, 1_000, targets=(7,)), 7)
    positions = list(Reader(store).states())
    assert [position for position, _ in positions] == [7, 8, 9]
    assert sorted(positions[-1][1]) == [3, 4, 5, 6]


Said = tuple[str, str | None, str]
"""What a record says: text or delete; its key; its context."""
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["text", "text", "text", "delete"]),
        st.sampled_from(["a", "a", "b", None]),
        st.sampled_from(["x", "x", "y"]),
    ),
    max_size=25,
)


@given(
    records=RECORDS,
    upsert_from=st.integers(0, 12),
    turns=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=1, max_size=6),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_at_every_position_the_shard_holds_what_a_dict_would(
    records: Sequence[Said],
    upsert_from: int,
    turns: Sequence[tuple[int, int]],
    stores: Stores,
    small_steps: None,
) -> None:
    """`turns` say how many records a worker takes at once, and after how many calls it is killed."""
    stores.wipe()
    store = opened(stores)
    deliver(store, records, upsert_from, turns)
    models = [model(records[: offset + 1], upsert_from) for offset in range(len(records))]
    reader = Reader(store)
    for position, held in reader.states():
        assert held == {offset: text[1] for offset, text in models[position].items()}, position
    if records:
        assert sorted(reader.held) == sorted(models[-1])
        assert [o for o in range(len(records)) if store.entry(0, o)] == sorted(models[-1])


def model(records: Sequence[Said], upsert_from: int) -> dict[int, Text]:
    """What is held after these records."""
    held: dict[int, Text] = {}
    for offset, (kind, key, context) in enumerate(records):
        if kind == "delete" and key:
            held = {o: text for o, text in held.items() if text[0] != key}
        if kind == "text" and key and offset >= upsert_from:
            held = {o: text for o, text in held.items() if text != (key, context)}
        if kind == "text":
            held[offset] = key, context
    return held


def deliver(
    store: EntryStore, records: Sequence[Said], upsert_from: int, turns: Sequence[tuple[int, int]]
) -> None:
    """Workers bring the records into the store. Each is killed after some calls, and the next one takes
    other batches; after a while there is one that is not killed."""
    for size, calls in [*turns, (4, 1_000)]:
        for _ in range(calls):
            watermark = store.state(0).watermark
            if watermark == len(records) - 1:
                return
            bring(store, records, watermark + 1, size, upsert_from)


def bring(store: EntryStore, records: Sequence[Said], first: int, size: int, upsert_from: int) -> None:
    """One call."""
    kind, key, _ = records[first]
    if kind == "delete":  # without a key it names nothing
        store.delete(0, Deletion(first, 1_000, key=key_digest(key.encode()) if key else None), first - 1)
        return
    upsert = first >= upsert_from
    texts: list[Text] = []
    for offset in range(first, min(first + size, len(records))):
        if records[offset][0] == "delete" or (offset >= upsert_from) != upsert:
            break
        texts.append(records[offset][1:])
    store.append(batch(first, texts, upsert), first - 1)


def formats(stores: Stores) -> int:
    if isinstance(stores, MemoryStores):
        return stores.redis.data.min_reader
    assert isinstance(stores, RedisStores)
    return int(json.loads(stores.client.get(stores.keys.meta))["min_reader"])
