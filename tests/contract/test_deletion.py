"""Deleting and erasing, as every context store does; and what is left of a deleted row in a real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hurnet_stream.core import places
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import (
    NOTHING,
    Batch,
    Deletion,
    EmbedderIdentity,
    Entry,
    Expiry,
    ShardState,
    key_digest,
)
from hurnet_stream.errors import StoreReplaced, Superseded, TransientError
from hurnet_stream.ports import Appended, Checkpoint, DeletionAudit, EntryStore, Refused, Unfinished
from tests.contract.stores import RedisStores, Stores

IDENTITY = EmbedderIdentity("hash4", "f" * 64, 4)


def batch(offsets: Sequence[int], keys: Sequence[str | None] = (), watermark: int | None = None) -> Batch:
    entries = [Entry(o, 1_000 + o, "default", f"secret number {o}", f"answer {o}") for o in offsets]
    vectors = np.array([[o + 1, 0, -1, 1] for o in offsets], np.int16).reshape(-1, 4)
    digests = [None if key is None else key_digest(key.encode()) for key in keys]
    return Batch(0, offsets[-1] if watermark is None else watermark, entries, vectors, keys=digests)


def opened(stores: Stores) -> EntryStore:
    store = stores.entry_store()
    store.open(IDENTITY)
    return store


def by_key(offset: int, key: str) -> Deletion:
    return Deletion(offset, 5_000, key=key_digest(key.encode()))


def at(offset: int, *targets: int) -> Deletion:
    return Deletion(offset, 5_000, targets=targets)


def everything(store: EntryStore, most: int = 100, position: int = NOTHING) -> list[Batch]:
    found: list[Batch] = []
    store.tail({}, 1)  # finds the shards
    while batches := store.tail({0: position}, most).batches:
        found += batches
        position = batches[-1].watermark
    return found


def offsets(batches: Sequence[Batch]) -> list[int]:
    for found in batches:
        assert found.vectors[:, 0].tolist() == [entry.offset + 1 for entry in found.entries]
    return [entry.offset for found in batches for entry in found.entries]


def held(store: EntryStore, *wanted: int) -> list[int]:
    return offsets(list(store.stored_at(0, wanted)))


def cover(stores: Stores, watermark: int) -> str:
    """What a solver does that has come so far; returns its checkpoint's stamp."""
    weights = stores.weights()
    weights.claim("solver")
    checkpoint = Checkpoint(shards={0: ShardState(watermark, 0, "e")})
    weights.save_checkpoint(checkpoint)
    return checkpoint.stamp


def erase(store: EntryStore, stamp: str, most: int = 100) -> int:
    return store.erase(most, "solver", stamp)


def taught(stores: Stores) -> EntryStore:
    """Offsets 0 to 7 in three batches, some under keys."""
    store = opened(stores)
    store.append(batch([0, 1, 2], ["a", "b", None]), NOTHING)
    store.append(batch([3, 4], ["a", "a"]), 2)
    store.append(batch([5, 6, 7], watermark=9), 4)
    return store


def test_a_deletion_tells_readers_what_it_deletes_and_moves_the_watermark(stores: Stores) -> None:
    store = taught(stores)
    done = store.delete(0, by_key(12, "a"), 9)
    assert isinstance(done, Appended)
    assert (done.state.watermark, done.state.rows) == (12, 8)
    last = everything(store)[-1]
    assert (last.watermark, last.rows) == (12, 0)
    assert last.deletion == Deletion(12, 5_000, key_digest(b"a"), (0, 3, 4))
    store.append(batch([13], ["a"]), 12)
    assert everything(store, position=9)[0].deletion == last.deletion
    assert offsets(everything(store, position=9)) == [13]


def test_a_key_that_comes_again_is_another_entry(stores: Stores) -> None:
    store = taught(stores)
    store.delete(0, by_key(10, "a"), 9)
    store.append(batch([11], ["a"]), 10)
    store.delete(0, by_key(12, "a"), 11)
    store.delete(0, by_key(13, "a"), 12)
    assert [b.deletion.targets for b in everything(store) if b.deletion] == [(0, 3, 4), (11,), ()]


