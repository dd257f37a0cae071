"""Files in a folder of this machine, or one that several machines share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from hurnet_stream import disk
from hurnet_stream.adapters.segments.failures import reached
from hurnet_stream.ports.segments import StoredFile

UNFINISHED: Final = ".part"


class FolderFiles:
    """Files under `root`, which is made with the first one."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, content: memoryview) -> None:
        """Whole and on the disk when this returns, or not there: what is half written has another name."""
        path = self._root / name
        with self._reached():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(path.name + UNFINISHED)
            try:
                with unfinished.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
            while path != self._root:
                path = path.parent
                disk.sync(path)

    def get(self, name: str, start: int, length: int) -> bytes:
        """These bytes, fewer if the file ends before. Raises `SegmentMissing`."""
        with self._reached(name), (self._root / name).open("rb", buffering=0) as file:
            file.seek(start)
            content = file.read(length)
            while len(content) < length and (more := file.read(length - len(content))):
                content += more
            return content

    def remove(self, name: str) -> None:
        with self._reached():
            (self._root / name).unlink(missing_ok=True)

    def listed(self, folder: str) -> Iterator[StoredFile]:
        with self._reached():
            for path in sorted((self._root / folder).rglob("*")):
                with suppress(FileNotFoundError):  # removed meanwhile
                    if path.is_file():
                        yield StoredFile(str(path.relative_to(self._root)), path.stat().st_mtime)

    def close(self) -> None:
        """Nothing is open."""

    def _reached(self, name: str = "") -> AbstractContextManager[None]:
        return reached(f"HURNET_SEGMENTS_URL {self._root}", name)
