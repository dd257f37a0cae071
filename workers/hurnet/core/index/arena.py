"""Bytes in chunks: what has been put is read while more is put behind it. One writer.

A chunk in which much has been erased is given up, once its writer has put the rest again."""

from __future__ import annotations

from itertools import chain
from typing import Final, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from hurnet.core.stored.entries import Entries, starts_of

FIRST_CHUNK: Final = 1 << 12
LARGEST_CHUNK: Final = 1 << 19
"""Larger only for one piece that is."""

_BITS: Final = 32  # of a place within its chunk
_SIZE: Final = 4  # bytes that say how many follow
_NOTHING: Final = memoryview(bytearray())

Integers = NDArray[np.int64]


class Places(NamedTuple):
    """Where the texts of n entries stand, and their bytes n; ~n, which is negative, where the entry's
    metadata follows: its bytes in 4 of them, and it in msgpack."""

    texts: Integers
    lengths: Integers


class Arena:
    """Whoever puts something keeps its place, a number, and its length."""

    def __init__(self) -> None:
        self._chunks = [_NOTHING]
        self._used = [0]  # bytes of each chunk
        self._erased = [0]  # of those
        self._open = 0  # the chunk that is filled
        self._free: list[int] = []  # numbers of chunks given up

    def put(self, data: bytes) -> int:
        """Its place."""
        return self.put_all(data, np.array([0, len(data)])).item(0)

    def put_all(self, data: bytes, starts: Integers) -> Integers:
        """The places (n,) of pieces that start in the data at `starts` (n + 1,), where the last ends too."""
        places, done = np.empty(len(starts) - 1, np.int64), 0
        while done < len(places):
            room = len(self._chunks[self._open]) - self._used[self._open]
            end = int(np.searchsorted(starts, starts[done] + room, "right")) - 1
            if end > done:
                places[done:end] = (
                    self._put(data[starts[done] : starts[end]]) + starts[done:end] - starts[done]
                )
                done = end
            else:
                self._grow(int(starts[done + 1] - starts[done]))
        return places

    def _put(self, data: bytes) -> int:
        at = self._used[self._open]
        self._chunks[self._open][at : at + len(data)] = data
        self._used[self._open] += len(data)
        return (self._open << _BITS) + at

    def put_texts(self, entries: Entries) -> Places:
        """Their texts and metadata."""
        lengths = np.diff(entries.starts)
        if not entries.metadata:
            return Places(self.put_all(entries.texts, entries.starts), lengths)
        packed = [_sized(msgpack.packb(dict(metadata))) if metadata else b"" for metadata in entries.metadata]
        sizes = np.fromiter(map(len, packed), np.int64, len(packed))
        data = b"".join(chain.from_iterable(zip(entries.pieces(), packed, strict=True)))
        places = self.put_all(data, starts_of(lengths + sizes))
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
        size = self._size(place, length)
        at = place & ((1 << _BITS) - 1)
        self._chunks[place >> _BITS][at : at + size] = bytes(size)
        self._erased[place >> _BITS] += size

    def emptiest(self) -> int | None:
        """The chunk with the most erased bytes, once a quarter of all, and at least a chunk of them, are."""
        if sum(self._erased) < max(LARGEST_CHUNK, sum(self._used) // 4):
            return None
        return max(range(len(self._erased)), key=self._erased.__getitem__)

    def move(self, places: Integers, lengths: Integers) -> Integers:
        """Put what stands at these places (n,) of one chunk, which is about to be dropped, once more."""
        sizes = list(map(self._size, places.tolist(), lengths.tolist()))
        if within(self._open, places).any():
            self._grow(0)
        return self.put_all(
            b"".join(map(self.get, places.tolist(), sizes)), starts_of(np.array(sizes, np.int64))
        )

    def drop(self, chunk: int) -> None:
        """Give up a chunk of which nothing is needed any more."""
        self._chunks[chunk][:] = bytes(len(self._chunks[chunk]))  # what has been moved can be erased later
        self._chunks[chunk], self._used[chunk], self._erased[chunk] = _NOTHING, 0, 0
        self._free.append(chunk)

    def _size(self, place: int, length: int) -> int:
        """Of a text, its metadata included."""
        if length >= 0:
            return length
        return ~length + _SIZE + int.from_bytes(self.get(place + ~length, _SIZE), "little")

    def _grow(self, least: int) -> None:
        usual = min(LARGEST_CHUNK, FIRST_CHUNK << len(self._chunks) - 1)
        if not self._free:
            self._free.append(len(self._chunks))
            self._chunks.append(_NOTHING)
            self._used.append(0)
            self._erased.append(0)
        self._open = self._free.pop()
        # Memory that has not been written to takes no room yet.
        self._chunks[self._open] = np.empty(max(usual, least), np.uint8).data


def within(chunk: int, places: Integers) -> NDArray[np.bool_]:
    """Which places (n,) lie in a chunk."""
    inside: NDArray[np.bool_] = places >> _BITS == chunk
    return inside


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(_SIZE, "little") + data