def test_what_is_deleted_already_or_was_never_there_is_recorded_without_effect(stores: Stores) -> None:
    store = taught(stores)
    store.delete(0, at(10, 3, 1), 9)
    store.delete(0, at(11, 3), 10)
    store.delete(0, by_key(12, "a"), 11)
    store.delete(0, by_key(13, "no such key"), 12)
    store.delete(0, at(14, 8), 13)  # beyond the last entry, before the watermark
    deletions = [b.deletion for b in everything(store) if b.deletion]
    assert [d.targets for d in deletions] == [(1, 3), (), (0, 4), (), (8,)]
    assert erase(store, cover(stores, 14)) == 0
    assert offsets(everything(store)) == [2, 5, 6, 7]
    store.delete(0, at(15, 3), 14)  # its row is gone by now
    assert held(store, 3) == []
    assert erase(store, cover(stores, 15)) == 0
    assert offsets(everything(store)) == [2, 5, 6, 7]


def test_of_a_record_that_is_several_entries_those_that_are_there_are_told(stores: Stores) -> None:
    shard, record = places.shard_of(1, 0), places.SPAN
    store = opened(stores)
    store.append(replace(batch([record, record + 2]), partition=shard), NOTHING)
    store.delete(shard, at(3 * record, *range(record, 2 * record)), record + 2)
    store.delete(shard, at(4 * record, *range(5, 9)), 3 * record)  # of which nothing is there
    store.tail({}, 1)
    told = store.tail({shard: NOTHING}, 10).batches
    assert [b.deletion.targets for b in told if b.deletion] == [(record, record + 2), (5,)]


def test_a_wrong_belief_is_refused_and_changes_nothing(stores: Stores) -> None:
    store = taught(stores)
    state = store.state(0)
    for expected in (8, 10):
        assert store.delete(0, by_key(12, "a"), expected) == Refused(state)
    assert store.state(0) == state
    assert store.entry(0, 0) is not None
    done = store.delete(0, by_key(12, "a"), 9)
    assert store.delete(0, by_key(12, "a"), 9) == Refused(done.state)


@pytest.mark.parametrize("deletion", [at(9, 1), at(10, 10), at(10, -1), Deletion(2**63, 0)])
def test_a_deletion_of_what_comes_later_or_out_of_order_is_refused(
    stores: Stores, deletion: Deletion
) -> None:
    store = taught(stores)
    with pytest.raises(ValueError, match="deletion"):
        store.delete(0, deletion, 9)
    assert store.state(0).watermark == 9


def test_an_entry_is_gone_at_once_but_held_until_a_checkpoint_covers_its_deletion(stores: Stores) -> None:
    store = taught(stores)
    store.delete(0, at(10, 1, 6), 9)
    assert store.entry(0, 1) is None
    assert store.entry(0, 2) is not None
    stores.weights().claim("solver")
    for stamp in ("", cover(stores, 9)):
        assert erase(store, stamp) == 0
        assert held(store, 0, 1, 6) == [0, 1, 6]
        assert offsets(everything(store)) == [*range(8)]
    assert erase(store, cover(stores, 10)) == 0
    assert held(store, 0, 1, 6) == [0]
    assert store.entry(0, 1) is None
    assert offsets(everything(store)) == [0, 2, 3, 4, 5, 7]


@pytest.mark.parametrize("most", [1, 2, 100])
@pytest.mark.parametrize("position", [NOTHING, 0, 1, 2, 3, 5, 9, 10])
def test_from_any_position_readers_find_what_is_left_and_count_every_row(
    stores: Stores, position: int, most: int
) -> None:
    store = taught(stores)
    store.delete(0, at(10, 0, 3, 4, 7), 9)
    store.append(batch([11, 12]), 10)
    assert erase(store, cover(stores, 12)) == 0
    found = everything(stores_reader(stores), most, position)
    assert offsets(found) == [o for o in (1, 2, 5, 6, 11, 12) if o > position]
    assert sum(b.rows for b in found) == sum(o > position for o in (*range(8), 11, 12))
    assert [b.watermark for b in found] == sorted({b.watermark for b in found})
    assert store.state(0).rows == 10


def stores_reader(stores: Stores) -> EntryStore:
    return stores.entry_store()


