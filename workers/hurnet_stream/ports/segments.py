"""Files in which sealed rows of shards lie: in a folder, or in an object store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from hurnet_stream.core.stored.batch import Batch, EmbedderIdentity, Vectors
from hurnet_stream.core.stored.entries import Entries
from hurnet_stream.core.stored.segments import Piece, Segment
from hurnet_stream.errors import ConfigurationError

UNSET = (
    "old rows of this store lie in files (segments): set HURNET_SEGMENTS_URL as it is set for the solver,"
    " which puts them there"
)


class StoredFile(NamedTuple):
    """A file by its name, and when it was written, in seconds since 1970."""

    name: str
    written_s: float


class Segments(Protocol):
    """Writes segments once, and reads pieces of them. Threads may share it.

    Every method raises `SegmentsFailing`, a `TransientError`, if the files can't be reached for now.
    """

    def write(self, epoch: str, first: int, pieces: Sequence[Batch], identity: EmbedderIdentity) -> Segment:
        """Put these neighbouring batches of one shard into a new file, of which each becomes a piece.

        The file is there for good when this returns, under a name that no other file ever has. `epoch` is the
        store's, and `first` the number of the first item whose place the segment takes.
        """

    def read(self, name: str, piece: Piece, dimension: int) -> tuple[Entries, Vectors]:
        """The entries of a piece. Raises `SegmentMissing` if there is no such file, `Unreadable` if it is not
        what was written."""

    def remove(self, name: str) -> None:
        """Remove a file. Does nothing if it is not there."""

    def listed(self, epoch: str) -> Iterator[StoredFile]:
        """All files of the store with this epoch, unfinished ones too."""

    def close(self) -> None:
        """Release what is open."""


def required(segments: Segments | None) -> Segments:
    """The segments. Raises `ConfigurationError` if it is not said where they are."""
    if segments is None:
        raise ConfigurationError(UNSET)
    return segments
