"""A shelf in a folder on this machine, for one process at a time.

    lock            held by the process that uses the folder
    open            there while it is in use: how often it was opened since it was last closed in order
    saved           the names of all files that the saved index needs, and of the first of them
    rows-1 ...      files, numbered in the order in which they were written

What is saved counts once `saved` has been written beside and renamed: then all its files are on the disk, and
have been told to stay there. Only then is anything wiped or removed. So whenever the process is killed, what
was saved last is whole. Files that are not needed are removed at the next start.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import structlog

from hurnet_stream.adapters.shelf import file
from hurnet_stream.core.row_sums import checksum
from hurnet_stream.core.shelf import DamagedShelf, FileName, Tree
from hurnet_stream.errors import ConfigurationError

log = structlog.get_logger()

_NUMBERED: Final = re.compile(r"[a-z]+-([0-9]{1,18})")
_FOLDER: Final = re.compile(r"generation-[0-9]+")
_SLICE: Final = re.compile(r"slice-[0-9]+-of-([0-9]+)")
_FILES_MOST: Final = 1 << 16
"""Files that may be mapped at once, if the system lets us: each takes a descriptor."""


def open_shelf(folder: Path, number: int, known: Collection[int], failed: Callable[[], None]) -> FolderShelf:
    """The shelf of the generation with this number. Those of generations that are not `known` any more are
    removed. Raises ConfigurationError if the folder can't be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept = {f"generation-{each}" for each in {*known, number}}
        for other in folder.iterdir():
            if _FOLDER.fullmatch(other.name) and other.name not in kept:
                shutil.rmtree(other, ignore_errors=True)
        return FolderShelf(folder / f"generation-{number}", failed)
    except OSError as error:
        raise ConfigurationError(f"HURNET_RESPONDER_FOLDER: {folder}: {error.strerror}") from error


def remove_other_counts(folder: Path, count: int) -> None:
    """Remove what slices of another number of slices have left in `folder`, since nobody would take deleted
    rows out of it. What a process uses stays, and so does what can't be removed."""
    for other in folder.glob("slice-*-of-*"):
        match = _SLICE.fullmatch(other.name)
        if match and int(match.group(1)) != count:
            with suppress(OSError):
                _remove_unless_used(other)


def _remove_unless_used(folder: Path) -> None:
    locks: list[int] = []
    try:
        locks += map(_locked, folder.glob("generation-*/lock"))
        shutil.rmtree(folder)
    except ConfigurationError:
        log.info("files of another number of slices stay: a process uses them", folder=str(folder))
    finally:
        for lock in locks:
            os.close(lock)


class _Saved(NamedTuple):
    """What is written, and not yet what counts: all its files, those of them that the system may not have on
    the disk yet, what is to be wiped, and the number of the last file that was written."""

    root: FileName
    files: set[FileName]
    unsynced: set[FileName]
    wiped: dict[FileName, list[tuple[str, Any]]]
    serial: int


