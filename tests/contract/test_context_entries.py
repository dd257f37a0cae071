"""The entries of a context, page by page, as they are in a real store."""

from __future__ import annotations

import numpy as np

from hurnet_stream.adapters.redis.context_entries import RedisContextEntries
from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion, EmbedderIdentity, Entry
from hurnet_stream.core.stored.entries import EntryId
from hurnet_stream.overview.contexts import AnswerCount, answer_counts
from tests.contract.stores import RedisStores

IDENTITY = EmbedderIdentity("hash4", "f" * 64, 4)
ROWS = 100


def filled(stores: RedisStores) -> RedisContextEntries:
    """Two shards of 100 rows in batches of 3, every second one of the context `even`, and 4 deleted."""
    store = stores.entry_store()
    store.open(IDENTITY, writing=True)
    for partition in (0, 1):
        watermark = NOTHING
        for first in range(0, ROWS, 3):
            offsets = range(first, min(first + 3, ROWS))
            names = ("even", "odd")
            entries = [Entry(o, 1_000, names[o % 2], f"text {o}", f"answer {o % 4}") for o in offsets]
            vectors = np.ones((len(entries), 4), np.int16)
            store.append(Batch(partition, offsets[-1], entries, vectors), watermark)
            watermark = offsets[-1]
    store.delete(0, Deletion(ROWS, 1_000, targets=(4,)), ROWS - 1)
    return RedisContextEntries(store.connection)


def test_pages_give_every_entry_once_in_order_and_none_that_was_deleted(redis_stores: RedisStores) -> None:
    reader = filled(redis_stores)
    wanted = [(p, o) for p in (0, 1) for o in range(0, ROWS, 2) if (p, o) != (0, 4)]
    for size in (1, 7, 50, 1_000):
        found: list[EntryId] = []
        while page := reader.page("even", found[-1] if found else None, size):
            assert len(page) <= size
            found += [(partition, entry.offset) for partition, entry in page]
        assert found == wanted
    assert reader.page("absent", None, 10) == []
    assert reader.page("even", (7, 0), 10) == []


def test_pages_of_the_newest_give_every_entry_once_and_backwards(redis_stores: RedisStores) -> None:
    reader = filled(redis_stores)
    wanted = {(p, o) for p in (0, 1) for o in range(0, ROWS, 2)} - {(0, 4)}
    for size in (1, 7, 50, 1_000):
        found: list[EntryId] = []
        before: dict[int, int] = {}
        while page := reader.newest("even", before, size):
            assert 0 < len(page) <= size
            assert len(found) <= len(wanted)
            found += [(partition, entry.offset) for partition, entry in page]
            before |= {partition: entry.offset for partition, entry in page}
        assert len(found) == len(wanted)
        assert set(found) == wanted
        for partition in (0, 1):
            offsets = [offset for p, offset in found if p == partition]
            assert offsets == sorted(offsets, reverse=True)
    assert reader.newest("absent", {}, 10) == []
    assert reader.newest("even", {0: 0, 1: 0}, 10) == []


def test_the_newest_of_all_shards_come_first(redis_stores: RedisStores) -> None:
    store = redis_stores.entry_store()
    store.open(IDENTITY, writing=True)
    for partition, times in ((0, (1, 4, 6)), (1, (2, 3, 5))):
        entries = [Entry(o, time, "c", f"at {time}") for o, time in enumerate(times)]
        store.append(Batch(partition, 2, entries, np.ones((3, 4), np.int16)), NOTHING)
    newest = RedisContextEntries(store.connection).newest("c", {}, 4)
    assert [entry.text for _, entry in newest] == ["at 6", "at 5", "at 4", "at 3"]


def test_answers_are_counted(redis_stores: RedisStores) -> None:
    reader = filled(redis_stores)
    counts, complete = answer_counts(reader.connection, "even")
    assert counts == [AnswerCount("answer 2", 50), AnswerCount("answer 0", 49)]
    assert complete


def test_a_store_that_nobody_began_has_no_entries(redis_stores: RedisStores) -> None:
    assert RedisContextEntries(redis_stores.entry_store().connection).page("even", None, 10) == []
