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

import os
import re
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

from hurnet_stream import disk
from hurnet_stream.adapters.shelf import file, saved_list, system
from hurnet_stream.core.shelf import DamagedShelf, FileName, Tree

log = structlog.get_logger()

_NUMBERED: Final = re.compile(r"[a-z]+-([0-9]{1,18})")


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
        self._lock: int | None = system.locked(folder / "lock")
        self.times_left_open = system.opened_before(folder / "open")
        """How many processes used it last, one after the other, that did not close it."""
        (folder / "open").write_text(str(self.times_left_open + 1))
        system.allow_files()
        self._needs: dict[FileName, set[FileName]] = {}  # by file: the files that are named in it
        self._unsynced: set[FileName] = set()
        self._wiped: dict[FileName, list[tuple[str, Any]]] = defaultdict(list)
        self._saving: threading.Thread | None = None
        self.is_writing = False
        """Whether what is being saved must not change."""
        self._is_failing = False
        self.failures = 0
        self._root, files = saved_list.read(self._folder)
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
            saved_list.remove(self._folder)
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
                disk.sync(self._folder / name)
            saved_list.write(self._folder, saved.root, saved.files)
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
