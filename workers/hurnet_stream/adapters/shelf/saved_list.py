"""The file `saved` of a shelf: the names of all files that the saved index needs, and of the first."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
import structlog

from hurnet_stream import disk
from hurnet_stream.core.row_sums import checksum
from hurnet_stream.core.shelf import FileName

log = structlog.get_logger()


def write(folder: Path, root: FileName, files: Collection[FileName]) -> None:
    """On the disk as a whole when this returns; else what was there before still is."""
    listed = json.dumps({"root": root, "files": sorted(files)}).encode()
    beside = folder / "saved.new"
    beside.write_bytes(_sum(listed) + listed)
    disk.sync(beside)
    beside.replace(folder / "saved")
    disk.sync(folder)


def read(folder: Path) -> tuple[FileName | None, set[FileName]]:
    """The first file and all of them; none if nothing was saved, or if it can't be read."""
    try:
        raw = (folder / "saved").read_bytes()
        if raw[:16] != _sum(raw[16:]):
            raise ValueError("its checksum is wrong")
        listed = json.loads(raw[16:])
        return FileName(listed["root"]), set(map(FileName, listed["files"]))
    except FileNotFoundError:
        return None, set()
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("a saved index can't be read, and is made anew", error=str(error))
        return None, set()


def remove(folder: Path) -> None:
    """What was saved does not count any more."""
    (folder / "saved").unlink(missing_ok=True)


def _sum(listed: bytes) -> bytes:
    return b"%016x" % checksum(np.frombuffer(listed, np.uint8))
