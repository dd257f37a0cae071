"""A backup is the store at one moment, a restored store reads as that one, and no file can do harm."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore, connect
from hurnet_stream.adapters.redis.copying import StoreCopy
from hurnet_stream.adapters.redis.filling import StoreFiller
from hurnet_stream.core.stored.backup import Part, Writer, parts
from hurnet_stream.core.stored.batch import Anchor, Deletion, LogIdentity
from hurnet_stream.errors import HurnetError, StoreError, StoreReplaced, Unreadable, UpgradeNeeded
from hurnet_stream.ports import EntryStore
from hurnet_stream.terminal.backup_files import deletions_of
from tests.contract.stores import RedisStores
from tests.contract.test_compaction import compact, settled
from tests.contract.test_deletion import IDENTITY, at, batch, by_key, everything, offsets, taught


def backed_up(stores: RedisStores, between: Callable[[Part], object] = lambda _: None) -> bytes:
    connection = connect(stores.settings)
    stores.close.append(connection.close)
    file = io.BytesIO()
    writer = Writer(file.write)
    for part in StoreCopy(connection, lambda _: None).parts():
        between(part)
        writer.add(part)
    writer.finish()
    return file.getvalue()


def restored(stores: RedisStores, file: bytes, *deletions: tuple[int, Deletion]) -> RedisEntryStore:
    """Another prefix of the same server, filled from the file."""
    connection = connect(stores.settings.model_copy(update={"prefix": f"{stores.settings.prefix}:again"}))
    stores.close.append(connection.close)
    filler = StoreFiller(connection)
    filler.begin()
    for part in parts(io.BytesIO(file).read):
        filler.take(part)
    filler.delete(deletions)
    filler.finish(lambda _: None)
    store = RedisEntryStore(connection)
    store.open(IDENTITY, writing=True)
    return store


def empty_again(stores: RedisStores) -> None:
    for key in stores.client.scan_iter(f"{stores.settings.prefix}:again:*", count=1_000):
        stores.client.delete(key)


def read(store: EntryStore) -> list[object]:
    return [
        (b.watermark, b.rows, b.end, b.deletion, [*b.entries], b.vectors.tolist()) for b in everything(store)
    ]


def test_a_restored_store_is_the_one_that_was_backed_up(redis_stores: RedisStores) -> None:
    store = taught(redis_stores)
    store.bind(LogIdentity("cluster", "topic"))
    store.append(replace(batch([10, 11], ["c", None]), anchor=Anchor(11, 3, "ab")), 9)
    store.delete(0, by_key(12, "a"), 11)
    settled(redis_stores, store, 12)
    again = restored(redis_stores, backed_up(redis_stores))
    assert read(again) == read(store)
    assert again.holdings() == store.holdings()
    assert again.contexts() == store.contexts()
    assert again.log() == store.log()
    assert replace(again.state(0), epoch="") == replace(store.state(0), epoch="")
    assert [a.deletion for a in RedisWeightsStore(again.connection).audit()] == []
    # Both go on alike.
    for each in (store, again):
        each.delete(0, by_key(13, "c"), 12)
        each.delete(0, Deletion(14, 5_000, context="default"), 13)
    assert read(again)[-2:] == read(store)[-2:]


def test_what_is_deleted_and_not_erased_is_not_in_it(redis_stores: RedisStores) -> None:
    store = taught(redis_stores)
    store.delete(0, at(10, 1), 9)
    file = backed_up(redis_stores)
    again = restored(redis_stores, file)
    assert offsets(everything(again)) == [0, 2, 3, 4, 5, 6, 7]
    assert again.pending_erasures() == {0: 0}
    assert again.holdings()[0]["default"].rows == 7


@pytest.mark.parametrize("kind", ["S", "I", "K", "A"])
def test_what_is_deleted_while_it_is_taken_is_not_in_it(redis_stores: RedisStores, kind: str) -> None:
    store = taught(redis_stores)
    redis_stores.client.hset(f"{redis_stores.settings.prefix}:{{solver}}:audit", "x", AUDIT)
    done: list[object] = []

    def delete(part: Part) -> None:
        if part.kind == kind and not done:
            done.append(store.append(batch([10], ["a"]), 9))
            store.delete(0, by_key(11, "a"), 10)
            settled(redis_stores, store, 11)

    file = backed_up(redis_stores, delete)
    assert done
    again = restored(redis_stores, file)
    assert again.state(0).watermark == 9
    kept = offsets(everything(again))
    assert kept == ([0, 1, 2, 3, 4, 5, 6, 7] if kind == "A" else [1, 2, 5, 6, 7])


AUDIT = (
    '{"format": 1, "partition": 0, "deletion": {"offset": 1, "timestamp_ms": 0, "key": null, "targets": [0],'
    ' "context": null, "parts": 0}, "done_ms": 1, "pairs": 0, "digests": {}, "watermarks": {}, "entries": 1}'
)


def test_deletions_that_came_since_are_applied_before_anybody_can_read(redis_stores: RedisStores) -> None:
    store = taught(redis_stores)
    file = backed_up(redis_stores)
    since = [(0, at(20, 5)), (0, by_key(21, "b")), (0, at(3, 7))]  # the last one is older than the backup
    again = restored(redis_stores, file, *since)
    assert offsets(everything(again)) == [0, 2, 3, 4, 6, 7]
    empty_again(redis_stores)
    dropped = restored(redis_stores, file, (0, Deletion(20, 1, context="default")), (7, at(9, 1)))
    assert offsets(everything(dropped)) == []
    assert dropped.contexts() == frozenset()
    assert store.contexts() == frozenset({"default"})


def test_a_newer_backup_tells_what_was_deleted_since_also_what_no_solver_has_unlearned(
    redis_stores: RedisStores, tmp_path: Path
) -> None:
    store = taught(redis_stores)
    old = backed_up(redis_stores)
    store.delete(0, at(10, 0), 9)
    store.delete(0, by_key(11, "b"), 10)
    newer = tmp_path / "newer.hurnet"
    newer.write_bytes(backed_up(redis_stores))
    assert offsets(everything(restored(redis_stores, old))) == [0, 1, 2, 3, 4, 5, 6, 7]
    empty_again(redis_stores)
    assert offsets(everything(restored(redis_stores, old, *deletions_of(newer)))) == [2, 3, 4, 5, 6, 7]


def test_a_store_that_is_compacted_while_it_is_copied(redis_stores: RedisStores) -> None:
    store = taught(redis_stores)
    store.delete(0, at(10, 1), 9)
    for offset in range(11, 60):
        store.append(batch([offset]), offset - 1)
    stamp = settled(redis_stores, store, 59)
    seen = []

    def go_on(part: Part) -> None:
        if part.kind == "I":
            seen.append(part)
            if len(seen) == 2:
                compact(store, stamp)

    file = backed_up(redis_stores, go_on)
    again = restored(redis_stores, file)
    assert offsets(everything(again)) == offsets(everything(store))
    assert everything(again)[-1].end == store.state(0).rows
    assert again.holdings() == store.holdings()


def test_it_restores_into_nothing_but_an_empty_prefix(redis_stores: RedisStores) -> None:
    taught(redis_stores)
    file = backed_up(redis_stores)
    again = restored(redis_stores, file)
    with pytest.raises(StoreError, match="is not empty"):
        restored(redis_stores, file)
    assert offsets(everything(again)) == list(range(8))


def test_a_restore_that_was_cut_off_leaves_nothing_to_read_and_is_begun_anew(
    redis_stores: RedisStores,
) -> None:
    taught(redis_stores)
    file = backed_up(redis_stores)
    for length in (len(file) // 3, len(file) // 2, len(file) - 1):
        with pytest.raises((ValueError, Unreadable)):
            restored(redis_stores, file[:length])
        other = connect(
            redis_stores.settings.model_copy(update={"prefix": f"{redis_stores.settings.prefix}:again"})
        )
        assert RedisEntryStore(other).identity() is None
        if other.client.scard(f"{other.prefix}:shards"):
            with pytest.raises(StoreError, match="is gone but its shards are not"):
                RedisEntryStore(other).open(IDENTITY)
        other.close()
    assert offsets(everything(restored(redis_stores, file))) == list(range(8))


def test_workers_of_the_store_that_was_there_notice_that_it_is_another(redis_stores: RedisStores) -> None:
    store = taught(redis_stores)
    again = restored(redis_stores, backed_up(redis_stores))
    prefix = redis_stores.settings.prefix
    redis_stores.client.set(f"{prefix}:meta", redis_stores.client.get(f"{prefix}:again:meta"))
    with pytest.raises(StoreReplaced):
        store.tail({}, 9)
    assert offsets(everything(again)) == list(range(8))


def damaged(file: bytes, seed: int) -> Iterator[bytes]:
    """The file with a part that says something else, under right checksums."""
    chance = random.Random(seed)
    original = list(parts(io.BytesIO(file).read))
    odd: list[object] = [None, -1, 2**70, "x", b"", [], {}, "\0", 1.5, b"\xff" * 9, True]
    chosen = chance.randrange(len(original))
    content = msgpack.unpackb(msgpack.packb(original[chosen].content), strict_map_key=False)
    if isinstance(content, list) and content:
        content[chance.randrange(len(content))] = chance.choice(odd)
    else:
        content = chance.choice(odd)
    original[chosen] = Part(original[chosen].kind, content)
    if chance.random() < 0.3:
        del original[chance.randrange(1, len(original))]
    out = io.BytesIO()
    writer = Writer(out.write)
    for part in original:
        try:
            writer.add(part)
        except OverflowError:  # no number that a file can hold
            return
    writer.finish()
    yield out.getvalue()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
def test_a_forged_file_is_refused_or_harmless(redis_stores: RedisStores, seed: int) -> None:
    if not redis_stores.held():
        store = taught(redis_stores)
        store.delete(0, at(10, 1), 9)
        redis_stores.client.hset(f"{redis_stores.settings.prefix}:{{solver}}:versions", "default", 3)
    empty_again(redis_stores)
    held = sorted(redis_stores.held())
    for file in damaged(backed_up(redis_stores), seed):
        try:
            again = restored(redis_stores, file)
            assert len(offsets(everything(again))) <= 8
        except (HurnetError, ValueError):
            pass
    mine = f"{redis_stores.settings.prefix}:again:".encode()
    assert [name for name in sorted(redis_stores.held()) if not name.startswith(mine)] == held


WORDS = "no backup|cut off|says that it has|checksum|be read|missing|follows|the kind"


def test_any_changed_byte_is_noticed(redis_stores: RedisStores) -> None:
    taught(redis_stores)
    file = backed_up(redis_stores)
    chance = random.Random(7)
    for _ in range(300):
        where = chance.randrange(len(file))
        changed = file[:where] + bytes([file[where] ^ (1 << chance.randrange(8))]) + file[where + 1 :]
        with pytest.raises(ValueError, match=WORDS):
            list(parts(io.BytesIO(changed).read))
    with pytest.raises(ValueError, match="follows its end"):
        list(parts(io.BytesIO(file + b"x").read))


def test_a_newer_backup_says_upgrade(redis_stores: RedisStores) -> None:
    taught(redis_stores)
    redis_stores.is_upgraded(9, 9)
    file = io.BytesIO()
    writer = Writer(file.write)
    header = '{"format": 7, "made_ms": 0, "prefix": "p", "meta": "{}", "log": null, "contexts": []}'
    writer.add(Part("H", header))
    writer.finish()
    with pytest.raises(UpgradeNeeded):
        restored(redis_stores, file.getvalue())
