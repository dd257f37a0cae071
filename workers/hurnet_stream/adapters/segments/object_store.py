"""Files in an object store: S3 and whatever speaks like it, Google's and Azure's, by pyarrow.

A request takes as long as many pieces, so more than one piece is fetched at once, and what was fetched is
kept for a while:

    piece 5 is asked for    8 MiB from its start on are fetched
    piece 6                 is among them: no request
    piece 600               another request; of what was fetched, the last `KEPT` are kept
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from pyarrow import fs

from hurnet_stream.adapters.segments.failures import reached
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports.segments import StoredFile

AHEAD_BYTES: Final = 8 << 20
KEPT: Final = 8
"""So many stretches of `AHEAD_BYTES` are kept."""


class ObjectFiles:
    """Files under `url`. Raises `ConfigurationError` for an address that pyarrow doesn't know."""

    def __init__(self, url: str) -> None:
        self._url = url
        try:
            self._store, self._root = fs.FileSystem.from_uri(url)
        except (ValueError, OSError, NotImplementedError) as error:
            raise ConfigurationError(f"HURNET_SEGMENTS_URL: {str(error)[:200]}") from error
        self._lock = threading.Lock()
        self._fetched: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def put(self, name: str, content: memoryview) -> None:
        """An object is there as a whole once its upload has ended, or not at all."""
        with self._reached(), self._store.open_output_stream(self._path(name)) as out:
            out.write(content)

    def get(self, name: str, start: int, length: int) -> bytes:
        """These bytes, fewer if the file ends before. Raises `SegmentMissing`."""
        with self._lock:
            for (of, begin), held in reversed(self._fetched.items()):
                if of == name and begin <= start and start + length <= begin + len(held):
                    return held[start - begin : start - begin + length]
        with self._reached(name), self._store.open_input_file(self._path(name)) as file:
            fetched: bytes = file.read_at(max(length, AHEAD_BYTES), start)
        with self._lock:
            self._fetched[name, start] = fetched
            while len(self._fetched) > KEPT:
                self._fetched.popitem(last=False)
        return fetched[:length]

    def remove(self, name: str) -> None:
        with self._lock:
            for key in [key for key in self._fetched if key[0] == name]:
                del self._fetched[key]
        with self._reached():
            try:
                self._store.delete_file(self._path(name))
            except FileNotFoundError:
                return

    def listed(self, folder: str) -> Iterator[StoredFile]:
        chosen = fs.FileSelector(self._path(folder), allow_not_found=True, recursive=True)
        with self._reached():
            found: list[Any] = self._store.get_file_info(chosen)
        for info in found:
            if info.type == fs.FileType.File:
                name = info.path.removeprefix(self._root.rstrip("/") + "/")
                yield StoredFile(name, info.mtime.timestamp() if info.mtime else 0.0)

    def close(self) -> None:
        with self._lock:
            self._fetched.clear()

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _reached(self, name: str = "") -> AbstractContextManager[None]:
        return reached("HURNET_SEGMENTS_URL", name)  # the address may hold a secret
