"""Which rows of a shard lie in a file, and where in it.

The oldest rows of a shard leave the store for a file, a *segment*. One item of a few kB stays in their place,
which says where each *piece* of them is: some neighbouring rows, as large as a batch, that are read together.

    position  item                             the same, once all up to position 8 is sealed
    0         batch: entry 0                   item 9-0, in the place of items 1-0 and on: segment f
    4         batch: entries 1 2 3 4             piece up to 4:  5 entries, bytes 640 to 9,640 of f
    8         batch: entry 8, and 7 erased       piece up to 8:  1 entry, bytes 9,640 to 11,520; 7 is gone
    11        batch: entry 11                  item 12-0: batch with entry 11, as it was

A reader is given the pieces as if they were batches of the store: it notices nothing. Where only erased rows
are left, a piece has no bytes, and a segment of such pieces has no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgpack

from hurnet_stream.core.shares import MAX_BATCH_BYTES
from hurnet_stream.core.stored.batch import Batch, joined_as_one
from hurnet_stream.core.stored.codec import decode_offsets, encode_offsets, seal, unseal

PIECE_ROWS: Final = 1_024
"""The most entries that batches are joined to."""
SEGMENT_BYTES_MAX: Final = 128 << 20
"""Vectors and texts of a segment, whatever number of rows is asked for: one is built in memory."""
NAME_LENGTH_MAX: Final = 200


class Piece(NamedTuple):
    """Neighbouring rows of a shard up to `watermark`: `entries` that are there, and erased ones.

    The bytes of the entries are the `length` ones from `start` on of the segment's file, with this CRC-32C.
    """

    watermark: int
    entries: int
    removed: tuple[int, ...]
    gone: int
    start: int
    length: int
    checksum: int

    @property
    def rows(self) -> int:
        """The rows that it takes up in its shard."""
        return self.entries + len(self.removed) + self.gone


@dataclass(frozen=True, slots=True)
class Segment:
    """A file's name, "" if there is none, and its pieces in their order, at least one."""

    name: str
    pieces: Sequence[Piece]

    @property
    def watermark(self) -> int:
        """The position up to which it goes."""
        return self.pieces[-1].watermark


@dataclass(frozen=True, slots=True)
class Sealing:
    """How much of each shard is to be sealed: segments of `rows` entries, as long as `keep_rows` rows and
    about `keep_bytes` bytes of vectors and texts stay behind them in the store."""

    rows: int
    keep_rows: int
    keep_bytes: int


def encode_segment(segment: Segment) -> bytes:
    """The segment as bytes, under a checksum."""
    begin = next((piece.start for piece in segment.pieces if piece.length), 0)
    before = 0
    pieces = []
    for piece in segment.pieces:
        removed = encode_offsets(piece.removed)
        about = piece.watermark - before, piece.entries, piece.length, piece.checksum
        pieces.append((*about, piece.gone, removed))
        before = piece.watermark
    encoded: bytes = msgpack.packb((segment.name, begin, pieces))
    return seal(encoded)


def decode_segment(encoded: bytes) -> Segment:
    """What `encode_segment` was given. Raises ValueError for what it can't have made."""
    try:
        name, begin, pieces = msgpack.unpackb(unseal(encoded))
        segment = Segment(str(name), list(_pieces(_natural(begin), pieces)))
    except (msgpack.UnpackException, TypeError) as error:
        raise ValueError(f"no segment: {error}") from error
    if not segment.pieces or len(segment.name) > NAME_LENGTH_MAX:
        raise ValueError("a segment without pieces, or with too long a name")
    if not segment.name and any(piece.length for piece in segment.pieces):
        raise ValueError("a segment without a file that holds entries")
    return segment


def _pieces(begin: int, encoded: Iterable[Any]) -> Iterator[Piece]:
    watermark = 0
    for apart, entries, length, checksum, gone, removed in encoded:
        watermark += _natural(apart)
        about = _natural(entries), decode_offsets(removed), _natural(gone)
        yield Piece(watermark, *about, begin, _natural(length), _natural(checksum))
        begin += length


def _natural(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError(f"{number!r:.40} is no natural number")
    return number


def pieces_of(batches: Sequence[Batch]) -> list[Batch]:
    """The same rows as pieces: neighbours joined to at most `PIECE_ROWS` entries and about
    `MAX_BATCH_BYTES`, without what they deleted. A larger batch stays as it is."""
    runs: list[list[Batch]] = []
    rows = size = 0
    for batch in batches:
        rows, size = rows + len(batch.entries), size + bytes_of(batch)
        if not runs or rows > PIECE_ROWS or size > MAX_BATCH_BYTES:
            runs.append([])
            rows, size = len(batch.entries), bytes_of(batch)
        runs[-1].append(batch)
    return [joined_as_one(run) for run in runs]


def bytes_of(batch: Batch) -> int:
    """Vectors and texts."""
    return batch.vectors.nbytes + len(batch.columns.texts)
