"""Folders that one process at a time may use."""

import contextlib
import fcntl
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from hurnet_stream.local.errors import FolderInUse, ServerError

_POLL_S = 0.05


@contextlib.contextmanager
def locked(folder: Path, timeout: float) -> Iterator[int]:
    """Make `folder` and hold it against other processes; yields the descriptor of its lock.

    The kernel drops the lock when the last process that has the descriptor ends, so it can't go stale.

    Raises:
        FolderInUse: another process still held it after `timeout` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    with (folder / "in-use.lock").open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise FolderInUse(
                        f"another running server or process is using the folder {folder}"
                    ) from None
                time.sleep(_POLL_S)
        yield file.fileno()


@contextlib.contextmanager
def writable(folder: Path | str) -> Iterator[None]:
    """In the block, an error of the file system names the file, or `folder`, and the way out.

    Raises:
        ServerError: for such an error.
    """
    try:
        yield
    except BrokenPipeError:  # nobody reads what is printed, which is no fault of the folder
        raise
    except OSError as error:
        raise ServerError(
            f"can't write to {error.filename or folder}: {error.strerror}. `hurnet up --data DIR` and"
            " `hurnet demo --keep DIR` take another folder"
        ) from error


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """`folder`, empty, until the block ends. The caller holds a lock, so what is already there is a leftover
    of a process that was killed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