def test_erasing_goes_on_where_it_stopped_and_a_batch_may_lose_rows_twice(stores: Stores) -> None:
    store = taught(stores)
    store.delete(0, at(10, 0, 3, 6), 9)
    stamp = cover(stores, 10)
    assert erase(store, stamp, 1) == 2
    assert offsets(everything(store)) == [1, 2, 3, 4, 5, 6, 7]
    assert erase(stores.entry_store(), stamp, 1) == 1
    store.delete(0, at(11, 1, 2), 10)
    stamp = cover(stores, 11)
    left = [erase(store, stamp, 1) for _ in range(3)]
    assert left[-1] == 0
    assert offsets(everything(store)) == [4, 5, 7]
    assert everything(store)[0].removed == (0, 1, 2)


def test_a_restored_store_without_the_checkpoint_erases_nothing(redis_stores: RedisStores) -> None:
    """A store that lost the checkpoint that covers a deletion must hold the rows for the next solver."""
    store = taught(redis_stores)
    store.delete(0, at(10, 1), 9)
    snapshot = redis_stores.snapshot()
    stamp = cover(redis_stores, 10)
    redis_stores.restore(snapshot)
    with pytest.raises(StoreReplaced):  # the store doesn't know of this solver
        erase(store, stamp)
    redis_stores.weights().claim("solver")
    assert erase(store, stamp) == 0
    assert held(store, 1) == [1]


def test_only_what_the_solver_s_own_checkpoint_covers_is_erased(stores: Stores) -> None:
    """Another one is stored: whoever works on from a different one, or from none, may still have to come to
    the deletion, and must then find what it has folded in."""
    store = taught(stores)
    store.delete(0, at(10, 1), 9)
    stamp = cover(stores, 10)
    cover(stores, 10)
    for other in ("", "another", stamp):
        assert erase(store, other) == 0
        assert held(store, 1) == [1]


def test_a_solver_whose_role_was_taken_over_erases_nothing(stores: Stores) -> None:
    store = taught(stores)
    store.delete(0, at(10, 1), 9)
    stamp = cover(stores, 10)
    stores.weights().claim("another solver")
    with pytest.raises(Superseded):
        erase(store, stamp)
    assert held(store, 1) == [1]


def test_a_checkpoint_that_is_loaded_may_erase_what_its_saver_left(stores: Stores) -> None:
    store = taught(stores)
    store.delete(0, at(10, 1), 9)
    cover(stores, 10)
    weights = stores.weights()
    weights.claim("solver")
    assert erase(store, weights.load_checkpoint(4).stamp) == 0
    assert held(store, 1) == []
    assert weights.load_checkpoint(4, "other features").stamp == ""


