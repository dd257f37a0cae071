"""A responder with a folder answers as one without, also after a restart that reads only what is new."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hurnet_schemas import Query
from hurnet_stream import disk
from hurnet_stream.adapters.shelf import FolderShelf
from hurnet_stream.adapters.shelf import file as file_module
from hurnet_stream.core.native import library
from hurnet_stream.core.search import block, blocks
from hurnet_stream.core.search import search as scan
from hurnet_stream.core.shelf import FileName
from hurnet_stream.errors import StoreReplaced
from hurnet_stream.responder import shelving
from hurnet_stream.responder.responder import Responder
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.redis import MemoryRedis
from tests.worlds.responder import EMBEDDER, World, turn

pytestmark = pytest.mark.skipif(library() is None, reason="no kernels were built")

BLOCK = 32
TEXTS = [(f"the {what} in room {i}", f"{what} {i % 7}") for i in range(40) for what in ("lamp", "fan")]
QUESTIONS = [f"the {what} in room {i}" for i in range(0, 40, 9) for what in ("lamp", "fan")]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (block, blocks, scan, shelving):
        monkeypatch.setattr(module, "BLOCK_ROWS", BLOCK)


class Shelved:
    """A world, and a responder in it that has a folder."""

    def __init__(self, folder: Path) -> None:
        self.world, self.folder = World(), folder
        self.world.teach(*TEXTS)
        self.responder = self.started()

    def started(self) -> Responder:
        self.shelf = FolderShelf(self.folder)
        return self.world.responder("shelved", save_interval=1).lie_on(self.shelf)

    def end(self) -> None:
        self.responder.drain()
        self.responder.close()

    def restart(self) -> dict[str, int]:
        """Returns what the new one held before it read anything of the store."""
        self.end()
        self.responder = self.started()
        return dict(self.responder._memory.rows())

    def answers(self, responder: Responder) -> list[object]:
        before = len(self.world.answers())
        self.world.ask(*[Query(id=f"q{i}", text=text) for i, text in enumerate(QUESTIONS)])
        turn(responder, 12)
        said = self.world.answers()[before:]
        assert len(said) == len(QUESTIONS)
        return [answer.model_dump(exclude={"receipt": {"query", "seconds"}}) for answer in said]

    def check(self) -> None:
        """It answers like a responder that has just read everything, and has no folder."""
        turn(self.responder)
        mine = self.answers(self.responder)
        self.responder.drain()
        self.responder._exchange.close()
        plain = self.world.responder("plain")
        turn(plain)
        assert self.answers(plain) == mine
        plain.close()


@pytest.fixture
def shelved(tmp_path: Path) -> Iterator[Shelved]:
    world = Shelved(tmp_path / "shelf")
    turn(world.responder)
    yield world
    world.shelf.close()


def test_a_restart_maps_what_is_there_and_reads_only_what_is_new(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelved.end()
    shelved.world.teach(("a heater", "heater"), ("a window", "window"))
    shelved.world.delete([3, 50])
    shelved.responder = shelved.started()
    assert shelved.responder._memory.rows() == {"default": len(TEXTS)}
    asked = list[int]()
    real = MemoryEntryStore.tail

    def tail(self: MemoryEntryStore, after: dict[int, int], *rest: int) -> object:
        asked.append(after.get(0, -1))
        return real(self, after, *rest)

    monkeypatch.setattr(MemoryEntryStore, "tail", tail)
    turn(shelved.responder)
    assert asked[0] == len(TEXTS) - 1
    assert shelved.responder._memory.rows() == {"default": len(TEXTS)}  # two came, two went
    shelved.check()


def test_it_is_saved_now_and_then(shelved: Shelved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelving, "PAUSE", 0)
    keeping = shelved.responder._serving.current.shelving
    assert keeping
    keeping._interval_s = 0
    turn(shelved.responder)  # blocks are written ahead, one in a turn
    shelved.shelf.finish()
    assert (shelved.folder / "saved").exists()
    written = sorted(path.name for path in shelved.folder.glob("*-*"))
    turn(shelved.responder, 3)  # nothing has changed
    shelved.shelf.finish()
    assert sorted(path.name for path in shelved.folder.glob("*-*")) == written


def test_what_did_not_come_to_the_disk_is_saved_again(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shelving, "PAUSE", 0)
    keeping = shelved.responder._serving.current.shelving
    assert keeping
    keeping._interval_s = 0
    with monkeypatch.context() as patch:
        patch.setattr(disk, "sync", full)
        turn(shelved.responder)
        shelved.shelf.finish()
        assert not (shelved.folder / "saved").exists()
        assert shelved.shelf.failures > 0
    turn(shelved.responder)
    shelved.shelf.finish()
    assert (shelved.folder / "saved").exists()
    shelved.check()


def test_questions_are_answered_while_it_is_saved_and_what_is_new_waits(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn(shelved.responder)
    began, may_end = threading.Event(), threading.Event()
    real = file_module.write

    def slow(path: Path, *rest: Any) -> set[FileName]:
        if path.name.startswith("context"):
            began.set()
            assert may_end.wait(60)
        return real(path, *rest)

    monkeypatch.setattr(file_module, "write", slow)
    monkeypatch.setattr(shelving, "PAUSE", 0)
    keeping = shelved.responder._serving.current.shelving
    assert keeping
    keeping._interval_s = 0
    turn(shelved.responder)
    assert began.wait(60)
    keeping._interval_s = 3600
    before = shelved.answers(shelved.responder)
    shelved.world.teach(("a heater", "heater"))
    shelved.world.delete([3, 50])
    try:
        turn(shelved.responder, 2)
        assert shelved.responder._memory.rows() == {"default": len(TEXTS)}
        assert shelved.answers(shelved.responder) == before
    finally:
        may_end.set()
    shelved.shelf.finish()
    turn(shelved.responder)
    assert shelved.responder._memory.rows() == {"default": len(TEXTS) - 1}
    assert shelved.restart() == {"default": len(TEXTS) - 1}
    shelved.check()


def another_store(shelved: Shelved) -> None:
    shelved.world.redis.data = MemoryRedis().data
    shelved.world.__post_init__()
    shelved.world.teach(*TEXTS[:9])


def another_program(shelved: Shelved) -> None:
    shelving.FORMAT += 1


def damaged_rows(shelved: Shelved) -> None:
    path = next(shelved.folder.glob("planes-*"))
    data = bytearray(path.read_bytes())
    data[4096:4200] = bytes(104)
    path.write_bytes(data)


def a_context_file_is_gone(shelved: Shelved) -> None:
    next(shelved.folder.glob("context-*")).unlink()


@pytest.mark.parametrize("what", [another_store, another_program, damaged_rows, a_context_file_is_gone])
def test_what_can_not_be_used_is_made_anew(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch, what: Callable[[Shelved], None]
) -> None:
    monkeypatch.setattr(shelving, "FORMAT", 1)
    shelved.end()
    what(shelved)
    shelved.responder = shelved.started()
    assert shelved.responder._memory.rows() == {}
    shelved.check()


def test_a_store_that_fell_behind_or_was_compacted_beyond_it_is_read_anew(shelved: Shelved) -> None:
    shelved.end()
    shelved.world.delete([3])
    states = shelved.world.store.states()
    floor = {partition: state.watermark for partition, state in states.items()}
    keeping = shelving.Shelving(
        shelved.world.responder("other")._memory, FolderShelf(shelved.folder), EMBEDDER.identity, 60
    )
    root = keeping.shelf.saved()
    assert root
    assert keeping._unfit(root, states) == ""
    passed = {partition: replace(state, floor=floor[partition]) for partition, state in states.items()}
    assert "compacted" in keeping._unfit(root, passed)
    behind = {partition: replace(state, watermark=5) for partition, state in states.items()}
    assert "less" in keeping._unfit(root, behind)
    keeping.shelf.close()


def test_rows_damaged_in_use_have_the_worker_begin_anew_and_answer_nothing_wrong(shelved: Shelved) -> None:
    shelved.restart()
    turn(shelved.responder)
    for path in shelved.folder.glob("rows-*"):
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\x01" * (path.stat().st_size - 4096))
    shelved.world.ask(Query(id="q", text=QUESTIONS[0]))
    with pytest.raises(StoreReplaced, match="damaged"):
        turn(shelved.responder)
    assert shelved.world.answers() == []
    shelved.responder.close()
    shelved.responder = shelved.started()
    assert shelved.responder._memory.rows() == {}
    turn(shelved.responder, 12)
    assert [answer.id for answer in shelved.world.answers()] == ["q"]
    shelved.check()


def test_a_worker_that_met_another_store_saves_nothing(shelved: Shelved) -> None:
    shelved.restart()
    shelved.world.teach(("a heater", "heater"))
    turn(shelved.responder)
    before = (shelved.folder / "saved").read_bytes()
    another_store(shelved)
    with pytest.raises(StoreReplaced):
        turn(shelved.responder)
    shelved.responder.close()
    assert (shelved.folder / "saved").read_bytes() == before


def test_after_two_kills_all_is_checked_before_it_is_used(shelved: Shelved) -> None:
    shelved.end()
    (shelved.folder / "open").write_text("2")
    path = next(shelved.folder.glob("rows-*"))
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    shelved.responder = shelved.started()
    assert shelved.responder._memory.rows() == {}
    shelved.check()
