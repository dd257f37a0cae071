"""An index on a shelf finds what one in memory finds, also after it was saved and mapped; damage is noticed,
and what was removed leaves the files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_stream import disk
from hurnet_stream.adapters.shelf import FolderShelf, open_shelf, remove_other_counts
from hurnet_stream.adapters.shelf import file as shelf_file
from hurnet_stream.core.grid import snap
from hurnet_stream.core.index import arena, teaching, tidying
from hurnet_stream.core.index.conditions import Has
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import disabled, library
from hurnet_stream.core.row_sums import checksum, plane_sums, row_sums
from hurnet_stream.core.search import block, blocks, spans
from hurnet_stream.core.search import search as scan
from hurnet_stream.core.shelf import DamagedShelf, FileName
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.stored.batch import Entry, Vectors
from hurnet_stream.core.string_tags import string_tags
from hurnet_stream.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("exact_int8")

BLOCK, CHUNK, DIMENSION = 32, 256, 16


def nobody() -> None: ...


SECRET = "the secret of row"


@pytest.fixture(params=["kernels", "portable"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks and chunks so small that many are full."""
    if request.param == "kernels" and library() is None:
        pytest.skip("no kernels were built")
    for module in (block, blocks, scan, tidying):
        monkeypatch.setattr(module, "BLOCK_ROWS", BLOCK)
    for module in (blocks, spans):
        monkeypatch.setattr(module, "SPAN", 8)
    monkeypatch.setattr(teaching, "MANY", 4)
    monkeypatch.setattr(arena, "FIRST_CHUNK", CHUNK // 4)
    monkeypatch.setattr(arena, "LARGEST_CHUNK", CHUNK)
    with disabled() if request.param == "portable" else nullcontext():
        yield


def entries(random: Random, offsets: range) -> list[Entry]:
    answers = [None, None, "", *(f"answer {i}" for i in range(6)), *(f"rare {i}" for i in range(90))]
    return [
        Entry(
            offset,
            random.randint(0, 9) * 1000,
            "c",
            random.choice(["", "tea", f"{SECRET} {offset}", f"été number {offset} " * random.randint(1, 4)]),
            random.choice(answers),
            {"key": f"{SECRET} {offset % 9}"} if not random.randint(0, 3) else {},
            random.choice([1, 1, 1, 7, -1]),
        )
        for offset in offsets
    ]


def vectors_of(random: Random, n: int) -> Vectors:
    return snap(np.random.default_rng(random.getrandbits(32)).integers(-4, 5, (n, DIMENSION)) + 0.5)


class Pair:
    """The same entries in memory and on a shelf."""

    def __init__(self, folder: Path, window: Window, random: Random) -> None:
        self.folder, self.window, self.random = folder, window, random
        self.shelf = FolderShelf(folder)
        self.plain = ContextIndex(DIMENSION, window)
        self.shelved = ContextIndex(DIMENSION, window, shelf=self.shelf)
        self.offset = 0

    def append(self, n: int) -> None:
        new = entries(self.random, range(self.offset, self.offset + n))
        vectors = vectors_of(self.random, n)
        self.offset += n
        for index in (self.plain, self.shelved):
            index.append(3, new, vectors)

    def remove(self, n: int) -> None:
        offsets = np.array(self.random.sample(range(self.offset), min(n, self.offset)), np.int64)
        for index in (self.plain, self.shelved):
            index.remove_all(3, offsets)

    def save(self) -> None:
        for _ in self.shelved.write_ahead():
            pass
        self.shelf.save(lambda: {"index": self.shelved.saved()})
        self.shelf.finish()

    def restart(self, check: bool = False) -> None:
        """The process ends, and another one maps what was saved last."""
        self.shelf.close()
        self.shelf = FolderShelf(self.folder)
        saved = self.shelf.saved()
        assert saved is not None
        self.shelved = ContextIndex(DIMENSION, self.window, shelf=self.shelf)
        self.shelved.restore(saved["index"])
        if check:
            self.shelved.check()

    def check(self) -> None:
        queries = vectors_of(self.random, 6)
        prediction = np.random.default_rng(self.random.getrandbits(32)).normal(size=DIMENSION)
        assert len(self.shelved) == len(self.plain)
        for batch in (queries[:1], queries):
            assert found(self.shelved, batch, prediction) == found(self.plain, batch, prediction)
        for text in ("tea", f"{SECRET} 7", "number été 12"):
            assert lexical(self.shelved, text) == lexical(self.plain, text)
        self.shelved.settle()  # a little more with each look
        assert all(
            set(self.plain.passing(Has(key)).rows.tolist())
            == set(self.shelved.passing(Has(key)).rows.tolist())
            for key in ("key", "none")
        )


def found(index: ContextIndex, queries: Vectors, prediction: np.ndarray) -> list[object]:
    out: list[object] = []
    for matches in index.search(queries, 25):
        rows = matches.rows
        out.append([index.entry(row) for row in rows.tolist()])
        out.append((matches.cosines.tolist(), index.predicted(prediction, rows).tolist()))
        out.append((index.taught(index.answer_ids(rows)).tolist(), index.vectors(rows).tolist()))
        counts = index.counts(rows)
        out.append(None if counts is None else counts.tolist())
    return out


def lexical(index: ContextIndex, text: str) -> object:
    rows, scores = index.lexical_search(text, 20)
    return [index.entry_id(row) for row in rows.tolist()], scores.tolist()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 90)),
        st.tuples(st.just("remove"), st.integers(1, 60)),
        st.tuples(st.just("save"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=6,
)


@pytest.mark.usefixtures("small")
@settings(max_examples=9)
@given(steps=STEPS, seed=st.integers(0, 99), half_life_ms=st.sampled_from([0, 2000]))
def test_on_a_shelf_and_mapped_again_it_is_as_in_memory(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], seed: int, half_life_ms: int
) -> None:
    pair = Pair(
        tmp_path_factory.mktemp("shelf"), Window(half_life_ms, 4 if half_life_ms else 0), Random(seed)
    )
    pair.append(BLOCK * 2)
    for step, n in steps:
        if step == "restart":
            pair.save()
            pair.restart(check=True)
        else:
            getattr(pair, step)(*([n] if n else []))
        if step != "append":
            pair.check()
    pair.check()
    pair.shelf.close()


