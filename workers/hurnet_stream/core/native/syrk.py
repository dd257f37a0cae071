"""G += XᵀX by the kernels of syrk.c, on as many threads as the cores or OMP_NUM_THREADS allow."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import library, threads_max

PANEL: Final = 16
"""The columns of a panel of packed rows (syrk.c)."""
FLUSH_ROWS: Final = 2048
"""The most rows that are summed in int32 before they go to int64. More packed rows would leave the caches."""
THREAD_PRODUCTS: Final = 1 << 25
"""Products of two components below which a second thread costs more than it saves."""

Kernel = Literal["vnni", "avx2"]


def add_syrk(rows: NDArray[np.int16], gram: NDArray[np.int64], kernel: Kernel) -> None:
    """Add XᵀX of any int16 rows (n, d) to the upper triangle of `gram` (d, d), C-contiguous; exact.

    Needs the library, and `features()` to have what the kernel is named for. Raises before it adds anything.
    """
    rows, dimension = np.ascontiguousarray(rows), rows.shape[1]
    squares = np.empty(dimension, np.uint32)
    packed = _packing_room(min(FLUSH_ROWS, len(rows)), dimension)
    while len(rows):
        count = certified_rows(rows[:FLUSH_ROWS], squares)
        pack_pairs(rows[:count], packed)
        multiply(packed, count, gram, kernel)
        rows = rows[count:]


def certified_rows(rows: NDArray[np.int16], squares: NDArray[np.uint32]) -> int:
    """How many leading rows, at least 1, have an XᵀX that int32 holds. `squares` (d,) is for its own use."""
    count: int = _functions().hurnet_certified_rows(rows.ctypes.data, *rows.shape, squares.ctypes.data)
    return count


def pack_pairs(rows: NDArray[np.int16], packed: NDArray[np.int16]) -> None:
    """Lay rows (n, d) out as the kernels want them, into `packed`."""
    _functions().hurnet_pack_pairs(rows.ctypes.data, *rows.shape, packed.ctypes.data)


def multiply(packed: NDArray[np.int16], count: int, gram: NDArray[np.int64], kernel: Kernel) -> None:
    """Add XᵀX of `count` packed rows to `gram` (d, d); int32 must hold it (`certified_rows`)."""
    function = getattr(_functions(), f"hurnet_syrk_{kernel}")
    dimension = len(gram)

    def columns(first: int, end: int) -> None:
        function(packed.ctypes.data, (count + 1) // 2, dimension, first, end, gram.ctypes.data)

    threads = threads_max() if count * dimension**2 > THREAD_PRODUCTS else 1
    shares = list(_shares(-(-dimension // PANEL), threads))
    if len(shares) == 1:
        columns(*shares[0])
    else:
        list(_pool(threads).map(lambda share: columns(*share), shares))  # a list, to wait for all


def _shares(panels: int, threads: int) -> Iterator[tuple[int, int]]:
    """Ranges of panels, each beginning at an even one, that hold about equal parts of the triangle."""
    first = 0
    for thread in range(1, threads + 1):
        end = min(panels, 2 * math.ceil(panels / 2 * math.sqrt(thread / threads)))
        if end > first:
            yield first, end
        first = end


def _packing_room(rows: int, dimension: int) -> NDArray[np.int16]:
    """Room for that many packed rows, at a multiple of 64 bytes."""
    size = -(-dimension // PANEL) * PANEL * (rows + rows % 2)
    room = np.empty(size + 32, np.int16)
    start = -room.ctypes.data % 64 // 2
    return room[start : start + size]


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "syrk")


@functools.cache
def _functions() -> ctypes.CDLL:
    kernels = library()
    if kernels is None:
        raise RuntimeError("there are no native kernels here")
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    kernels.hurnet_certified_rows.argtypes = [pointer, integer, integer, pointer]
    kernels.hurnet_certified_rows.restype = integer
    kernels.hurnet_pack_pairs.argtypes = [pointer, integer, integer, pointer]
    kernels.hurnet_pack_pairs.restype = None
    for kernel in (kernels.hurnet_syrk_vnni, kernels.hurnet_syrk_avx2):
        kernel.argtypes = [pointer, integer, integer, integer, integer, pointer]
        kernel.restype = None
    return kernels
