"""Which folders there are below HURNET_RESPONDER_FOLDER: one for each generation, and for each slice.

generation-0          the shelf of a generation
slice-2-of-4          of a slice, with a folder for each generation
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from hurnet_stream.adapters.shelf.folder import FolderShelf
from hurnet_stream.adapters.shelf.system import locked
from hurnet_stream.errors import ConfigurationError

log = structlog.get_logger()

_FOLDER: Final = re.compile(r"generation-[0-9]+")
_SLICE: Final = re.compile(r"slice-[0-9]+-of-([0-9]+)")


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
        locks += map(locked, folder.glob("generation-*/lock"))
        shutil.rmtree(folder)
    except ConfigurationError:
        log.info("files of another number of slices stay: a process uses them", folder=str(folder))
    finally:
        for lock in locks:
            os.close(lock)
