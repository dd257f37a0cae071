"""Old rows lie in files, and whoever reads the store can't tell."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.ipc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hurnet_stream.adapters.redis import RedisEntryStore, connect, resealing, sealing
from hurnet_stream.adapters.redis.context_entries import RedisContextEntries
from hurnet_stream.adapters.redis.copying import StoreCopy
from hurnet_stream.adapters.redis.exporting import ContextExport
from hurnet_stream.adapters.redis.filling import StoreFiller
from hurnet_stream.adapters.segments import SegmentStore
from hurnet_stream.adapters.segments.folder import FolderFiles
from hurnet_stream.core.stored.backup import Writer, parts
from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion, Entry, Expiry, key_digest
from hurnet_stream.core.stored.segments import Sealing
from hurnet_stream.errors import ConfigurationError, SegmentsFailing, Superseded, Unreadable, UpgradeNeeded
from hurnet_stream.ports import Appended, EntryStore, Unfinished
from tests.contract.sealed import ALL, AlwaysSealed, SealedStores, seal_all
from tests.contract.stores import RedisStores
from tests.contract.test_compaction import compact
from tests.contract.test_deletion import IDENTITY, at, by_key, cover, erase, everything, offsets, taught
from tests.contract.test_deletion import batch as batch_of

NONE = Sealing(rows=1 << 40, keep_rows=0, keep_bytes=1 << 50)


@pytest.fixture
def stores(
    request: pytest.FixtureRequest, unique: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SealedStores]:
    monkeypatch.setattr(resealing, "PAUSE", 0.0)
    server = getattr(request, "param", "valkey")
    made = SealedStores(request.getfixturevalue(f"{server}_url"), unique, tmp_path / "segments")
    yield made
    made.wipe()
    for close in made.close:
        close()


def unsealed(stores: SealedStores) -> AlwaysSealed:
    """A store whose rows are sealed only if a test says so."""
    stores.much = NONE
    return stores.entry_store()


def files(stores: SealedStores) -> list[Path]:
    return sorted(stores.folder.rglob("*.arrow"))


def erased(stores: SealedStores, store: EntryStore, watermark: int) -> str:
    stamp = cover(stores, watermark)
    while erase(store, stamp):
        pass
    return stamp


@pytest.mark.parametrize("stores", ["valkey", "redis", "cluster"], indirect=True)
def test_rows_leave_redis_and_are_read_as_before(stores: SealedStores) -> None:
    store = taught(stores)
    assert store.sealed() == {0: 8}
    assert stores.client.xlen(stores.keys.shard(0, "stream")) == 0
    assert len(files(stores)) == 3
    found = everything(stores.entry_store())
    assert offsets(found) == list(range(8))
    assert (found[-1].watermark, found[-1].end) == (9, 8)
    assert [entry.text for entry in store.oldest(0, "default", 5, 9)] == [
        "secret number 6",
        "secret number 7",
    ]
    assert store.entry(0, 4) == Entry(4, 1_004, "default", "secret number 4", "answer 4")


def test_a_file_is_a_table_that_others_read(stores: SealedStores) -> None:
    store = stores.entry_store()
    store.open(IDENTITY)
    entries = [
        Entry(0, -5, "faq", "olá", "resposta", {"lang": "pt", "": ""}, copies=-3),
        Entry(2, 1 << 50, "", "", None),
    ]
    store.append(Batch(7, 3, entries, np.array([[1, -2, 3, 4], [5, 6, 7, -8192]], np.int16)), NOTHING)
    table = pyarrow.ipc.open_file(str(files(stores)[0])).read_all()
    assert table.to_pylist() == [
        {
            "shard": 7,
            "position": 0,
            "timestamp_ms": -5,
            "context": "faq",
            "text": "olá",
            "answer": "resposta",
            "metadata": [("lang", "pt"), ("", "")],
            "copies": -3,
            "vector": [1, -2, 3, 4],
        },
        {
            "shard": 7,
            "position": 2,
            "timestamp_ms": 1 << 50,
            "context": "",
            "text": "",
            "answer": None,
            "metadata": None,
            "copies": 1,
            "vector": [5, 6, 7, -8192],
        },
    ]
    assert table.schema.metadata[b"fingerprint"] == IDENTITY.fingerprint.encode()
    (read,) = store.stored_at(7, [0, 2])
    assert [*read.entries] == entries


def test_the_newest_rows_stay_in_redis(stores: SealedStores) -> None:
    store = unsealed(stores)
    store.open(IDENTITY)
    for first in range(0, 100, 10):
        store.append(batch_of(list(range(first, first + 10))), first - 1)
    stamp = cover(stores, 99)

    def seal(much: Sealing) -> int:
        while store.seal(much, "solver", stamp):
            pass
        return store.sealed()[0]

    assert seal(Sealing(rows=15, keep_rows=70, keep_bytes=1 << 50)) == 20
    assert seal(Sealing(rows=15, keep_rows=70, keep_bytes=1 << 50)) == 20
    row = store.holdings()[0]["default"].bytes / 100
    assert seal(Sealing(rows=15, keep_rows=70, keep_bytes=int(40 * row))) == 60
    assert seal(Sealing(rows=15, keep_rows=0, keep_bytes=1 << 50)) == 100
    assert len(files(stores)) == 5
    with pytest.raises(Superseded):
        store.seal(ALL, "another", stamp)
    assert not store.seal(ALL, "solver", "another stamp")


def test_a_deletion_above_the_floor_waits_and_one_below_it_goes(stores: SealedStores) -> None:
    store = unsealed(stores)
    store.open(IDENTITY)
    store.append(batch_of([0, 1, 2], ["a", "b", None]), NOTHING)
    store.delete(0, by_key(3, "a"), 2)
    store.append(batch_of([4, 5]), 3)
    assert seal_all(store) == 1  # the first batch
    assert [b.deletion.offset for b in everything(store) if b.deletion] == [3]
    stamp = erased(stores, store, 5)
    assert offsets(everything(store)) == [1, 2, 4, 5]
    assert store.was_deleted(0, 0)
    compact(store, stamp)
    assert seal_all(store) >= 1
    assert offsets(everything(stores.entry_store())) == [1, 2, 4, 5]
    assert store.sealed() == {0: 5}


@pytest.mark.parametrize("stores", ["valkey", "cluster"], indirect=True)
def test_an_erased_row_leaves_its_file_and_the_old_file_goes(
    stores: SealedStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = taught(stores)
    store.delete(0, at(10, 1, 4), 9)
    before = files(stores)
    assert any(b"secret number 4" in path.read_bytes() for path in before)
    stamp = erased(stores, store, 10)
    now = [path for path in files(stores) if path not in before]
    assert len(now) == 2
    assert not any(b"secret number 4" in path.read_bytes() for path in now)
    assert offsets(everything(stores.entry_store())) == [0, 2, 3, 5, 6, 7]
    store.seal(ALL, "solver", stamp)
    assert len(files(stores)) == 5  # a reader may be about to read them
    monkeypatch.setattr(sealing, "UNUSED_S", 0.0)
    store.seal(ALL, "solver", stamp)
    assert len(files(stores)) == 3
    assert offsets(everything(stores.entry_store())) == [0, 2, 3, 5, 6, 7]
    # Where nothing is left there is no file.
    store.delete(0, Deletion(11, 5_000, context="default"), 10)
    stamp = erased(stores, store, 11)
    store.seal(ALL, "solver", stamp)
    assert files(stores) == []
    assert [b.rows for b in everything(stores.entry_store())][:3] == [3, 2, 3]
    assert store.contexts() == frozenset()


def test_segments_are_written_anew_in_rounds(stores: SealedStores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resealing, "PAUSE", 1e6)
    store = taught(stores)
    store.delete(0, at(10, 1), 9)
    erased(stores, store, 10)
    assert store.pending_erasures() == {0: 0}  # the first one at once
    store.delete(0, at(11, 2), 10)
    assert erase(store, cover(stores, 11)) == 0
    assert store.pending_erasures() == {0: 1}
    assert store.entry(0, 2) is None
    again = stores.entry_store()
    erased(stores, again, 11)  # another solver begins a round
    assert again.pending_erasures() == {0: 0}


# whatever happens, a store with files is read as one without


class Twins:
    """The same is done to a store that seals and to one that doesn't."""

    def __init__(self, stores: SealedStores, much: Sealing) -> None:
        self.stores = stores
        self.plain_stores = RedisStores(stores.settings.url, f"{stores.settings.prefix}.plain")
        stores.close.append(self.plain_stores.wipe)
        stores.much = much
        self.plain_stores.wipe()
        stores.wipe()
        self.stores_both: list[Any] = [self.plain_stores, stores]
        self.both: list[Any] = [each.entry_store() for each in self.stores_both]
        for store in self.both:
            store.open(IDENTITY, writing=True)
        self.watermark = NOTHING

    def append(self, batch: Batch) -> None:
        for store in self.both:
            while isinstance(store.append(batch, self.watermark), Unfinished):
                pass
        self.watermark = batch.watermark

    def delete(self, deletion: Deletion) -> None:
        for store in self.both:
            while isinstance(store.delete(0, deletion, self.watermark), Unfinished):
                pass
        self.watermark = deletion.offset

    def erase(self, covered: int, compacting: bool) -> None:
        for stores, store in zip(self.stores_both, self.both, strict=True):
            stamp = cover(stores, covered)
            while erase(store, stamp):
                pass
            if compacting:
                compact(store, stamp)

    def check(self) -> None:
        plain, sealed = self.both
        assert rows_of(plain) == rows_of(sealed)
        for name in ("holdings", "contexts", "pending_erasures", "oldest_deletion_ms"):
            assert getattr(plain, name)() == getattr(sealed, name)(), name
        assert replace(plain.state(0), epoch="") == replace(sealed.state(0), epoch="")
        for offset in range(-1, self.watermark + 2):
            assert plain.entry(0, offset) == sealed.entry(0, offset)
        some = list(range(0, self.watermark + 1, 3))
        assert stored(plain, some) == stored(sealed, some)
        for context in ("faq", "home"):
            assert [*plain.oldest(0, context, 2, 50)] == [*sealed.oldest(0, context, 2, 50)]
            pages = [RedisContextEntries(store.connection) for store in self.both]
            assert pages[0].page(context, (0, 1), 7) == pages[1].page(context, (0, 1), 7)
            before = {0: max(0, self.watermark - 2)}
            assert pages[0].newest(context, before, 9) == pages[1].newest(context, before, 9)


