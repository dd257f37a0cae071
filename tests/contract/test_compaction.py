"""What deletions leave behind is compacted away, and nobody who reads the shard can tell."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hurnet_stream.core.formats import COMPACTED_FROM
from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion, ShardState
from hurnet_stream.core.stored.compaction import Horizon
from hurnet_stream.errors import StoreReplaced, Superseded, TransientError
from hurnet_stream.ports import Checkpoint, EntryStore, check_not_passed
from tests.contract.stores import RedisStores, Stores
from tests.contract.test_deletion import (
    IDENTITY,
    at,
    batch,
    by_key,
    cover,
    erase,
    everything,
    offsets,
    opened,
    taught,
)

MOST = 1_000


def compact(store: EntryStore, stamp: str, keep_s: float = 0) -> None:
    """Twice, since what is covered becomes the next floor first."""
    for _ in range(2):
        while store.compact(MOST, "solver", stamp, keep_s):
            pass


def settled(stores: Stores, store: EntryStore, watermark: int) -> str:
    """All that was deleted is erased under a checkpoint, of which the stamp is returned."""
    stamp = cover(stores, watermark)
    while erase(store, stamp):
        pass
    return stamp


def ends(batches: Sequence[Batch]) -> list[int | None]:
    return [found.end for found in batches]


def test_neighbours_become_one_item_and_rows_keep_their_numbers(stores: Stores) -> None:
    store = taught(stores)
    store.delete(0, by_key(10, "a"), 9)
    store.append(batch([11, 12]), 10)
    store.delete(0, at(13, 12), 12)
    stamp = settled(stores, store, 13)
    before = everything(store)
    compact(store, stamp)
    after = everything(stores.entry_store())
    assert offsets(after) == offsets(before) == [1, 2, 5, 6, 7, 11]
    assert [found.rows for found in after] == [10]
    assert (after[-1].watermark, after[-1].end, after[-1].gone) == (13, 10, 4)
    assert store.compacted() == {0: 13}
    assert store.state(0).floor == 13
    store.append(batch([14]), 13)
    assert ends(everything(store)) == [10, 11]
    assert ends(everything(store, most=1)) == [10, 11]


def test_further_deletions_leave_nothing_more(stores: Stores) -> None:
    store = taught(stores)
    for offset in range(10, 30, 2):
        store.append(batch([offset]), offset - 1)
        store.delete(0, at(offset + 1, offset), offset)
        compact(store, settled(stores, store, offset + 1))
        assert len(everything(store)) == 1
    assert everything(store)[0].gone == 10


def test_what_is_deleted_later_of_a_compacted_batch_is_found_and_erased(stores: Stores) -> None:
    store = taught(stores)
    store.delete(0, at(10, 1), 9)
    compact(store, settled(stores, store, 10))
    store.delete(0, by_key(11, "a"), 10)
    store.delete(0, Deletion(12, 5_000, context="default"), 11)
    assert [b.deletion.targets for b in everything(store) if b.deletion] == [(0, 3, 4), (2, 5, 6, 7)]
    stamp = settled(stores, store, 12)
    assert offsets(everything(store)) == []
    assert store.contexts() == frozenset()
    compact(store, stamp)
    (left,) = everything(stores.entry_store())
    assert (left.rows, left.end, left.gone, left.removed) == (8, 8, 8, ())


def test_a_young_deletion_stays_until_it_is_asked_to_go(stores: Stores) -> None:
    store = taught(stores)
    store.delete(0, at(10, 1), 9)
    stamp = settled(stores, store, 10)
    compact(store, stamp, keep_s=3600)
    assert store.state(0).floor == NOTHING
    assert [b.deletion.offset for b in everything(store) if b.deletion] == [10]
    store.ask_to_compact({0: 10})
    compact(store, stamp, keep_s=3600)
    assert store.state(0).floor == 10


def test_the_floor_passes_neither_the_checkpoint_nor_what_is_not_erased(stores: Stores) -> None:
    store = taught(stores)
    store.ask_to_compact({0: 10_000})
    store.delete(0, at(10, 1), 9)
    store.delete(0, at(11, 2), 10)
    stamp = cover(stores, 10)
    compact(store, stamp)
    assert store.state(0).floor == 9  # 1 is pending
    stamp = settled(stores, store, 10)
    compact(store, stamp)
    assert store.state(0).floor == 10
    assert [b.deletion.offset for b in everything(store) if b.deletion] == [11]


def test_a_reader_that_was_passed_is_told_and_one_that_was_not_goes_on(stores: Stores) -> None:
    store = taught(stores)
    horizons = {"at 4": (4, Horizon()), "new": (NOTHING, Horizon()), "there": (12, Horizon())}
    first = store.tail({}, 100)
    check_not_passed(horizons["at 4"][1], {}, first)
    store.delete(0, at(12, 1), 9)
    compact(store, settled(stores, store, 12))
    for name, (position, horizon) in horizons.items():
        tail = store.tail({0: position}, 100)
        if name == "at 4":
            with pytest.raises(StoreReplaced):
                check_not_passed(horizon, {0: position}, tail)
        else:
            check_not_passed(horizon, {0: position}, tail)
    # One that has begun below the floor as it is now goes on below it.
    begun = horizons["new"][1]
    check_not_passed(begun, {0: 4}, store.tail({0: 4}, 100))


def test_only_the_solver_that_goes_on_from_the_checkpoint_compacts(stores: Stores) -> None:
    store = taught(stores)
    store.delete(0, at(10, 1), 9)
    stamp = settled(stores, store, 10)
    compact(store, "another stamp")
    assert store.state(0).floor == NOTHING
    with pytest.raises(Superseded):
        store.compact(MOST, "another", stamp, 0)


def test_a_store_that_older_programs_read_is_left_as_it_is_until_somebody_asks(stores: Stores) -> None:
    store = taught(stores)
    stores.is_upgraded(1, 1)
    store.delete(0, at(10, 1), 9)
    stamp = settled(stores, store, 10)
    compact(store, stamp)
    assert store.state(0).floor == NOTHING
    store.ask_to_compact({0: 10})
    compact(store, stamp)
    assert store.state(0).floor == 10
    fresh = stores.entry_store()
    fresh.open(IDENTITY, writing=True)
    assert fresh.state(0).floor == 10
    assert COMPACTED_FROM == 2


def test_the_parts_of_a_large_deletion_go_with_it(stores: Stores) -> None:
    store = opened(stores)
    for first in range(0, 2_500, 250):
        numbers = range(first, first + 250)
        store.append(batch(list(numbers), ["k"] * 250), first - 1)
    store.append(batch([2_500]), 2_499)
    while type(store.delete(0, by_key(2_501, "k"), 2_500)).__name__ == "Unfinished":
        pass
    assert list(store.deletion_part(0, 2_501, 1))[:2] == [0, 1]
    compact(store, settled(stores, store, 2_501))
    with pytest.raises(StoreReplaced):
        store.deletion_part(0, 2_501, 1)
    left = everything(stores.entry_store())
    assert (offsets(left), [found.rows for found in left]) == ([2_500], [2_501])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_came_and_went_compaction_changes_nothing_that_is_read(
    stores: Stores, data: st.DataObject
) -> None:
    stores.wipe()
    store = opened(stores)
    watermark, next_offset = NOTHING, 0
    for _ in range(data.draw(st.integers(1, 12))):
        if next_offset and data.draw(st.booleans()):
            targets = data.draw(st.sets(st.integers(0, next_offset - 1), min_size=1, max_size=6))
            store.delete(0, at(next_offset, *sorted(targets)), watermark)
        else:
            count = data.draw(st.integers(1, 5))
            store.append(batch(list(range(next_offset, next_offset + count))), watermark)
            next_offset += count - 1
        watermark, next_offset = next_offset, next_offset + 1
        if data.draw(st.integers(0, 3)) == 0:
            covered = data.draw(st.integers(0, watermark))
            stamp = settled(stores, store, covered)
            kept, rows = offsets(everything(store)), store.state(0).rows
            for _ in range(data.draw(st.integers(1, 3))):
                store.compact(data.draw(st.integers(1, 4)), "solver", stamp, 0)
            for most in (1, 3, 100):
                found = everything(stores.entry_store(), most)
                assert offsets(found) == kept
                assert found[-1].end == rows
                assert sum(each.rows for each in found) == rows
    compact(store, settled(stores, store, watermark))
    found = everything(stores.entry_store())
    assert not any(each.deletion or each.removed for each in found)
    assert len(found) <= 1 or any(each.entries for each in found)


def test_a_batch_that_was_joined_between_two_reads_is_read_once(redis_stores: RedisStores) -> None:
    """A reader asks the stream, then the solver joins what it was given, then it asks for what was erased."""
    from hurnet_stream.adapters.redis.redaction import merged

    store = taught(redis_stores)
    store.delete(0, at(10, 1), 9)
    key = f"{redis_stores.settings.prefix}:{{shard-0}}"
    stale = redis_stores.client.xrange(f"{key}:stream")
    compact(store, settled(redis_stores, store, 10))
    members = redis_stores.client.zrange(f"{key}:redacted", 0, -1)
    assert (len(stale), len(members)) == (4, 1)
    assert [name for name, _ in merged(stale, members, 100)] == [b"11-0"]


def test_who_is_fenced_off_while_it_compacts_changes_nothing(
    redis_stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hurnet_stream.adapters.redis.compacting import ShardCompaction

    store = taught(redis_stores)
    store.delete(0, at(10, 1), 9)
    stamp = settled(redis_stores, store, 10)
    queue = ShardCompaction._queue

    def lose(self: ShardCompaction, *args: object) -> None:
        opened(redis_stores).fence("another solver")
        queue(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(ShardCompaction, "_queue", lose)
    with pytest.raises(TransientError):
        compact(store, stamp)
    assert offsets(everything(store)) == [0, 2, 3, 4, 5, 6, 7]
    assert len(everything(store)) == 4


def test_old_audits_are_dropped(stores: Stores) -> None:
    from hurnet_stream.ports import DeletionAudit

    weights = stores.weights()
    weights.claim("solver")
    audits = [DeletionAudit(0, Deletion(n, n, context=f"c{n % 2}"), n, 1, {}, {0: n}) for n in range(20)]
    weights.save_checkpoint(Checkpoint(shards={0: ShardState(20, 0, "e")}, unlearned=audits))
    assert weights.trim_audit(4) == 12
    assert [audit.done_ms for audit in weights.audit()] == list(range(12, 20))
    assert weights.trim_audit(4) == 0