def test_a_role_taken_over_between_reading_and_erasing_is_noticed(
    redis_stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hurnet_stream.adapters.redis.erasing import Redaction

    store = taught(redis_stores)
    store.delete(0, at(10, 1), 9)
    stamp = cover(redis_stores, 10)
    rewrite = Redaction._rewrite

    def taken_over(self: Redaction, *args: object) -> object:
        redis_stores.weights().claim("another solver")
        opened(redis_stores).fence("another solver")
        return rewrite(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Redaction, "_rewrite", taken_over)
    with pytest.raises(TransientError):
        erase(store, stamp)
    assert held(store, 1) == [1]


def test_the_checkpoint_that_goes_away_while_it_erases_is_found_too_old_by_the_next_solver(
    redis_stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hurnet_stream.adapters.redis.erasing import Redaction

    store = taught(redis_stores)
    store.delete(0, at(10, 1), 9)
    store.delete(0, at(11, 6), 10)
    stamp = cover(redis_stores, 11)
    rewrite = Redaction._rewrite

    def lose(self: Redaction, *args: object) -> object:
        redis_stores.client.delete(redis_stores.keys.solver("checkpoint"))
        return rewrite(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Redaction, "_rewrite", lose)
    with pytest.raises(TransientError):
        erase(store, stamp)
    assert held(store, 1, 6) == [6], "once it is gone, nothing more is erased"
    assert store.fence("another solver") == {0: 10}


def test_nothing_readable_of_an_erased_row_stays_in_the_server(redis_stores: RedisStores) -> None:
    store = taught(redis_stores)
    store.append(batch([10, 11], ["only-one", None]), 9)
    store.delete(0, by_key(12, "only-one"), 11)
    stamp = cover(redis_stores, 12)
    redis_stores.client.config_set("rdbcompression", "no")  # so that what it would save can be searched

    def saved() -> bytes:
        return b"".join(redis_stores.snapshot().values())

    try:
        assert b"secret number 10" in saved()
        erase(store, stamp)
        assert b"secret number 10" not in saved()
        assert key_digest(b"only-one") not in saved().replace(deletion_itself(redis_stores), b"")
        assert b"secret number 11" in saved()
    finally:
        redis_stores.client.config_set("rdbcompression", "yes")


def deletion_itself(stores: RedisStores) -> bytes:
    """Names the key's digest, as the audit does."""
    (fields,) = [
        fields
        for _, fields in stores.client.xrange(f"{stores.settings.prefix}:{{shard-0}}:stream")
        if b"deletion" in fields
    ]
    return bytes(fields[b"deletion"])


def test_a_deleted_context_takes_no_deletion(redis_stores: RedisStores) -> None:
    store = taught(redis_stores)
    redis_stores.wipe()
    with pytest.raises(StoreReplaced):
        store.delete(0, at(10, 1), 9)


@pytest.fixture
def unlearned() -> DeletionAudit:
    return DeletionAudit(
        3, Deletion(12, 5_000, key_digest(b"k"), (1, 7)), 6_000, 2, {"faq": ("aa", "bb")}, {0: 4, 3: 12}
    )


def test_the_audit_comes_with_the_checkpoint_and_its_first_word_stands(
    stores: Stores, unlearned: DeletionAudit
) -> None:
    weights = stores.weights()
    weights.claim("solver")
    assert list(weights.audit()) == []
    for said in (unlearned, DeletionAudit(3, unlearned.deletion, 9_000, 0, {}, {})):
        checkpoint = Checkpoint({"faq": Statistics(4)}, {3: ShardState(12, 1, "e")}, unlearned=[said])
        weights.save_checkpoint(checkpoint)
        assert checkpoint.unlearned == []
        assert list(stores.weights().audit()) == [unlearned]


def too_old(offset: int, before_ms: int, through: int, context: str = "default") -> Deletion:
    return Deletion(offset, 5_000, context=context, expiry=Expiry(before_ms, through))


def test_what_is_too_old_is_deleted_up_to_a_place(stores: Stores) -> None:
    """The entry at offset o is from the time 1,000 + o."""
    store = taught(stores)
    assert isinstance(store.delete(0, too_old(10, 1_004, 2), 9), Appended)
    assert isinstance(store.delete(0, too_old(11, 1_004, 7), 10), Appended)
    assert isinstance(store.delete(0, too_old(12, 1_007, 6, context="other"), 11), Appended)
    deletions = [b.deletion for b in everything(store) if b.deletion]
    assert [d.targets for d in deletions] == [(0, 1, 2), (3,), ()]
    assert deletions[0] == Deletion(10, 5_000, None, (0, 1, 2), "default", expiry=Expiry(1_004, 2))
    assert [e.offset for e in store.oldest(0, "default", NOTHING, 3)] == [4, 5, 6]
    assert [e.offset for e in store.oldest(0, "default", 5, 3)] == [6, 7]
    assert erase(store, cover(stores, 12)) == 0
    assert offsets(everything(store)) == [4, 5, 6, 7]
    store.append(batch([13]), 12)
    store.delete(0, too_old(14, 2_000, 13), 13)
    assert erase(store, cover(stores, 14)) == 0
    assert offsets(everything(store)) == []
    assert not store.oldest(0, "default", NOTHING, 3)


def test_very_many_that_are_too_old_are_deleted_in_parts(stores: Stores) -> None:
    store = opened(stores)
    watermark = NOTHING
    for first in range(0, 3_600, 600):
        store.append(batch(list(range(first, first + 600))), watermark)
        watermark = first + 599
    wanted = too_old(4_000, 1_000 + 3_500, 3_599)
    steps = 0
    while isinstance(store.delete(0, wanted, watermark), Unfinished):
        steps += 1
    assert steps >= 2
    assert [e.offset for e in store.oldest(0, "default", NOTHING, 1_000)] == list(range(3_500, 3_600))
    assert erase(store, cover(stores, 4_000), 10_000) == 0
    assert offsets(everything(store)) == list(range(3_500, 3_600))


def test_a_context_that_has_lost_all_by_age_is_still_a_context(stores: Stores) -> None:
    store = taught(stores)
    store.admit(frozenset({"default"}), 10)
    store.delete(0, too_old(10, 9_000, 9), 9)
    store.append(batch([11]), 10)
    assert store.contexts() == frozenset({"default"})
    assert offsets(everything(store))[-1] == 11
    assert held(store, 11) == [11]