def rows_of(store: EntryStore) -> list[Any]:
    """What a reader is given in all, in whatever batches."""
    found = everything(store, most=3)
    entries = [entry for batch in found for entry in batch.entries]
    vectors = [row for batch in found for row in batch.vectors.tolist()]
    return [entries, vectors, sum(batch.rows for batch in found), found[-1].end if found else 0]


def stored(store: EntryStore, wanted: list[int]) -> list[Any]:
    found = list(store.stored_at(0, wanted))
    return [
        (entry, row)
        for batch in found
        for entry, row in zip(batch.entries, batch.vectors.tolist(), strict=True)
    ]


@st.composite
def keyed_batches(draw: st.DrawFn, first: int) -> Batch:
    count = draw(st.integers(1, 5))
    offsets = list(range(first, first + count))
    entries = [
        Entry(
            o,
            draw(st.integers(0, 9)),
            draw(st.sampled_from(["faq", "home"])),
            f"text {o}",
            draw(st.sampled_from([None, "x"])),
        )
        for o in offsets
    ]
    keys = [draw(st.sampled_from([None, key_digest(b"a"), key_digest(b"b")])) for _ in offsets]
    replaces = [key is not None and draw(st.booleans()) for key in keys]
    vectors = np.array([[o + 1, 0, -1, 1] for o in offsets], np.int16)
    return Batch(0, offsets[-1], entries, vectors, keys=keys, replaces=replaces)


