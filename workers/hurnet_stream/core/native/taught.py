"""taught.c for Python: chains of rows that share an answer, and p·x of rows where they stand."""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import library, loaded_library
from hurnet_stream.core.native.search import best_level

_POINTER, _LONG = ctypes.c_void_p, ctypes.c_int64
_WEIGH: Final = ("hurnet_weigh_any", "hurnet_weigh_avx2", "hurnet_weigh_avx512")

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def available() -> bool:
    """Whether the kernels can be called."""
    return library() is not None


def chains(
    last: NDArray[np.int32], previous: NDArray[np.int32], answers: Integers, room: int
) -> tuple[Integers, Integers] | None:
    """All pairs of one of these answers (n,), by its place among them, and a row of its chain: (p,), (p,).
    None if there are more than `room` pairs. `last` is by answer, `previous` by row."""
    owners, rows, answers = np.empty(room, np.int64), np.empty(room, np.int64), np.ascontiguousarray(answers)
    count = _functions().chains(
        last.ctypes.data,
        previous.ctypes.data,
        answers.ctypes.data,
        len(answers),
        room,
        owners.ctypes.data,
        rows.ctypes.data,
    )
    return None if count < 0 else (owners[:count], rows[:count])


def weigh(rows: Integers, p: Floats, level: int | None = None) -> Floats:
    """p·x (m,) of each int16 row x, given by its address (m,), which the caller holds; p is (d,)."""
    p, weighed = np.ascontiguousarray(p, np.float64), np.empty(len(rows))
    functions = _functions()
    weigh_by = functions.weigh[functions.level if level is None else level]
    weigh_by(rows.ctypes.data, len(rows), len(p), p.ctypes.data, weighed.ctypes.data)
    return weighed


def symmetric_times(matrix: Floats, x: Floats, level: int | None = None) -> Floats:
    """P x of each row x of (n, d), (n, d), for a symmetric matrix P (d, d), C-contiguous, of which only one
    half is read. A row gives the same bits, whichever rows stand beside it."""
    x = np.ascontiguousarray(x, np.float64)
    product = np.empty_like(x)
    functions = _functions()
    times = functions.symmetric[functions.level if level is None else level]
    times(matrix.ctypes.data, len(matrix), x.ctypes.data, len(x), product.ctypes.data)
    return product


class _Functions(NamedTuple):
    chains: Any
    weigh: list[Any]
    symmetric: list[Any]
    level: int


@functools.cache
def _functions() -> _Functions:
    found = loaded_library()
    found.hurnet_chains.argtypes = [_POINTER, _POINTER, _POINTER, _LONG, _LONG, _POINTER, _POINTER]
    found.hurnet_chains.restype = _LONG
    level = best_level()
    weigh = [getattr(found, name) for name in _WEIGH[: level + 1]]
    for function in weigh:
        function.argtypes, function.restype = [_POINTER, _LONG, _LONG, _POINTER, _POINTER], None
    symmetric = [getattr(found, f"{name}_symmetric") for name in _WEIGH[: level + 1]]
    for function in symmetric:
        function.argtypes, function.restype = [_POINTER, _LONG, _POINTER, _LONG, _POINTER], None
    return _Functions(found.hurnet_chains, weigh, symmetric, level)
