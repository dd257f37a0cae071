"""Deletions of many entries in parts, keys that belong to a context, and contexts that are dropped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hurnet_stream.core.stored.batch import (
    MOST_TARGETS,
    NOTHING,
    Batch,
    Deletion,
    EmbedderIdentity,
    Entry,
    ShardState,
    key_digest,
)
from hurnet_stream.ports import Appended, Checkpoint, EntryStore, Holding, Refused, Unfinished
from tests.contract.stores import RedisStores, Stores

IDENTITY = EmbedderIdentity("hash4", "f" * 64, 4)
KEY = key_digest(b"k")
MANY = 2 * MOST_TARGETS + 500


def batch(offsets: Sequence[int], contexts: Sequence[str] = ("default",), keyed: bool = True) -> Batch:
    names = [contexts[o % len(contexts)] for o in offsets]
    entries = [Entry(o, 1_000 + o, name, f"text {o}") for o, name in zip(offsets, names, strict=True)]
    vectors = np.array([[1 + o % 16_000, 0, -1, 1] for o in offsets], np.int16).reshape(-1, 4)
    return Batch(0, offsets[-1], entries, vectors, keys=[KEY if keyed else None] * len(offsets))


def opened(stores: Stores) -> EntryStore:
    store = stores.entry_store()
    store.open(IDENTITY)
    return store


def filled(
    stores: Stores, rows: int = MANY, contexts: Sequence[str] = ("default",), size: int = 256
) -> EntryStore:
    store = opened(stores)
    for first in range(0, rows, size):
        done = store.append(batch(range(first, min(first + size, rows)), contexts), first - 1)
        assert isinstance(done, Appended)
    return store


def read(store: EntryStore) -> list[Batch]:
    found: list[Batch] = []
    position = NOTHING
    store.tail({}, 1)
    while batches := store.tail({0: position}, 7).batches:
        found += batches
        position = batches[-1].watermark
    return found


def offsets(store: EntryStore) -> list[int]:
    return [entry.offset for found in read(store) for entry in found.entries]


def targets(store: EntryStore, deletion: Deletion) -> list[int]:
    parts = [store.deletion_part(0, deletion.offset, number) for number in range(1, deletion.parts + 1)]
    assert all(len(part) <= MOST_TARGETS for part in [*parts, deletion.targets])
    return sorted(offset for part in [*parts, deletion.targets] for offset in part)


def erase_all(stores: Stores, store: EntryStore, watermark: int) -> None:
    """What a solver does that has come so far."""
    weights = stores.weights()
    weights.claim("solver")
    checkpoint = Checkpoint(shards={0: ShardState(watermark, 0, "e")})
    weights.save_checkpoint(checkpoint)
    for _ in range(100):
        if not store.erase(64, "solver", checkpoint.stamp):
            return
    raise AssertionError("there is no end of it")


def test_many_entries_of_a_key_are_deleted_in_parts_of_which_only_the_last_is_seen(stores: Stores) -> None:
    store = filled(stores)
    asked = Deletion(MANY, 5_000, KEY)
    for part in range(2):
        done = store.delete(0, asked, MANY - 1)
        assert isinstance(done, Unfinished)
        assert done.state.watermark == store.state(0).watermark == MANY - 1
        assert not [b for b in read(store) if b.deletion]
        assert store.entry(0, part * MOST_TARGETS) is None
    assert store.entry(0, MANY - 1) is not None
    assert stores.entry_store().entry(0, MANY - 1) is not None
    assert isinstance(store.delete(0, asked, MANY - 1), Appended)
    (deletion,) = [b.deletion for b in read(store) if b.deletion]
    assert (deletion.key, deletion.parts) == (KEY, 2)
    assert targets(store, deletion) == list(range(MANY))
    assert store.pending_erasures() == {0: MANY}
    assert list(b.watermark for b in store.stored_at(0, range(MANY)))[-1] == MANY - 1
    assert isinstance(store.delete(0, asked, MANY - 1), Refused)


def test_another_goes_on_after_a_crash_and_a_zombie_between_does_no_harm(stores: Stores) -> None:
    filled(stores)
    asked = Deletion(MANY, 5_000, KEY)
    one, other = opened(stores), opened(stores)
    assert isinstance(one.delete(0, asked, MANY - 1), Unfinished)
    assert isinstance(other.delete(0, asked, MANY - 1), Unfinished)
    assert isinstance(one.delete(0, asked, MANY - 1), Appended)
    assert isinstance(other.delete(0, asked, MANY - 1), Refused)
    (deletion,) = [b.deletion for b in read(other) if b.deletion]
    assert targets(other, deletion) == list(range(MANY))


def test_nothing_of_a_deletion_is_erased_before_its_last_part_is_covered(stores: Stores) -> None:
    store = filled(stores)
    assert isinstance(store.delete(0, Deletion(MANY, 5_000, KEY), MANY - 1), Unfinished)
    erase_all(stores, store, MANY - 1)
    assert offsets(store) == list(range(MANY))
    while isinstance(store.delete(0, Deletion(MANY, 5_000, KEY), MANY - 1), Unfinished):
        pass
    erase_all(stores, store, MANY)
    assert offsets(store) == []
    assert store.pending_erasures() == {0: 0}
    assert sum(b.rows for b in read(store)) == MANY


@pytest.mark.parametrize("follower", ["text", "deletion", "nothing"])
def test_a_deletion_whose_record_is_gone_is_ended_by_what_follows(stores: Stores, follower: str) -> None:
    """Its rows may be erased once a checkpoint is beyond it, so readers must have learned of them before."""
    store = filled(stores)
    assert isinstance(store.delete(0, Deletion(MANY, 5_000, KEY), MANY - 1), Unfinished)
    if follower == "text":
        store.append(batch([MANY + 3], keyed=False), MANY - 1)
    elif follower == "nothing":  # the record itself is not readable any more, and put aside
        store.append(Batch(0, MANY, (), np.empty((0, 4), np.int16)), MANY - 1)
    else:
        store.delete(0, Deletion(MANY + 3, 5_000, targets=(MOST_TARGETS,)), MANY - 1)
    first, *others = [b.deletion for b in read(store) if b.deletion]
    assert (first.offset, targets(store, first)) == (MANY, list(range(MOST_TARGETS)))
    assert [d.offset for d in others] == ([MANY + 3] if follower == "deletion" else [])
    erase_all(stores, store, MANY + 3)
    kept = range(MOST_TARGETS + (follower == "deletion"), MANY)
    assert offsets(store) == [*kept, *([MANY + 3] if follower == "text" else [])]


def test_a_key_belongs_to_its_context_unless_all_are_asked_for(stores: Stores) -> None:
    store = filled(stores, 12, ("faq", "faq-2"), 5)
    store.delete(0, Deletion(12, 5_000, KEY, context="faq"), 11)
    store.append(batch([13, 14], ("faq", "faq-2")), 12)
    store.delete(0, Deletion(15, 5_000, KEY, context="other"), 14)
    store.delete(0, Deletion(16, 5_000, KEY), 15)
    found = [(d.context, d.targets) for b in read(store) if (d := b.deletion)]
    assert found == [
        ("faq", (0, 2, 4, 6, 8, 10)),
        ("other", ()),
        (None, (1, 3, 5, 7, 9, 11, 13, 14)),
    ]


def test_a_dropped_context_goes_in_parts_its_name_is_free_once_nothing_is_left(stores: Stores) -> None:
    store = filled(stores, 5_000, ("faq", "typo"))
    store.admit(frozenset(["faq", "typo"]), 2)
    assert store.admit(frozenset(["new"]), 2) == frozenset()
    asked, parts = Deletion(5_000, 5_000, context="typo"), 0
    store.delete(0, Deletion(5_000, 5_000, targets=(7,)), 4_999)  # this one is deleted by another
    asked = Deletion(5_001, 5_000, context="typo")
    while isinstance(store.delete(0, asked, 5_000), Unfinished):
        parts += 1
    deletion = read(store)[-1].deletion
    assert deletion
    assert (deletion.context, deletion.drops, deletion.parts) == ("typo", True, parts)
    numbers = range(1, parts + 1)
    found = [o for n in numbers for o in store.deletion_part(0, 5_001, n)] + list(deletion.targets)
    assert sorted(found) == [o for o in range(1, 5_000, 2) if o != 7]
    assert store.contexts() == {"faq", "typo"}
    erase_all(stores, store, 5_001)
    assert store.contexts() == {"faq"}
    assert store.admit(frozenset(["new"]), 2) == {"new"}
    assert offsets(store) == list(range(0, 5_000, 2))
    assert [set(held) for held in store.holdings().values()] == [{"faq"}]


def test_a_dropped_name_can_be_used_again(stores: Stores) -> None:
    store = filled(stores, 6, ("faq", "typo"), 3)
    store.delete(0, Deletion(6, 5_000, context="typo"), 5)
    store.append(batch([7, 8], ("faq", "typo")), 6)
    erase_all(stores, store, 8)
    assert offsets(store) == [0, 2, 4, 7, 8]
    assert store.holdings() == {0: {"faq": Holding(4, 4 * 8 + 4 * 6, 0), "typo": Holding(1, 8 + 6, 7)}}
    store.delete(0, Deletion(9, 5_000, context="typo"), 8)
    erase_all(stores, store, 9)
    assert "typo" not in store.contexts()


def test_a_name_without_rows_is_given_back_when_dropped(stores: Stores) -> None:
    store = filled(stores, 3)
    store.admit(frozenset(["typo"]), 9)
    assert "typo" in store.contexts()
    assert isinstance(store.delete(0, Deletion(3, 5_000, context="typo"), 2), Appended)
    assert "typo" not in store.contexts()


def test_a_context_that_loses_its_last_row_gives_its_name_back(stores: Stores) -> None:
    store = filled(stores, 4, ("faq", "typo"))
    store.admit(frozenset(["faq", "typo"]), 9)
    store.delete(0, Deletion(4, 5_000, targets=(1,)), 3)
    store.delete(0, Deletion(5, 5_000, targets=(3,)), 4)
    erase_all(stores, store, 5)
    assert store.contexts() == {"faq"}


def test_what_is_held_counts_rows_and_bytes_and_what_is_pending(stores: Stores) -> None:
    store = filled(stores, 6, ("faq", "b"), 4)
    store.append(Batch(3, 9, [Entry(9, 0, "faq", "é")], np.array([[1, 2, 3, 4]], np.int16)), NOTHING)
    assert store.holdings() == {
        0: {"faq": Holding(3, 3 * 14, 0), "b": Holding(3, 3 * 14, 1)},
        3: {"faq": Holding(1, 8 + 2, 9)},
    }
    store.delete(0, Deletion(6, 5_000, targets=(0,)), 5)
    store.delete(0, Deletion(7, 4_000, targets=(6,)), 6)  # there is none
    store.delete(3, Deletion(10, 6_000, targets=(9,)), 9)
    assert store.pending_erasures() == {0: 1, 3: 1}
    assert store.oldest_deletion_ms() == 5_000
    erase_all(stores, store, 7)
    assert store.pending_erasures() == {0: 0, 3: 1}
    assert store.oldest_deletion_ms() == 6_000
    assert store.holdings()[0]["faq"] == Holding(2, 2 * 14, 0)


def test_a_missing_or_damaged_part_is_an_error_of_the_context(redis_stores: RedisStores) -> None:
    from hurnet_stream.errors import StoreError

    store = filled(redis_stores)
    assert isinstance(store.delete(0, Deletion(MANY, 5_000, KEY), MANY - 1), Unfinished)
    with pytest.raises(StoreError, match="part 2"):
        store.deletion_part(0, MANY, 2)
    redis_stores.client.hset(f"{redis_stores.settings.prefix}:{{shard-0}}:parts", f"{MANY}/1", b"odd")
    with pytest.raises(StoreError, match="part 1"):
        store.deletion_part(0, MANY, 1)
