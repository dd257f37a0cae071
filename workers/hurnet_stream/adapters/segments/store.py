"""`Segments` over files in a folder or an object store."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from hurnet_stream.adapters.segments.folder import FolderFiles
from hurnet_stream.core.stored.batch import Batch, EmbedderIdentity, Vectors
from hurnet_stream.core.stored.entries import Entries
from hurnet_stream.core.stored.segments import Piece, Segment
from hurnet_stream.errors import ConfigurationError, Unreadable
from hurnet_stream.ports.segments import Segments, StoredFile
from hurnet_stream.settings.segments import SegmentSettings

EXTRA = "pip install 'hurnet-stream[files]'"


class Files(Protocol):
    """Bytes by name. A name is a path with slashes."""

    def put(self, name: str, content: memoryview) -> None: ...

    def get(self, name: str, start: int, length: int) -> bytes: ...

    def remove(self, name: str) -> None: ...

    def listed(self, folder: str) -> Iterator[StoredFile]: ...

    def close(self) -> None: ...


class SegmentStore:
    """`Segments` (see hurnet_stream/ports/segments.py) in `files`. Threads may share it."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def write(self, epoch: str, first: int, pieces: Sequence[Batch], identity: EmbedderIdentity) -> Segment:
        from hurnet_stream.adapters.segments import arrow_file

        content, places = arrow_file.encode(pieces, identity)
        if not any(piece.length for piece in places):
            return Segment("", places)
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        # The digest says what is in it. What follows makes the name one that no other solver uses, so that
        # whoever finds its own file superfluous can remove it.
        name = f"{epoch}/{pieces[0].partition}/{first:020d}-{digest}-{secrets.token_hex(4)}.arrow"
        self._files.put(name, content)
        return Segment(name, places)

    def read(self, name: str, piece: Piece, dimension: int) -> tuple[Entries, Vectors]:
        from hurnet_stream.adapters.segments import arrow_file

        content = self._files.get(name, piece.start, piece.length)
        try:
            return arrow_file.decode(content, piece, dimension)
        except ValueError as error:
            raise Unreadable(f"the segment {name} is damaged at byte {piece.start} ({error})") from error

    def remove(self, name: str) -> None:
        self._files.remove(name)

    def listed(self, epoch: str) -> Iterator[StoredFile]:
        return self._files.listed(epoch)

    def close(self) -> None:
        self._files.close()


def segments_at(settings: SegmentSettings) -> Segments | None:
    """The segments at the URL of the settings; None if there is none.

    Raises `ConfigurationError` for a URL that can't be right, and if pyarrow is not installed.
    """
    if not settings.url:
        return None
    try:
        from hurnet_stream.adapters.segments.object_store import ObjectFiles
    except ImportError:
        raise ConfigurationError(f"HURNET_SEGMENTS_URL needs pyarrow: {EXTRA}") from None
    parts = urlsplit(settings.url)
    if parts.scheme in ("", "file"):
        return SegmentStore(FolderFiles(Path(unquote(parts.path) if parts.scheme else settings.url)))
    return SegmentStore(ObjectFiles(settings.url))