@pytest.fixture
def pair(tmp_path: Path, small: None) -> Pair:
    pair = Pair(tmp_path / "shelf", Window(), Random(1))
    pair.append(BLOCK * 5 + 7)
    return pair


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_what_is_removed_leaves_the_files_when_it_is_next_saved(pair: Pair) -> None:
    pair.save()
    targets = [offset for offset in range(pair.offset) if offset % 3 == 0]
    kept = [pair.shelved.find((3, offset)) for offset in targets]
    vectors = [pair.shelved.vectors(np.array([row]))[0].tobytes() for row in kept if row is not None]
    texts = [b"%s %d " % (SECRET.encode(), offset) for offset in targets]
    assert all(vector in bytes_of(pair.folder) for vector in vectors)
    for index in (pair.plain, pair.shelved):
        index.remove_all(3, np.array(targets, np.int64))
    pair.save()
    left = bytes_of(pair.folder)
    assert not any(vector in left for vector in vectors)
    assert not any(text in left + b" " for text in texts)
    pair.check()
    pair.restart(check=True)
    pair.check()


def test_an_unchanged_block_is_not_written_again(pair: Pair) -> None:
    pair.save()
    before = {
        path.name for path in pair.folder.iterdir() if path.name.startswith(("rows", "planes", "marks"))
    }
    pair.append(1)
    pair.save()
    after = {path.name for path in pair.folder.iterdir() if path.name.startswith(("rows", "planes", "marks"))}
    assert before == after
    pair.remove(1)
    pair.save()
    changed = {path.name for path in pair.folder.iterdir()} - after
    assert sum(name.startswith(("rows", "planes")) for name in changed) == 0


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


def cut(path: Path, at: int) -> None:
    path.write_bytes(path.read_bytes()[:at])


def gone(path: Path, _at: int) -> None:
    path.unlink()