class FolderShelf:
    """The files of a folder. `failed` is called whenever one could not be written."""

    def __init__(self, folder: Path, failed: Callable[[], None] = lambda: None) -> None:
        """Raises OSError, and ConfigurationError if another process uses the folder."""
        self._folder = folder
        self._failed = failed
        folder.mkdir(mode=0o700, exist_ok=True)
        self._lock: int | None = _locked(folder / "lock")
        self.times_left_open = _opened_before(folder / "open")
        """How many processes used it last, one after the other, that did not close it."""
        (folder / "open").write_text(str(self.times_left_open + 1))
        _allow_files()
        self._needs: dict[FileName, set[FileName]] = {}  # by file: the files that are named in it
        self._unsynced: set[FileName] = set()
        self._wiped: dict[FileName, list[tuple[str, Any]]] = defaultdict(list)
        self._saving: threading.Thread | None = None
        self.is_writing = False
        """Whether what is being saved must not change."""
        self._is_failing = False
        self.failures = 0
        self._root, files = self._read_saved()
        self._serial = max(self._numbers(), default=0)
        self._remove_all_but(files, self._serial)

    def write(self, kind: str, tree: Tree, is_summed: bool = True) -> FileName | None:
        """As `Shelf` has it."""
        self._serial += 1
        name = FileName(f"{kind}-{self._serial}")
        try:
            self._needs[name] = file.write(self._folder / name, tree, is_summed)
        except OSError as error:
            with suppress(OSError):
                (self._folder / name).unlink()
            self._say_failed(error)
            return None
        self._unsynced.add(name)
        return name

    def read(self, name: FileName) -> Tree:
        """As `Shelf` has it."""
        tree, self._needs[name] = file.read(self._folder / name)
        return tree

    def map(self, name: FileName, whole: bool = False) -> Tree:
        """As `Shelf` has it."""
        tree, self._needs[name] = file.mapped(self._folder / name, whole)
        return tree

    def wipe(self, name: FileName, key: str, places: Any) -> None:
        """As `Shelf` has it."""
        self._wiped[name].append((key, places))

    def saved(self) -> Tree | None:
        """What was saved last; None if there is nothing. Raises DamagedShelf."""
        return None if self._root is None else self.read(self._root)

    @property
    def is_saving(self) -> bool:
        """Whether what was to be saved is still on its way to the disk."""
        return bool(self._saving and self._saving.is_alive())

    def save(self, write: Callable[[], Tree]) -> None:
        """As `SavedShelf` has it."""
        self.finish()
        self.is_writing = True
        self._saving = threading.Thread(target=self._save, args=(write,), name="shelf", daemon=True)
        self._saving.start()

    def finish(self) -> None:
        """Wait until what was to be saved is on the disk."""
        if self._saving:
            self._saving.join()
            self._saving = None

    def discard(self) -> None:
        """What was saved is not to be used any more, and its files go. What is mapped is still good."""
        self.finish()
        self._root = None
        self._wiped.clear()
        with suppress(OSError):
            (self._folder / "saved").unlink(missing_ok=True)
            self._remove_all_but((), self._serial)

    def remove(self) -> None:
        """Remove everything: nobody will ask for it again."""
        self.discard()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Let go of the folder, if that was not done."""
        self.finish()
        if self._lock is None:
            return
        with suppress(OSError):
            (self._folder / "open").unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def _save(self, write: Callable[[], Tree]) -> None:
        """In a thread of its own."""
        try:
            saved = self._written(write)
        except (OSError, DamagedShelf) as error:
            saved = None
            self._say_failed(error)
        finally:
            self.is_writing = False
        if saved:
            self._commit(saved)

    def _written(self, write: Callable[[], Tree]) -> _Saved | None:
        """What `write` returns, in a file; None if any file could not be written."""
        before = self.failures
        root = self.write("root", write())
        if root is None or self.failures != before:
            return None
        files, wiped, self._wiped = self._needed_by(root), self._wiped, defaultdict(list)
        unsynced, self._unsynced = self._unsynced & files, set()
        return _Saved(root, files, unsynced, wiped, self._serial)

    def _commit(self, saved: _Saved) -> None:
        """Between two of its steps the process may be killed."""
        try:
            for name in saved.unsynced:
                _sync(self._folder / name)
            self._write_saved(saved.root, saved.files)
            self._root = saved.root
            for name in saved.wiped.keys() & saved.files:
                file.wipe(self._folder / name, saved.wiped[name])
            self._remove_all_but(saved.files, saved.serial)
            self._is_failing = False
        except (OSError, DamagedShelf) as error:
            self._unsynced |= saved.unsynced
            for name, places in saved.wiped.items():
                self._wiped[name] += places
            self._say_failed(error)

    def _write_saved(self, root: FileName, files: set[FileName]) -> None:
        listed = json.dumps({"root": root, "files": sorted(files)}).encode()
        beside = self._folder / "saved.new"
        beside.write_bytes(b"%016x" % checksum(np.frombuffer(listed, np.uint8)) + listed)
        _sync(beside)
        beside.replace(self._folder / "saved")
        _sync(self._folder)

    def _read_saved(self) -> tuple[FileName | None, set[FileName]]:
        try:
            raw = (self._folder / "saved").read_bytes()
            if raw[:16] != b"%016x" % checksum(np.frombuffer(raw[16:], np.uint8)):
                raise ValueError("its checksum is wrong")
            listed = json.loads(raw[16:])
            return FileName(listed["root"]), set(map(FileName, listed["files"]))
        except FileNotFoundError:
            return None, set()
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("a saved index can't be read, and is made anew", error=str(error))
            return None, set()

    def _needed_by(self, name: FileName) -> set[FileName]:
        """A file, and all that it needs."""
        needed, left = set[FileName](), [name]
        while left:
            each = left.pop()
            if each not in needed:
                needed.add(each)
                left += self._needs.get(each, ())
        return needed

    def _numbers(self) -> list[int]:
        found = (_NUMBERED.fullmatch(path.name) for path in self._folder.iterdir())
        return [int(match.group(1)) for match in found if match]

    def _remove_all_but(self, files: Collection[str], serial: int) -> None:
        """Remove the files up to this number that are not needed."""
        for path in self._folder.iterdir():
            match = _NUMBERED.fullmatch(path.name)
            if match and int(match.group(1)) <= serial and path.name not in files:
                path.unlink(missing_ok=True)
                self._needs.pop(FileName(path.name), None)

    def _say_failed(self, error: Exception) -> None:
        self.failures += 1
        self._failed()
        if not self._is_failing:
            log.error(
                "a file of the index can't be written: what it was for stays in memory",
                folder=str(self._folder),
                error=str(error),
            )
        self._is_failing = True


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigurationError(
            f"HURNET_RESPONDER_FOLDER: another process uses {path.parent}: each responder needs its own"
        ) from None
    return descriptor


def _opened_before(path: Path) -> int:
    try:
        return max(1, int(path.read_text()))
    except FileNotFoundError:
        return 0
    except ValueError:
        return 1


def _allow_files() -> None:
    """Each mapped file takes a descriptor: have as many as may be."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_MOST if most == resource.RLIM_INFINITY else min(most, _FILES_MOST)
    with suppress(OSError, ValueError):
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _sync(path: Path) -> None:
    """Have a file or folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
