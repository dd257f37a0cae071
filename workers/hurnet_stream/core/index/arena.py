"""The bytes of texts, metadata and answers, in chunks, so that an entry costs no Python object.

The caller keeps the address (chunk << 32 | start within the chunk) and the length of what it put:

    chunk 1     bom dia|yes|good evening|........          12 bytes from address 1 << 32 | 10 on
    chunk 2     ...

Bytes are only ever put behind others in the chunk that is open. What is erased is overwritten with zeros. A
chunk of which much has been erased is given up, once its owner has put the rest again elsewhere.

If there is a shelf (`core/shelf`), chunks of the largest size are mapped from files once they are full. What
is erased of one is in its file until the index is next saved, which then writes it anew.
"""

from __future__ import annotations

from itertools import chain
from typing import Final, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.shelf import FileName, Shelf, Tree
from hurnet_stream.core.stored.entries import Entries, starts_of

FIRST_CHUNK: Final = 1 << 12
"""Bytes. Each chunk has twice as many as the one before it, up to LARGEST_CHUNK."""
LARGEST_CHUNK: Final = 1 << 19
"""Bytes. A chunk is only larger if a single piece is."""

_START_BITS: Final = 32
"""The lower bits of an address, which say where in its chunk."""
_SIZE_BYTES: Final = 4
"""Bytes that say how many bytes of metadata follow them."""
_NO_MEMORY: Final = memoryview(bytearray())

Integers = NDArray[np.int64]


class TextAddresses(NamedTuple):
    """Where the texts of n entries stand (n,), and their lengths in bytes (n,).

    The length of a text that has metadata is kept as ~length, which is negative. Behind such a text stand the
    size of the metadata, in 4 bytes, and the metadata in msgpack.
    """

    texts: Integers
    lengths: Integers