def swapped(path: Path) -> None:
    other = next(
        each
        for each in path.parent.iterdir()
        if each != path and each.name.split("-")[0] == path.name.split("-")[0]
    )
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("kind", ["rows", "planes", "marks", "postings", "texts", "root", "saved"])
@pytest.mark.parametrize("damage", [flip, cut, gone])
def test_damage_is_noticed_at_the_start(pair: Pair, kind: str, damage: Callable[[Path, int], None]) -> None:
    pair.save()
    pair.shelf.close()
    path = next(path for path in sorted(pair.folder.iterdir()) if path.name.split("-")[0] == kind)
    damage(path, 4096 if path.stat().st_size > 4096 else 40)
    if kind == "saved":
        assert FolderShelf(pair.folder).saved() is None
        return
    with pytest.raises(DamagedShelf):
        pair.restart(check=True)


@pytest.mark.parametrize("kind", ["rows", "marks", "postings", "texts"])
def test_another_file_in_its_place_is_noticed(pair: Pair, kind: str) -> None:
    pair.save()
    pair.shelf.close()
    swapped(next(path for path in pair.folder.iterdir() if path.name.split("-")[0] == kind))
    with pytest.raises(DamagedShelf):
        pair.restart(check=True)


def test_a_row_that_is_damaged_while_it_is_used_answers_nothing(pair: Pair) -> None:
    pair.save()
    row = 5
    vector = pair.shelved.vectors(np.array([row]))
    path = min(pair.folder.glob("rows-*"), key=lambda path: int(path.name.split("-")[1]))
    with path.open("r+b") as file:
        file.seek(4096 + row * DIMENSION * 2)
        file.write(b"\x11")
    for use in (
        lambda: pair.shelved.search(vector, 3),
        lambda: pair.shelved.search(np.repeat(vector, 9, 0), 3),
        lambda: pair.shelved.vectors(np.array([row])),
        pair.shelved.check,
    ):
        with pytest.raises(DamagedShelf):
            use()
    if library() is not None:
        with pytest.raises(DamagedShelf):
            pair.shelved.addresses(np.array([row]))


