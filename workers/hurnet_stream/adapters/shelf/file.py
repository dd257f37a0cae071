"""One file of a shelf: a tree of numbers, strings and arrays.

    bytes 0 to 7      HURNET and the version of this format
    8 to 15           the size of the header
    16 to 23          the checksum of the header
    then              the header in msgpack: the file's own name and size, the tree with numbers in place of
                      its arrays, and of each array its type, shape, place and checksum
    on 4 kB borders   the arrays

Nothing is taken from a file before it has been checked: that it has its whole size, that header and arrays
have the sums that they had, and that it is the file that is asked for.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.row_sums import checksum
from hurnet_stream.core.shelf import DamagedShelf, FileName, Tree

_MAGIC: Final = b"HURNET\x00\x01"
_HEAD: Final = struct.Struct("<8sQQ")
_PAGE: Final = 4096
_HEADER_MOST_BYTES: Final = 1 << 28
_WHOLE: Final = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
_ARRAY, _NAME = 1, 2  # msgpack's types of our own

Bytes = NDArray[np.uint8]


class _Place(NamedTuple):
    """Of an array: its type, shape, where it begins behind the header, and its sum, None if it has none."""

    dtype: str
    shape: list[int]
    start: int
    sum: int | None

    @property
    def size(self) -> int:
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


class _Header(NamedTuple):
    """`start` is where the arrays begin in the file."""

    tree: bytes
    arrays: list[_Place]
    start: int


def write(path: Path, tree: Tree, is_summed: bool) -> set[FileName]:
    """Write a tree; returns the names of the files that it needs. Raises OSError."""
    arrays: list[NDArray[Any]] = []
    names: set[FileName] = set()

    def packed(value: object) -> msgpack.ExtType | int | float:
        if isinstance(value, np.ndarray):
            arrays.append(np.ascontiguousarray(value))
            return msgpack.ExtType(_ARRAY, msgpack.packb(len(arrays) - 1))
        if isinstance(value, FileName):
            names.add(value)
            return msgpack.ExtType(_NAME, value.encode())
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"{type(value)} has no place in a file")

    whole = msgpack.packb(tree, default=packed, strict_types=True)
    places, end = [], 0
    for array in arrays:
        own = checksum(_bytes(array)) if is_summed else None
        places.append(_Place(array.dtype.str, list(array.shape), end, own))
        end += -(-array.nbytes // _PAGE) * _PAGE
    header = msgpack.packb({"name": path.name, "size": end, "tree": whole, "arrays": places})
    with path.open("wb") as file:
        file.write(_HEAD.pack(_MAGIC, len(header), _sum(header)) + header)
        start = _start(len(header))
        for array, place in zip(arrays, places, strict=True):
            file.seek(start + place.start)
            file.write(_bytes(array).data)
        file.truncate(start + end)
    return names


def read(path: Path) -> tuple[Tree, set[FileName]]:
    """A tree in memory, and the names that are in it. Raises DamagedShelf."""
    with _opened(path) as file:
        header = _header(file, path.name)
        size = os.fstat(file.fileno()).st_size - header.start
        data = np.empty(size, np.uint8)
        file.seek(header.start)
        if file.readinto(data.data) != size:
            raise DamagedShelf(f"{path.name}: it ended early")
    return _tree(header, data, path.name)


def mapped(path: Path, whole: bool) -> tuple[Tree, set[FileName]]:
    """The same, mapped: only what is used is read, unless the `whole` is. What has no sum can't be written
    to. Raises DamagedShelf."""
    with _opened(path) as file:
        header = _header(file, path.name)
        is_summed = all(place.sum is not None for place in header.arrays)
        if whole:
            memory = mmap.mmap(file.fileno(), 0, _WHOLE, mmap.PROT_READ)
        else:
            access = mmap.ACCESS_COPY if is_summed else mmap.ACCESS_READ
            memory = mmap.mmap(file.fileno(), 0, access=access)
    tree = _tree(header, np.frombuffer(memory, np.uint8)[header.start :], path.name)
    if not whole and hasattr(memory, "madvise"):
        memory.madvise(mmap.MADV_DONTNEED)  # it was read for its sum: from now on as far as it is used
        memory.madvise(mmap.MADV_RANDOM)  # a row is read here and there: what is beside it would be in vain
    return tree


def wipe(path: Path, wiped: list[tuple[str, Any]]) -> None:
    """Write zeros into arrays of a file: by their key, and their places as numpy takes them. Raises OSError,
    and DamagedShelf."""
    with _opened(path, "r+b") as file:
        header = _header(file, path.name)
        with mmap.mmap(file.fileno(), 0) as memory:
            tree, _ = _tree(header, np.frombuffer(memory, np.uint8)[header.start :], path.name)
            for key, places in wiped:
                tree[key][places] = 0
            memory.flush()
            tree.clear()  # no array may be left that stands in this memory


def _header(file: BinaryIO, name: str) -> _Header:
    magic, size, own = _HEAD.unpack(file.read(_HEAD.size))
    if magic != _MAGIC or size > _HEADER_MOST_BYTES:
        raise DamagedShelf(f"{name}: it is no file of this format")
    packed = file.read(size)
    if len(packed) != size or _sum(packed) != own:
        raise DamagedShelf(f"{name}: its header is not what it was")
    fields, start = msgpack.unpackb(packed), _start(size)
    if fields["name"] != name or os.fstat(file.fileno()).st_size != start + fields["size"]:
        raise DamagedShelf(f"{name}: it is another file, or has another size")
    return _Header(fields["tree"], [_Place(*place) for place in fields["arrays"]], start)


def _tree(header: _Header, data: Bytes, name: str) -> tuple[Tree, set[FileName]]:
    names: set[FileName] = set()

    def unpacked(kind: int, value: bytes) -> object:
        if kind == _NAME:
            names.add(FileName(value.decode()))
            return FileName(value.decode())
        place = header.arrays[msgpack.unpackb(value)]
        own = data[place.start : place.start + place.size]
        if place.sum is not None and checksum(own) != place.sum:
            raise DamagedShelf(f"{name}: it is not what it was")
        return own.view(place.dtype).reshape(place.shape)

    tree: Tree = msgpack.unpackb(header.tree, ext_hook=unpacked)
    return tree, names


@contextmanager
def _opened(path: Path, mode: str = "rb") -> Iterator[Any]:
    """A file that is there and can be read: whatever is wrong with it, it is damaged."""
    try:
        with path.open(mode) as file:
            yield file
    except DamagedShelf:
        raise
    except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise DamagedShelf(f"{path.name}: {type(error).__name__}") from error


def _bytes(array: NDArray[Any]) -> Bytes:
    return array.reshape(-1).view(np.uint8)


def _sum(data: bytes) -> int:
    return checksum(np.frombuffer(data, np.uint8))


def _start(header_size: int) -> int:
    return -(-(_HEAD.size + header_size) // _PAGE) * _PAGE
