"""Bytes in chunks that never move: what has been put is read while more is put behind it. One writer."""

from __future__ import annotations

from itertools import chain
from typing import Final, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from workers.core.entries import Entries, starts_of

FIRST_CHUNK: Final = 1 << 12
LARGEST_CHUNK: Final = 1 << 23
"""Larger only for what is put at once."""

_BITS: Final = 32  # of a place within its chunk
_SIZE: Final = 4  # bytes that say how many follow

Integers = NDArray[np.int64]


class Places(NamedTuple):
    """Where the texts of n entries stand, and their bytes n; ~n, which is negative, where the entry's
    metadata follows: its bytes in 4 of them, and it in msgpack."""

    texts: Integers
    lengths: Integers


class Arena:
    """Whoever puts something keeps its place, a number, and its length."""

    def __init__(self) -> None:
        self._chunks: list[memoryview] = []
        self._used = 0  # of the last chunk

    def put(self, data: bytes) -> int:
        """Its place; that of a part lies as far behind it as the part's first byte."""
        if not self._chunks or self._used + len(data) > len(self._chunks[-1]):
            self._grow(len(data))
        at = self._used
        self._chunks[-1][at : at + len(data)] = data
        self._used += len(data)
        return (len(self._chunks) - 1 << _BITS) + at

    def put_texts(self, entries: Entries) -> Places:
        """Their texts and metadata."""
        lengths = np.diff(entries.starts)
        if not entries.metadata:
            return Places(self.put(entries.texts) + entries.starts[:-1], lengths)
        packed = [_sized(msgpack.packb(dict(metadata))) if metadata else b"" for metadata in entries.metadata]
        sizes = np.fromiter(map(len, packed), np.int64, len(packed))
        data = b"".join(chain.from_iterable(zip(entries.pieces(), packed, strict=True)))
        places = self.put(data) + starts_of(lengths + sizes)[:-1]
        return Places(places, np.where(sizes, ~lengths, lengths))

    def get(self, place: int, length: int) -> bytes:
        """What was put there; of a text its words alone."""
        at = place & ((1 << _BITS) - 1)
        return bytes(self._chunks[place >> _BITS][at : at + (length if length >= 0 else ~length)])

    def metadata(self, place: int, length: int) -> dict[str, str]:
        """That of the entry whose text stands there."""
        if length >= 0:
            return {}
        size = int.from_bytes(self.get(place + ~length, _SIZE), "little")
        metadata: dict[str, str] = msgpack.unpackb(self.get(place + ~length + _SIZE, size))
        return metadata

    def erase(self, place: int, length: int) -> None:
        """Write zeros over it; over a text and its metadata."""
        if length < 0:
            length = ~length + _SIZE + int.from_bytes(self.get(place + ~length, _SIZE), "little")
        at = place & ((1 << _BITS) - 1)
        self._chunks[place >> _BITS][at : at + length] = bytes(length)

    def _grow(self, least: int) -> None:
        usual = min(LARGEST_CHUNK, 2 * len(self._chunks[-1])) if self._chunks else FIRST_CHUNK
        # Memory that has not been written to takes no room yet.
        self._chunks.append(np.empty(max(usual, least), np.uint8).data)
        self._used = 0


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(_SIZE, "little") + data
