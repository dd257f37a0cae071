"""row_sums.c for Python. hurnet_stream/core/row_sums.py says what the sums are."""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import library, loaded_library

_POINTER, _LONG = ctypes.c_void_p, ctypes.c_int64
_LANES: Final = 16

Sums = NDArray[np.uint64]


def available() -> bool:
    """Whether the kernels can be called."""
    return library() is not None


def row_sums(rows: NDArray[np.uint8]) -> Sums:
    """The sums (n,) of rows (n, bytes)."""
    rows = np.ascontiguousarray(rows)
    sums = np.empty(len(rows), np.uint64)
    _functions().of_rows(rows.ctypes.data, len(rows), rows.shape[1], sums.ctypes.data)
    return sums


def row_sums_at(addresses: NDArray[np.int64], size: int) -> Sums:
    """The sums (n,) of rows of `size` bytes that stand at these addresses (n,), which the caller holds."""
    addresses, sums = np.ascontiguousarray(addresses), np.empty(len(addresses), np.uint64)
    _functions().at(addresses.ctypes.data, len(addresses), size, sums.ctypes.data)
    return sums


def plane_sums(planes: NDArray[np.uint8]) -> Sums:
    """The sums (rows,) of rows in planes (2, rows / 16, steps, 16, 4), C-contiguous."""
    _, groups, steps = planes.shape[:3]
    sums = np.empty(groups * _LANES, np.uint64)
    _functions().of_planes(planes.ctypes.data, groups, steps, sums.ctypes.data)
    return sums


class _Functions(NamedTuple):
    of_rows: Any
    at: Any
    of_planes: Any


@functools.cache
def _functions() -> _Functions:
    found = loaded_library()
    functions = _Functions(found.hurnet_row_sums, found.hurnet_row_sums_at, found.hurnet_plane_sums)
    for function in functions:
        function.argtypes, function.restype = [_POINTER, _LONG, _LONG, _POINTER], None
    return functions
