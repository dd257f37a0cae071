"""planes.c and scan.c for Python: rows into planes of 4 bits, and the search over them.

No array is copied on the way: the kernels are given addresses, and what they write is looked at where it is.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import CpuFeature, cores, features, library, loaded_library
from hurnet_stream.core.shelf import DamagedShelf
from hurnet_stream.core.stored.batch import Vectors

_POINTER, _LONG, _INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
_QUANTISE: Final[tuple[Any, ...]] = (_POINTER, _LONG, _LONG, _LONG, *[_POINTER] * 6)
_SEARCH: Final[tuple[Any, ...]] = (
    _POINTER,
    _LONG,
    _LONG,
    _POINTER,
    _LONG,
    _LONG,
    _POINTER,
    _POINTER,
    _POINTER,
    _POINTER,
    _INT,
    _LONG,
    _POINTER,
)

_SHARED: Final = 1024
"""Rows from which a second thread makes quantising faster."""

_DAMAGED: Final = -2

Integers = NDArray[np.int64]

ROWS_AT_ONCE: Final = 32
"""The rows of a plane that are read at once."""
BLOCK_BYTES: Final = 104
"""The size of the struct `Block` of types.h."""


class Found(NamedTuple):
    """The best rows of each query, at most k, and their cosines.

    For all queries together, `valued` is how many rows the upper four bits left, if they were read alone, and
    `looked` how many rows were compared in the end.
    """

    nearest: list[tuple[Integers, NDArray[np.float64]]]
    valued: int
    looked: int


class LeftOut(NamedTuple):
    """What must not answer: for each query 1, partition and offset of an entry, or 0, (n, 3); which answers
    (answers,), with all their rows; for each query the bits of the rows that may, or None if all may; and for
    each query structs `Excerpt` of types.h (blocks, 5) of these rows, or None if there are none."""

    entries: Integers | None = None
    answers: NDArray[np.bool_] | None = None
    within: Sequence[NDArray[np.uint8] | None] | None = None
    excerpts: Sequence[Integers | None] | None = None


def available() -> bool:
    """Whether the kernels can be called."""
    return library() is not None


def best_level() -> int:
    """The widest instruction set that this CPU offers, by the number that `search` takes."""
    return 2 if CpuFeature.VNNI in features() else 1 if CpuFeature.AVX2 in features() else 0


def quantise(
    vectors: Vectors,
    slot: int,
    planes: NDArray[np.uint8],
    scale: NDArray[np.uint16],
    slack: NDArray[np.uint16],
    norms: Integers,
) -> None:
    """Write the two planes of rows (n, d), their scale, slacks and norms, from slot `slot` of a block on.
    Many rows are shared with a second thread, if there is a core for it."""
    rows = np.ascontiguousarray(vectors)
    n, d = rows.shape
    outputs = [array.ctypes.data for array in (*planes, scale, *slack, norms)]

    def quantised(first: int, end: int) -> int:
        part = rows[first:end]
        return int(_functions().quantise(part.ctypes.data, end - first, d, slot + first, *outputs))

    helper = _helper() if n >= _SHARED else None
    half = n // 32 * 16 if helper else n  # two threads never write into the same group of 16 rows
    other = helper.submit(quantised, half, n) if helper else None
    # Both have ended before anything is raised: neither may write into a block that is gone.
    failed = quantised(0, half), other and other.result()
    if any(failed):
        raise MemoryError("no memory to rotate a row in")


@functools.cache
def _helper() -> ThreadPoolExecutor | None:
    return ThreadPoolExecutor(1, "quantise") if cores() > 1 else None


def plane_bytes(dimension: int) -> int:
    """Bytes of a row in each of the two planes."""
    return int(_functions().plane_bytes(dimension))


def excerpt(
    plane: NDArray[np.uint8], slots: NDArray[np.uint16], dimension: int, into: NDArray[np.uint8]
) -> None:
    """Write the rows in these slots (n,) of a block's upper plane side by side, as a plane of their own."""
    _functions().excerpt(plane.ctypes.data, slots.ctypes.data, len(slots), dimension, into.ctypes.data)


def search(
    table: bytes,
    queries: Vectors,
    k: int,
    left_out: LeftOut | None = None,
    level: int | None = None,
    threads: int = 1,
) -> Found:
    """The k best rows of the blocks that `table` describes for queries (n, d), which the caller has checked
    to lie on the grid; none for a query of zeros. Raises DamagedShelf.

    `level` 0 uses no more than any CPU has, 1 AVX2, 2 AVX-512 VNNI; None what this one offers. The rows are
    shared among `threads`.
    """
    n, d = queries.shape
    # What comes back for a query: how many rows, the rows (k,), their cosines (k,); behind all, two numbers.
    size = 1 + 2 * k
    out = bytearray(8 * (n * size + 2))
    entries, answers, within, excerpts = left_out or LeftOut()
    functions = _functions()
    failed = functions.search(
        table,
        len(table) // BLOCK_BYTES,
        d,
        queries.tobytes(),
        n,
        k,
        None if entries is None else entries.tobytes(),
        None if answers is None else answers.tobytes(),
        _pointers(within),
        _pointers(excerpts),
        functions.level if level is None else level,
        threads,
        ctypes.byref(_LONG.from_buffer(out)),
    )
    if failed == _DAMAGED:
        raise DamagedShelf("a row that lies in a file is not what it was")
    if failed:
        raise MemoryError("no memory to search in")
    numbers = memoryview(out).cast("q")
    nearest = [
        (
            np.frombuffer(out, np.int64, numbers[at], 8 * at + 8),
            np.frombuffer(out, np.float64, numbers[at], 8 * (at + 1 + k)),
        )
        for at in range(0, n * size, size)
    ]
    return Found(nearest, numbers[-2], numbers[-1])


def _pointers(arrays: Sequence[NDArray[Any] | None] | None) -> Any:
    """Where arrays begin, NULL for None."""
    if arrays is None:
        return None
    addresses = [None if array is None else array.ctypes.data for array in arrays]
    return (_POINTER * len(addresses))(*addresses)


class _Functions(NamedTuple):
    quantise: Any
    plane_bytes: Any
    search: Any
    excerpt: Any
    level: int


@functools.cache
def _functions() -> _Functions:
    found = loaded_library()
    found.hurnet_search.argtypes, found.hurnet_search.restype = list(_SEARCH), _INT
    wide = CpuFeature.AVX2 in features()
    quantise = found.hurnet_quantise_avx2 if wide else found.hurnet_quantise
    quantise.argtypes, quantise.restype = list(_QUANTISE), _INT
    found.hurnet_excerpt.argtypes = [_POINTER, _POINTER, _LONG, _LONG, _POINTER]
    found.hurnet_excerpt.restype = None
    found.hurnet_plane_bytes.argtypes, found.hurnet_plane_bytes.restype = [_LONG], _LONG
    return _Functions(
        quantise, found.hurnet_plane_bytes, found.hurnet_search, found.hurnet_excerpt, best_level()
    )