class Arena:
    """All bytes of one index."""

    def __init__(self, shelf: Shelf | None = None) -> None:
        self._shelf = shelf
        self._files: dict[int, FileName] = {}  # by chunk: the file that holds what is in it now
        self._mapped: set[int] = set()  # chunks that take no memory, but for what was erased of them
        self._chunks = [_NO_MEMORY]
        self._used = [0]  # by chunk: bytes that have been put, those since erased included
        self._erased = [0]  # by chunk: bytes that have been erased
        self._open = 0  # the chunk that is being filled
        self._free: list[int] = []  # numbers of chunks that were given up

    @property
    def nbytes(self) -> int:
        """The bytes of all chunks that are in memory."""
        return sum(len(chunk) for number, chunk in enumerate(self._chunks) if number not in self._mapped)

    def saved(self) -> Tree:
        """What `restore` needs: names of files, and of chunks without one their bytes."""
        for number in range(len(self._chunks)):
            self._put_on_shelf(number)
        alone = {
            str(number): np.frombuffer(chunk, np.uint8)[: self._used[number]]
            for number, chunk in enumerate(self._chunks)
            if number not in self._files
        }
        return {
            "files": {str(number): name for number, name in self._files.items()},
            "alone": alone,
            "sizes": list(map(len, self._chunks)),
            "used": self._used,
            "erased": self._erased,
            "open": self._open,
            "free": self._free,
        }

    def restore(self, tree: Tree) -> None:
        """Be what was saved. Raises DamagedShelf."""
        self._chunks = [np.zeros(size, np.uint8).data for size in tree["sizes"]]
        for number, data in tree["alone"].items():
            self._chunks[int(number)][: len(data)] = data.data
        for number, name in tree["files"].items():
            self._map(int(number), name)
        self._used, self._erased = list(tree["used"]), list(tree["erased"])
        self._open, self._free = tree["open"], list(tree["free"])

    def _put_on_shelf(self, number: int) -> None:
        """Have a chunk that is full mapped from a file, if it is large and its file is not what it is now."""
        chunk = self._chunks[number]
        if not self._shelf or number in self._files or number == self._open or len(chunk) < LARGEST_CHUNK:
            return
        if name := self._shelf.write(
            "texts", {"bytes": np.frombuffer(chunk, np.uint8)[: self._used[number]]}
        ):
            self._map(number, name)

    def _map(self, number: int, name: FileName) -> None:
        if self._shelf:
            self._chunks[number] = self._shelf.map(name)["bytes"].data
            self._files[number] = name
            self._mapped.add(number)

    def put(self, data: bytes) -> int:
        """Put one piece; returns its address."""
        return self.put_all(data, np.array([0, len(data)])).item(0)

    def put_all(self, data: bytes, starts: Integers) -> Integers:
        """Put n pieces, which start in `data` at `starts` (n + 1,), where the last one ends too; returns
        their addresses (n,). No piece is cut."""
        addresses, done = np.empty(len(starts) - 1, np.int64), 0
        while done < len(addresses):
            room = len(self._chunks[self._open]) - self._used[self._open]
            end = int(np.searchsorted(starts, starts[done] + room, "right")) - 1  # the pieces that fit
            if end > done:
                first = self._put(data[starts[done] : starts[end]])
                addresses[done:end] = first + starts[done:end] - starts[done]
                done = end
            else:
                self._open_chunk(int(starts[done + 1] - starts[done]))
        return addresses

    def _put(self, data: bytes) -> int:
        start = self._used[self._open]
        self._chunks[self._open][start : start + len(data)] = data
        self._used[self._open] += len(data)
        return (self._open << _START_BITS) + start

    def put_texts(self, entries: Entries) -> TextAddresses:
        """Put the texts of entries, with their metadata behind them."""
        lengths = np.diff(entries.starts)
        if not entries.metadata:
            return TextAddresses(self.put_all(entries.texts, entries.starts), lengths)
        packed = [_sized(msgpack.packb(dict(metadata))) if metadata else b"" for metadata in entries.metadata]
        sizes = np.fromiter(map(len, packed), np.int64, len(packed))
        data = b"".join(chain.from_iterable(zip(entries.pieces(), packed, strict=True)))
        addresses = self.put_all(data, starts_of(lengths + sizes))
        return TextAddresses(addresses, np.where(sizes, ~lengths, lengths))

    def get(self, address: int, length: int) -> bytes:
        """The piece at an address; of a text with metadata, the text alone."""
        chunk, start = _located(address)
        return bytes(self._chunks[chunk][start : start + (length if length >= 0 else ~length)])

    def metadata(self, address: int, length: int) -> dict[str, str]:
        """The metadata of the entry whose text stands at this address."""
        if length >= 0:
            return {}
        behind_text = address + ~length
        size = int.from_bytes(self.get(behind_text, _SIZE_BYTES), "little")
        metadata: dict[str, str] = msgpack.unpackb(self.get(behind_text + _SIZE_BYTES, size))
        return metadata

    def erase(self, address: int, length: int) -> None:
        """Write zeros over a piece; over a text, its metadata included."""
        size = self._size(address, length)
        chunk, start = _located(address)
        self._chunks[chunk][start : start + size] = bytes(size)
        self._erased[chunk] += size
        self._files.pop(chunk, None)

    def emptiest(self) -> int | None:
        """The chunk to give up: the one with the most erased bytes, once a quarter of all bytes, and at least
        as many as a chunk has, are erased."""
        if sum(self._erased) < max(LARGEST_CHUNK, sum(self._used) // 4):
            return None
        return max(range(len(self._erased)), key=self._erased.__getitem__)

    def move(self, addresses: Integers, lengths: Integers) -> Integers:
        """Copy the pieces at these addresses (n,) out of one chunk, which is about to be dropped. Returns
        their new addresses (n,)."""
        sizes = self.sizes(addresses, lengths)
        if within(self._open, addresses).any():
            self._open_chunk(0)  # they must not be put into the chunk that they are to leave
        pieces = b"".join(map(self.get, addresses.tolist(), sizes.tolist()))
        return self.put_all(pieces, starts_of(sizes))

    def drop(self, chunk: int) -> None:
        """Give up a chunk of which nothing is needed any more."""
        # A piece that was moved may be erased later, at its new address: no copy of it may stay here.
        if chunk not in self._mapped:
            self._chunks[chunk][:] = bytes(len(self._chunks[chunk]))
        self._files.pop(chunk, None)
        self._mapped.discard(chunk)
        self._chunks[chunk], self._used[chunk], self._erased[chunk] = _NO_MEMORY, 0, 0
        self._free.append(chunk)

    def sizes(self, addresses: Integers, lengths: Integers) -> Integers:
        """The bytes of each piece (n,); of a text, its metadata included."""
        sizes, long = lengths.copy(), np.flatnonzero(lengths < 0)
        sizes[long] = list(map(self._size, addresses[long].tolist(), lengths[long].tolist()))
        return sizes

    def _size(self, address: int, length: int) -> int:
        """The bytes of a piece; of a text, its metadata included."""
        if length >= 0:
            return length
        return ~length + _SIZE_BYTES + int.from_bytes(self.get(address + ~length, _SIZE_BYTES), "little")

    def _open_chunk(self, least: int) -> None:
        """Open a new chunk of at least `least` bytes."""
        usual = min(LARGEST_CHUNK, FIRST_CHUNK << len(self._chunks) - 1)
        if not self._free:
            self._free.append(len(self._chunks))
            self._chunks.append(_NO_MEMORY)
            self._used.append(0)
            self._erased.append(0)
        before, self._open = self._open, self._free.pop()
        self._put_on_shelf(before)
        # Memory that has not been written to takes no room yet.
        self._chunks[self._open] = np.empty(max(usual, least), np.uint8).data


def within(chunk: int, addresses: Integers) -> NDArray[np.bool_]:
    """Which addresses (n,) lie in a chunk."""
    inside: NDArray[np.bool_] = addresses >> _START_BITS == chunk
    return inside


def _located(address: int) -> tuple[int, int]:
    """The chunk of an address, and where in it."""
    return address >> _START_BITS, address & ((1 << _START_BITS) - 1)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(_SIZE_BYTES, "little") + data