@st.composite
def deletions(draw: st.DrawFn, offset: int) -> Deletion:
    context = draw(st.sampled_from(["faq", "home"]))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return Deletion(
            offset,
            5_000,
            targets=tuple(sorted(draw(st.sets(st.integers(0, offset - 1), min_size=1, max_size=4)))),
        )
    if kind == 1:
        return Deletion(offset, 5_000, key=key_digest(b"a"), context=draw(st.sampled_from([None, context])))
    if kind == 2:
        return Deletion(offset, 5_000, context=context)
    return Deletion(offset, 5_000, context=context, expiry=Expiry(draw(st.integers(0, 9)), offset - 1))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_came_and_went_nobody_can_tell_that_rows_are_sealed(
    stores: SealedStores, data: st.DataObject
) -> None:
    twins = Twins(stores, Sealing(data.draw(st.integers(1, 9)), data.draw(st.integers(0, 3)), 1 << 50))
    for _ in range(data.draw(st.integers(2, 9))):
        if twins.watermark > 0 and data.draw(st.booleans()):
            twins.delete(data.draw(deletions(twins.watermark + 1)))
        else:
            twins.append(data.draw(keyed_batches(twins.watermark + 1)))
        if data.draw(st.integers(0, 2)) == 0:
            twins.erase(data.draw(st.integers(0, twins.watermark)), data.draw(st.booleans()))
    twins.check()
    twins.erase(twins.watermark, compacting=True)
    twins.check()


