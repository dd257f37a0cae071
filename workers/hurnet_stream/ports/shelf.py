"""A shelf that outlives the process: what a responder puts there is mapped at its next start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hurnet_stream.core.shelf import Shelf, Tree


class SavedShelf(Shelf, Protocol):
    """A shelf of one process and one generation of the store."""

    times_left_open: int
    """How many processes used it last, one after the other, that did not close it."""

    @property
    def is_writing(self) -> bool:
        """Whether what was to be saved is being read: it must not change meanwhile."""

    @property
    def is_saving(self) -> bool:
        """Whether what was to be saved is still on its way to the disk."""

    def saved(self) -> Tree | None:
        """What was saved last; None if there is nothing. Raises DamagedShelf."""

    def save(self, write: Callable[[], Tree]) -> None:
        """Have another thread save what `write` returns, which may write files, and all that is named in it.
        Nothing else may use the shelf while that `is_writing`. Once all is on the disk it counts, in one
        step. Only then is anything wiped, and are files removed that are not named. If a file can't be
        written, nothing is saved."""

    def finish(self) -> None:
        """Wait until what was to be saved is on the disk."""

    def discard(self) -> None:
        """What was saved is not to be used any more, and its files are removed. What is mapped of them is
        still good, but can't be named again."""

    def remove(self) -> None:
        """Remove everything."""

    def close(self) -> None:
        """Save what is on its way, and let another process use the shelf."""
