"""A slice with a folder comes back with what it saved, and never with what is another's or damaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hurnet_schemas import Answer, Query
from hurnet_stream.adapters.shelf import FolderShelf
from hurnet_stream.core.index import tidying
from hurnet_stream.core.native import library
from hurnet_stream.core.search import block, blocks
from hurnet_stream.core.search import search as scan
from hurnet_stream.core.shelf import DamagedShelf
from hurnet_stream.errors import StoreReplaced
from hurnet_stream.responder import shelving
from hurnet_stream.responder.following import Following
from hurnet_stream.responder.slices import asking
from hurnet_stream.responder.slices.worker import SliceWorker
from tests.worlds.responder import turn
from tests.worlds.slices import SlicedWorld

pytestmark = pytest.mark.skipif(library() is None, reason="no kernels were built")

BLOCK = 32
TEXTS = [(f"the {what} in room {i}", f"{what} {i % 7}") for i in range(40) for what in ("lamp", "fan")]
QUESTIONS = [f"the {what} in room {i}" for i in range(0, 40, 9) for what in ("lamp", "fan")]


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (block, blocks, scan, shelving, tidying):
        monkeypatch.setattr(module, "BLOCK_ROWS", BLOCK)
    monkeypatch.setattr(asking, "LOOK_S", 0.0)
    monkeypatch.setattr(asking, "RETRY_FIRST_S", 0.0)


class Foldered:
    """A world of two slices, each with a folder, and a coordinator."""

    def __init__(self, folder: Path) -> None:
        self.world, self.folder = SlicedWorld(), folder
        for partition in range(2):
            self.world.teach(*TEXTS, partition=partition)
        self.slices = [self.start(number) for number in range(2)]
        self.coordinator = self.world.coordinator()

    def start(self, number: int, folder: int | None = None) -> SliceWorker:
        shelf = FolderShelf(self.folder / str(number if folder is None else folder))
        return self.world.slice(f"{number}/2", number, 2, shelf)

    def end(self) -> None:
        for each in self.slices:
            each.close()

    def mapped(self, number: int) -> dict[str, int]:
        """What a slice that starts now has before it has read anything of the store."""
        rows: list[dict[str, int]] = []
        real = SliceWorker.step
        with pytest.MonkeyPatch.context() as patched:

            def step(worker: SliceWorker) -> None:
                if worker._number == number:
                    rows.append(dict(worker._serving.current.memory.rows()))
                real(worker)

            patched.setattr(SliceWorker, "step", step)
            self.slices[number] = self.start(number)
        return rows[0]

    def answers(self) -> list[dict[str, Any]]:
        before = len(self.world.answers())
        self.world.ask(*(Query(id=str(i), text=text) for i, text in enumerate(QUESTIONS)))
        turn(self.coordinator, 12)
        return compared(self.world.answers()[before:])

    def alone(self) -> list[dict[str, Any]]:
        """As one responder with everything answers, and no folder."""
        responder, before = self.world.responder("alone"), len(self.world.answers())
        self.world.ask(*(Query(id=str(i), text=text) for i, text in enumerate(QUESTIONS)))
        turn(responder, 12)
        responder.close()
        return compared(self.world.answers()[before:])


def compared(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    assert len(answers) == len(QUESTIONS)
    return sorted(
        (each.model_dump(exclude={"receipt": {"query", "seconds", "trace_id"}}) for each in answers),
        key=lambda each: str(each["id"]),
    )


@pytest.fixture
def foldered(tmp_path: Path) -> Foldered:
    (tmp_path / "slices").mkdir()
    return Foldered(tmp_path / "slices")


def test_it_maps_what_it_saved_and_reads_only_what_is_new(foldered: Foldered) -> None:
    foldered.end()
    foldered.world.teach(("a heater", "heater"), ("a window", "window"), partition=1)
    foldered.world.delete([3, 50], partition=1)
    assert [foldered.mapped(number) for number in range(2)] == 2 * [{"default": len(TEXTS)}]
    turn(foldered.coordinator)
    mine = foldered.answers()
    foldered.coordinator.close()
    assert mine == foldered.alone()


def test_what_another_slice_has_saved_is_made_anew(foldered: Foldered) -> None:
    foldered.end()
    (foldered.folder / "0").rename(foldered.folder / "2")
    (foldered.folder / "1").rename(foldered.folder / "0")
    (foldered.folder / "2").rename(foldered.folder / "1")
    assert [foldered.mapped(number) for number in range(2)] == [{}, {}]
    turn(foldered.coordinator)
    mine = foldered.answers()
    foldered.coordinator.close()
    assert mine == foldered.alone()


def test_rows_damaged_in_use_have_it_begin_anew(foldered: Foldered) -> None:
    foldered.end()
    foldered.slices = [foldered.start(number) for number in range(2)]
    for path in (foldered.folder / "1").glob("rows-*"):
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\x01" * (path.stat().st_size - 4096))
    with pytest.raises(StoreReplaced, match="damaged"):
        turn(foldered.coordinator, 12)  # rehearses
    foldered.slices[1].close()
    assert foldered.mapped(1) == {}
    mine = foldered.answers()
    foldered.coordinator.close()
    assert mine == foldered.alone()


@pytest.mark.parametrize("met", [DamagedShelf("no"), StoreReplaced("another store")])
def test_what_it_took_in_from_another_store_or_a_damaged_file_is_not_saved(
    foldered: Foldered, monkeypatch: pytest.MonkeyPatch, met: Exception
) -> None:
    foldered.end()
    foldered.slices = [foldered.start(0), foldered.start(1)]
    before = (foldered.folder / "0" / "saved").read_bytes()
    foldered.world.teach(("a heater", "heater"), partition=0)
    foldered.world.settle()

    def follow(*_: object, **__: object) -> int:
        raise met

    monkeypatch.setattr(Following, "follow", follow)
    with pytest.raises(StoreReplaced):
        foldered.slices[0].step()
    foldered.slices[0].close()
    saved = foldered.folder / "0" / "saved"
    assert saved.read_bytes() == before if isinstance(met, StoreReplaced) else not saved.exists()
