"""local_solve.c for Python: what compares a few hundred rows with a question and with each other.

Rows are given by their addresses (m,), where they stand as int16. The caller holds what they point to, and
sees to it that each row has |x|² below `MOST_SQUARED`: products are then exact in int32. A part of a row is a
range of its components. `level` 0 uses no more than any CPU has, 1 AVX2, 2 AVX-512 VNNI; None what this one
offers.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import library, loaded_library
from hurnet_stream.core.native.search import best_level

MOST_SQUARED: Final = 2**31
"""Unit vectors on the grid have 2**28."""

_POINTER, _LONG, _INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
_LINE: Final = 64
"""Bytes of a cache line."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def available() -> bool:
    """Whether the kernels can be called."""
    return library() is not None


def row_products(rows: Integers, part: slice, level: int | None = None) -> NDArray[np.int32]:
    """x·y of each two of the rows (m,) over one part, (m, m). What is below the diagonal means nothing."""
    m = len(rows)
    gram = np.empty((m, m), np.int32)
    room = _room((m + 16) * (part.stop - part.start + 16) * 2)
    functions = _functions()
    functions.row_products(
        functions.level if level is None else level,
        rows.ctypes.data,
        m,
        part.start,
        part.stop,
        room,
        gram.ctypes.data,
    )
    return gram


def cosines(
    rows: Integers, parts: Sequence[slice], question: NDArray[np.int16], level: int | None = None
) -> Floats:
    """The cosine of each row (m,) with a question (d,), over each part: (parts, m). 0 if either is nothing
    there."""
    found = np.empty((len(parts), len(rows)))
    question = np.ascontiguousarray(question)
    functions = _functions()
    functions.cosines(
        functions.level if level is None else level,
        rows.ctypes.data,
        len(rows),
        _ranges(parts),
        len(parts),
        question.ctypes.data,
        found.ctypes.data,
    )
    return found


def solve(
    rows: Integers,
    parts: Sequence[slice],
    shares: Floats,
    diagonal: Floats,
    right: Floats,
    level: int | None = None,
) -> Floats | None:
    """α (systems, m) of (K + diagonal) α = right for m rows, K = (Σ share · cosines)², entry by entry.

    `shares` are (systems, parts), `diagonal` (m,), `right` (systems, m). None if a system is not positive
    definite.
    """
    functions, systems, m = _functions(), len(shares), len(rows)
    widest = max(part.stop - part.start for part in parts)
    alpha = np.empty((systems, m))
    shares, diagonal, right = (np.ascontiguousarray(a, np.float64) for a in (shares, diagonal, right))
    failed = functions.local(
        functions.level if level is None else level,
        rows.ctypes.data,
        m,
        _ranges(parts),
        len(parts),
        shares.ctypes.data,
        systems,
        diagonal.ctypes.data,
        right.ctypes.data,
        _room(functions.local_room(m, widest, len(parts))),
        widest,
        alpha.ctypes.data,
    )
    return None if failed else alpha


def _ranges(parts: Sequence[slice]) -> ctypes.Array[Any]:
    ends = [end for part in parts for end in (part.start, part.stop)]
    return (_LONG * len(ends))(*ends)


_kept = threading.local()


def _room(size: int) -> int:
    """The address of that many bytes at least, at a cache line, for this thread until it next asks. They are
    kept: new memory would have to be cleared by the operating system each time, page by page."""
    held: NDArray[np.uint8] | None = getattr(_kept, "bytes", None)
    if held is None or len(held) < size + _LINE:
        held = _kept.bytes = np.empty(size + _LINE, np.uint8)
    start: int = held.ctypes.data
    return start + -start % _LINE


class _Functions(NamedTuple):
    row_products: Any
    cosines: Any
    local: Any
    local_room: Any
    level: int


@functools.cache
def _functions() -> _Functions:
    found = loaded_library()
    products, cosines, local = found.hurnet_row_products, found.hurnet_cosines, found.hurnet_local
    room = found.hurnet_local_room
    rows: tuple[Any, ...] = (_INT, _POINTER, _LONG)
    products.argtypes, products.restype = [*rows, _LONG, _LONG, _POINTER, _POINTER], None
    cosines.argtypes, cosines.restype = [*rows, _POINTER, _LONG, _POINTER, _POINTER], None
    systems: tuple[Any, ...] = (
        _POINTER,
        _LONG,
        _POINTER,
        _POINTER,
    )  # shares, how many systems, diagonal, right
    local.argtypes, local.restype = [*rows, _POINTER, _LONG, *systems, _POINTER, _LONG, _POINTER], _INT
    room.argtypes, room.restype = [_LONG, _LONG, _LONG], _LONG
    return _Functions(products, cosines, local, room, best_level())
