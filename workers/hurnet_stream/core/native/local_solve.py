"""local_solve.c for Python: exact products of a few hundred rows, and the local solve over them."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import library
from hurnet_stream.core.native.search import best_level

_POINTER, _LONG, _INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
_LINE: Final = 64
"""Bytes of a cache line."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def available() -> bool:
    """Whether the kernels can be called."""
    return library() is not None


def row_products(rows: NDArray[np.int16], level: int | None = None) -> NDArray[np.int32] | None:
    """XXᵀ (m, m) of rows (m, d), exactly: what it holds below the diagonal means nothing. None if |x|² of a
    row is 2**31 or more, so that int32 might not hold it.

    `level` 0 uses no more than any CPU has, 1 AVX2, 2 AVX-512 VNNI; None what this one offers.
    """
    rows = np.ascontiguousarray(rows)
    m, d = rows.shape
    gram, of_rows = np.empty((m, m), np.int32), addresses(rows)
    functions = _functions()
    failed = functions.row_products(
        functions.level if level is None else level,
        of_rows.ctypes.data,
        m,
        0,
        d,
        _room((m + 16) * (d + 16) * 2),
        gram.ctypes.data,
    )
    return None if failed else gram


def addresses(rows: NDArray[np.int16]) -> Integers:
    """Where each of these rows (m, d), C-contiguous, stands in memory (m,)."""
    stood: Integers = rows.ctypes.data + np.arange(len(rows)) * rows.strides[0]
    return stood


def solve(
    rows: Integers,
    ends: Sequence[int],
    shares: Floats,
    diagonal: Floats,
    right: Floats,
    level: int | None = None,
) -> Floats | None:
    """α (systems, m) of (K + diagonal) α = right for m int16 rows, K = (Σ share · cosines)², entry by entry.

    `rows` (m,) are the addresses of the rows, which nobody may move meanwhile. Part p of a row is its
    components up to `ends[p]`, from where the part before it ends. `shares` (systems, parts), `diagonal`
    (m,), `right` (systems, m). None if there is no exact int32 product, or a system is not positive definite.
    """
    functions, (systems, parts), m = _functions(), shares.shape, len(rows)
    ends_of = (_LONG * parts)(*ends)
    widest = max(end - first for first, end in zip((0, *ends), ends, strict=False))
    alpha = np.empty((systems, m))
    shares, diagonal, right = (np.ascontiguousarray(a, np.float64) for a in (shares, diagonal, right))
    failed = functions.local(
        functions.level if level is None else level,
        rows.ctypes.data,
        m,
        ends_of,
        parts,
        shares.ctypes.data,
        systems,
        diagonal.ctypes.data,
        right.ctypes.data,
        _room(functions.local_room(m, widest, parts)),
        widest,
        alpha.ctypes.data,
    )
    return None if failed else alpha


_kept = threading.local()


def _room(size: int) -> int:
    """The address of that many bytes at least, at a cache line, for this thread until it next asks. They are
    kept: new memory would have to be cleared by the kernel each time, at a page in a quarter microsecond."""
    held: NDArray[np.uint8] | None = getattr(_kept, "bytes", None)
    if held is None or len(held) < size + _LINE:
        held = _kept.bytes = np.empty(size + _LINE, np.uint8)
    start: int = held.ctypes.data
    return start + -start % _LINE


class _Functions(NamedTuple):
    row_products: Any
    local: Any
    local_room: Any
    level: int


@functools.cache
def _functions() -> _Functions:
    found = library()
    if found is None:
        raise RuntimeError("the kernels are not there")
    products, local, room = found.hurnet_row_products, found.hurnet_local, found.hurnet_local_room
    products.argtypes = [_INT, _POINTER, _LONG, _LONG, _LONG, _POINTER, _POINTER]
    local.argtypes = [_INT, _POINTER, _LONG, _POINTER, _LONG, _POINTER, _LONG, _POINTER, _POINTER]
    local.argtypes = [*local.argtypes, _POINTER, _LONG, _POINTER]
    room.argtypes, room.restype = [_LONG, _LONG, _LONG], _LONG
    return _Functions(products, local, room, best_level())