def test_killed_at_any_step_what_was_saved_last_is_whole(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saving is cut short at each of its steps: what is mapped then is what it was before, or after."""
    pair.save()
    before = len(pair.shelved)
    pair.remove(20)
    after = len(pair.shelved)
    seen = set[int]()
    for steps in range(40):
        copy = copied(pair, tmp_path / f"copy-{steps}")
        copy.shelved.remove_all(3, np.setdiff1d(np.arange(pair.offset), held(pair)))
        left = iter(range(steps))
        with monkeypatch.context() as patch:
            patch.setattr(disk, "sync", at_most(left, disk.sync))
            patch.setattr(shelf_file, "wipe", at_most(left, shelf_file.wipe))
            copy.save()
        copy.restart(check=True)
        seen.add(len(copy.shelved))
        copy.shelf.close()
        if next(left, None) is not None:
            break
    else:
        pytest.fail("it has more steps than were tried")
    assert seen == {before, after}


def at_most(left: Iterator[int], real: Callable[..., object]) -> Callable[..., object]:
    """As the real one, until there are no steps left: from then on nothing is done any more."""

    def step(*arguments: object) -> object:
        if next(left, None) is None:
            raise OSError("killed")
        return real(*arguments)

    return step


def copied(pair: Pair, folder: Path) -> Pair:
    """What is on the disk, mapped by another process."""
    shutil.copytree(pair.folder, folder)
    copy = Pair.__new__(Pair)
    copy.folder, copy.window, copy.shelf = folder, pair.window, FolderShelf(folder)
    copy.restart()
    return copy


def held(pair: Pair) -> np.ndarray:
    rows = [offset for offset in range(pair.offset) if pair.shelved.find((3, offset)) is not None]
    return np.array(rows, np.int64)


def test_a_full_disk_leaves_all_in_memory(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[None] = []
    pair = Pair(tmp_path / "shelf", Window(), Random(2))
    pair.shelf._failed = lambda: said.append(None)
    real = shelf_file.write

    def full(*_: object) -> set[FileName]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shelf_file, "write", full)
    pair.append(BLOCK * 3)
    pair.check()
    assert said
    assert not list(pair.folder.glob("rows-*"))
    monkeypatch.setattr(shelf_file, "write", real)
    pair.save()  # there is room again
    assert len(list(pair.folder.glob("rows-*"))) == 3
    pair.restart(check=True)
    pair.check()


def test_one_process_a_folder(tmp_path: Path) -> None:
    shelf = open_shelf(tmp_path, 0, [0], nobody)
    with pytest.raises(ConfigurationError, match="another process"):
        open_shelf(tmp_path, 0, [0], nobody)
    open_shelf(tmp_path, 1, [0, 1], nobody).close()
    assert (tmp_path / "generation-1").exists()
    shelf.close()
    shelf = open_shelf(tmp_path, 0, [0], nobody)
    assert shelf.times_left_open == 0
    assert not (tmp_path / "generation-1").exists()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="HURNET_RESPONDER_FOLDER"):
        open_shelf(tmp_path / "file", 0, [0], nobody)


def test_what_slices_of_another_number_of_slices_have_left_is_removed(tmp_path: Path) -> None:
    for name in ("slice-0-of-2", "slice-1-of-2", "slice-1-of-4", "slice-x-of-2"):
        (tmp_path / name).mkdir()
        open_shelf(tmp_path / name, 0, [0], nobody).close()
    used = open_shelf(tmp_path / "slice-1-of-2", 0, [0], nobody)
    remove_other_counts(tmp_path, 4)
    assert {path.name for path in tmp_path.iterdir()} == {"slice-1-of-2", "slice-1-of-4", "slice-x-of-2"}
    used.close()
    remove_other_counts(tmp_path, 4)
    assert {path.name for path in tmp_path.iterdir()} == {"slice-1-of-4", "slice-x-of-2"}
    remove_other_counts(tmp_path / "nowhere", 4)


def test_a_folder_that_was_not_closed_is_noticed(tmp_path: Path) -> None:
    shelf = FolderShelf(tmp_path)
    (tmp_path / "rows-7").touch()
    (tmp_path / "theirs").touch()
    shelf.close()
    for found, times in (("", 1), ("1", 1), ("2", 2), ("nonsense", 1)):
        (tmp_path / "open").write_text(found)
        again = FolderShelf(tmp_path)
        assert again.times_left_open == times
        again.close()
    assert not (tmp_path / "rows-7").exists()
    assert (tmp_path / "theirs").exists()


@given(st.lists(st.binary(max_size=40), max_size=9), st.integers(0, 2**64 - 1))
def test_tags_are_the_same_with_kernels_and_without(strings: list[bytes], key: int) -> None:
    starts, keys = np.cumsum([0, *map(len, strings)]), np.array([key, 1], np.uint64)
    with disabled():
        portable = string_tags(b"".join(strings), starts, keys)
    assert portable.tolist() == string_tags(b"".join(strings), starts, keys).tolist()


def test_a_tag_is_siphash_1_3() -> None:
    """The first value of the vectors of SipHash-1-3 in the Rust standard library's tests."""
    key = np.array([0x0706050403020100, 0x0F0E0D0C0B0A0908], np.uint64)
    expected = np.array([0xDC, 0xC4, 0x0F, 0x05], np.uint8).view("<u4")
    assert string_tags(b"", np.array([0, 0]), key).tolist() == expected.tolist()


@given(st.binary(min_size=1, max_size=90), st.data())
def test_sums_notice_any_byte_and_are_the_same_without_kernels(row: bytes, data: st.DataObject) -> None:
    rows = np.frombuffer(row * 3, np.uint8).reshape(3, -1)
    sums = row_sums(rows)
    with disabled():
        assert row_sums(rows).tolist() == sums.tolist()
    changed = rows.copy()
    changed[1, data.draw(st.integers(0, len(row) - 1))] ^= data.draw(st.integers(1, 255))
    assert (row_sums(changed) != sums).tolist() == [False, True, False]
    assert checksum(changed.reshape(-1)) != checksum(rows.reshape(-1))
    assert checksum(rows.reshape(-1)[:-1]) != checksum(rows.reshape(-1))


def test_sums_of_planes_are_the_same_without_kernels() -> None:
    planes = np.random.default_rng(1).integers(0, 256, (2, 3, 4, 16, 4), dtype=np.uint8)
    sums = plane_sums(planes)
    with disabled():
        assert plane_sums(planes).tolist() == sums.tolist()
    planes[1, 2, 3, 15, 2] ^= 1
    assert np.flatnonzero(plane_sums(planes) != sums).tolist() == [47]