# killed at every step


class Killed(BaseException):
    """The process is gone."""


STEPS: dict[str, tuple[Any, str, bool]] = {
    "before the file is written": (FolderFiles, "put", False),
    "after the file was written": (FolderFiles, "put", True),
    "before the script": (RedisEntryStore, "script", False),
    "after the script": (RedisEntryStore, "script", True),
}


def killing(store: Any, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Die at this step, when it comes for the first time."""
    kind, name, after = STEPS[step]
    target, name = (kind, name) if name == "put" else (store.connection.client, "eval")
    run: Callable[..., Any] = getattr(target, name)

    def dies(*arguments: Any, **named: Any) -> Any:
        monkeypatch.undo()
        if after:
            run(*arguments, **named)
        raise Killed

    monkeypatch.setattr(target, name, dies)


@pytest.mark.parametrize("step", STEPS)
def test_a_solver_that_dies_while_it_seals_loses_nothing(
    stores: SealedStores, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store = unsealed(stores)
    store.open(IDENTITY)
    for first in range(0, 12, 3):
        store.append(batch_of([first, first + 1, first + 2]), first - 1)
    stamp = cover(stores, 11)
    much = Sealing(rows=6, keep_rows=0, keep_bytes=1 << 50)
    killing(store, monkeypatch, step)
    with pytest.raises(Killed):
        store.seal(much, "solver", stamp)
    assert offsets(everything(unsealed(stores))) == list(range(12))
    successor = unsealed(stores)
    while successor.seal(much, "solver", stamp):
        pass
    assert offsets(everything(unsealed(stores))) == list(range(12))
    assert successor.sealed() == {0: 12}
    for path in files(stores):  # an hour later
        os.utime(path, (time.time() - 4_000,) * 2)
    unsealed(stores).seal(much, "solver", stamp)
    assert len(files(stores)) == 2
    assert offsets(everything(unsealed(stores))) == list(range(12))


@pytest.mark.parametrize("step", ["before the file is written", "after the file was written"])
def test_a_solver_that_dies_while_it_erases_erases_again(
    stores: SealedStores, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store = taught(stores)
    store.delete(0, at(10, 1, 2), 9)
    stamp = cover(stores, 10)
    monkeypatch.setattr(resealing, "PAUSE", 0.0)
    killing(store, monkeypatch, step)
    with pytest.raises(Killed):
        erase(store, stamp)
    assert store.pending_erasures() == {0: 2}
    assert erase(stores.entry_store(), stamp) == 0
    assert offsets(everything(stores.entry_store())) == [0, 3, 4, 5, 6, 7]


def test_a_reply_that_is_lost_is_no_refusal(stores: SealedStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script ran, and its client doesn't know: the file must stay."""
    store = unsealed(stores)
    store.open(IDENTITY)
    store.append(batch_of([0, 1, 2]), NOTHING)
    run = store.connection.client.eval

    def lost(*arguments: Any) -> Any:
        monkeypatch.undo()
        run(*arguments)
        raise ConnectionError("lost")

    monkeypatch.setattr(store.connection.client, "eval", lost)
    with pytest.raises(ConnectionError):
        store.seal(ALL, "solver", cover(stores, 2))
    assert offsets(everything(stores.entry_store())) == [0, 1, 2]


@pytest.mark.parametrize("change", ["erased", "compacted", "sealed by another"])
def test_what_changed_while_a_file_was_written_is_not_sealed(
    stores: SealedStores, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    store = unsealed(stores)
    store.open(IDENTITY)
    store.append(batch_of([0, 1, 2]), NOTHING)
    store.delete(0, at(3, 1), 2)
    if change == "compacted":
        erased(stores, store, 3)
    put, other = FolderFiles.put, unsealed(stores)

    def meanwhile(self: FolderFiles, name: str, content: memoryview) -> None:
        monkeypatch.setattr(FolderFiles, "put", put)
        if change == "sealed by another":
            seal_all(other)
        else:
            stamp = erased(stores, other, 3)
            if change == "compacted":
                compact(other, stamp)
        put(self, name, content)

    monkeypatch.setattr(FolderFiles, "put", meanwhile)
    seal_all(store)
    expected = [0, 1, 2] if change == "sealed by another" else [0, 2]
    assert offsets(everything(stores.entry_store())) == expected
    named = sealing.Sealer(store._opened)._named()
    assert {str(path.relative_to(stores.folder)) for path in files(stores)} == named


# files that are not what they should be


def test_a_file_that_is_missing_or_damaged_is_an_error_that_says_what_to_do(stores: SealedStores) -> None:
    taught(stores)
    path, content = files(stores)[1], files(stores)[1].read_bytes()
    start = content.index(b"secret number 3")
    for damage in (content[:start] + b"S" + content[start + 1 :], content[:200], b""):
        path.write_bytes(damage)
        with pytest.raises(Unreadable, match="damaged"):
            everything(stores.entry_store())
    path.unlink()
    with pytest.raises(Unreadable, match=r"no file .* bring the file back"):
        everything(stores.entry_store())
    with pytest.raises(Unreadable):
        stores.entry_store().entry(0, 3)
    path.write_bytes(content)
    assert offsets(everything(stores.entry_store())) == list(range(8))


def test_who_does_not_know_where_the_files_are_is_told(stores: SealedStores) -> None:
    taught(stores)
    store = RedisEntryStore(connect(stores.settings))
    stores.close.append(store.close)
    with pytest.raises(ConfigurationError, match="HURNET_SEGMENTS_URL"):
        everything(store)


def test_a_folder_that_takes_no_files_leaves_the_store_as_it_is(stores: SealedStores) -> None:
    store = unsealed(stores)
    store.open(IDENTITY)
    store.append(batch_of([0, 1, 2]), NOTHING)
    stores.folder.write_text("no folder")
    with pytest.raises(SegmentsFailing):
        store.seal(ALL, "solver", cover(stores, 2))
    assert store.sealed() == {0: 0}
    assert offsets(everything(store)) == [0, 1, 2]


def test_files_that_are_away_keep_no_row_in_redis(
    stores: SealedStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught(stores)
    store = unsealed(stores)
    store.append(batch_of([10, 11, 12]), 9)
    store.delete(0, at(13, 1, 4, 11), 12)
    stamp = cover(stores, 13)

    def away(*_: object) -> None:
        raise SegmentsFailing("away")

    monkeypatch.setattr(FolderFiles, "put", away)
    with pytest.raises(SegmentsFailing):
        erase(store, stamp)
    assert store.pending_erasures() == {0: 2}
    assert store.was_deleted(0, 11)
    monkeypatch.undo()
    assert erase(store, stamp) == 0
    assert store.pending_erasures() == {0: 0}


def test_a_row_that_moved_to_another_file_between_two_looks_is_found(
    stores: SealedStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, reader = taught(stores), stores.entry_store()
    store.delete(0, at(10, 4), 9)
    stamp, read = cover(stores, 10), SegmentStore.read

    def moves(self: SegmentStore, *arguments: Any) -> Any:
        monkeypatch.setattr(SegmentStore, "read", read)
        monkeypatch.setattr(sealing, "UNUSED_S", -1.0)
        erase(store, stamp)
        store.seal(ALL, "solver", stamp)
        return read(self, *arguments)

    monkeypatch.setattr(SegmentStore, "read", moves)
    assert offsets(everything(reader)) == [0, 1, 2, 3, 5, 6, 7]


def test_older_programs_are_told_from_the_first_segment_on(
    stores: SealedStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hurnet_stream.adapters.redis import meta

    store = unsealed(stores)
    store.open(IDENTITY)
    store.append(batch_of([0, 1, 2]), NOTHING)
    monkeypatch.setattr(meta, "STORE", 3)
    older = unsealed(stores)
    assert offsets(everything(older)) == [0, 1, 2]
    monkeypatch.undo()
    seal_all(store)
    monkeypatch.setattr(meta, "STORE", 3)
    with pytest.raises(UpgradeNeeded):
        everything(older)


# copies


def backed_up(stores: SealedStores, meanwhile: Callable[[str], object] = lambda _: None) -> bytes:
    file = io.BytesIO()
    writer = Writer(file.write)
    for part in StoreCopy(stores.connected(), lambda _: None).parts():
        writer.add(part)
        meanwhile(part.kind)
    writer.finish()
    return file.getvalue()


def restored(stores: SealedStores, file: bytes) -> RedisEntryStore:
    connection = connect(stores.settings.model_copy(update={"prefix": f"{stores.settings.prefix}:again"}))
    stores.close.append(connection.close)
    filler = StoreFiller(connection)
    filler.begin()
    for part in parts(io.BytesIO(file).read):
        filler.take(part)
    filler.finish(lambda _: None)
    return RedisEntryStore(connection)


def test_a_backup_needs_no_files_and_an_export_has_all_rows(stores: SealedStores) -> None:
    store = taught(stores)
    store.delete(0, at(10, 1), 9)
    erased(stores, store, 10)
    again = restored(stores, backed_up(stores))
    for path in files(stores):
        path.rename(path.with_suffix(".away"))
    assert rows_of(again) != []
    for path in stores.folder.rglob("*.away"):
        path.rename(path.with_suffix(".arrow"))
    assert rows_of(again) == rows_of(store)
    assert again.holdings() == store.holdings()
    exported = ContextExport(stores.connected(), "default", lambda _: None)
    assert [e.offset for part in exported.entries() for e in part.entries] == [0, 2, 3, 4, 5, 6, 7]
    assert exported.deleted_meanwhile() == 0


def test_a_backup_goes_on_while_its_rows_are_sealed_together_with_later_ones(stores: SealedStores) -> None:
    store = unsealed(stores)
    store.open(IDENTITY)
    for first in range(0, 9, 3):
        store.append(batch_of([first, first + 1, first + 2]), first - 1)
    done: list[str] = []

    def meanwhile(kind: str) -> None:
        if kind == "S" and not done:
            done.append(kind)
            assert isinstance(store.append(batch_of([9, 10, 11]), 8), Appended)
            assert seal_all(store, Sealing(12, 0, 1 << 50)) == 1

    again = restored(stores, backed_up(stores, meanwhile))
    assert offsets(everything(again)) == list(range(9))
    assert again.state(0).rows == 9


def test_a_shard_that_fell_back_behind_what_is_to_be_sealed_is_left_alone(
    stores: SealedStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = unsealed(stores)
    store.open(IDENTITY)
    store.append(batch_of([0, 1, 2]), NOTHING)
    snapshot = stores.snapshot()
    store.append(batch_of([3, 4, 5]), 2)
    put = FolderFiles.put

    def falls_back(self: FolderFiles, name: str, content: memoryview) -> None:
        put(self, name, content)
        stores.restore(snapshot)

    monkeypatch.setattr(FolderFiles, "put", falls_back)
    figures = sealing.Sealer(store._opened)._figures(0)
    run = sealing.Sealer(store._opened)._due(0, figures, Sealing(6, 0, 1 << 50))
    assert run is not None
    assert store.connection.segments is not None
    sealing.Sealer(store._opened)._replace(0, figures, run, store.connection.segments)
    assert offsets(everything(unsealed(stores))) == [0, 1, 2]
    assert files(stores) == []
