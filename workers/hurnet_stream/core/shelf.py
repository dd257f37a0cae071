"""Where an index puts what is large and seldom read, and saves itself: what the core needs of a folder.

A *shelf* holds files, each a tree of numbers, strings and arrays under a name that the shelf makes up. A file
is never changed, but for rows that are wiped. So an index that is saved again writes only what has changed,
and names the other files once more:

    saved first     rows-1  rows-2  texts-3  marks-4      context-5 names 1, 2, 3 and 4
    a row goes      rows-1  rows-2  texts-6  marks-7      context-8 names 1, 2, 6 and 7. Then the row is wiped
                                                          in rows-1 or rows-2, and 3, 4 and 5 are removed

What comes back is equal to what was put there, or there is an error. A shelf is a cache: whoever gets the
error fills an index anew.
"""

from __future__ import annotations

from typing import Any, Protocol

Tree = dict[str, Any]
"""Numbers, strings, names of files, None, arrays, and lists and trees of them."""


class FileName(str):
    """The name of a file of a shelf. A tree with such names needs these files."""

    __slots__ = ()


class DamagedShelf(Exception):
    """What stands on a shelf is not what was put there, or is gone. Nothing of it may be used."""


class Shelf(Protocol):
    """Files for one thread at a time."""

    failures: int
    """Files that could not be written. What is saved while it grows is not whole."""

    def write(self, kind: str, tree: Tree, is_summed: bool = True) -> FileName | None:
        """Write a file; returns its name. None if that failed: what was to be written is kept in memory then.

        If it is not `is_summed`, its arrays have no checksum: who reads them checks them, and they may be
        wiped."""

    def read(self, name: FileName) -> Tree:
        """A file, in memory that may be written to. Raises DamagedShelf."""

    def map(self, name: FileName, whole: bool = False) -> Tree:
        """The same, its arrays being mapped: they take no memory that the system could not take back. What is
        written to them is in memory and not in the file; those that have no sum can't be written to. If it is
        needed as a `whole`, it is there at once. Raises DamagedShelf."""

    def wipe(self, name: FileName, key: str, places: Any) -> None:
        """Once what is being saved stands, write zeros into the array `key` of a file at these `places`,
        which numpy takes as an index."""
