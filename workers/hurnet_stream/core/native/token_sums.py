"""Sums of rows of tokens by the kernel in token_sums.c. hurnet_stream/core/token_sums.py has an example."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import CpuFeature, features, library


def available() -> bool:
    """Whether `unit_sums` can be called."""
    return library() is not None


def unit_sums(
    rows: NDArray[np.int16], tokens: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int16]:
    """As `core/token_sums.py`, which checks the arguments. Needs the library."""
    loaded = library()
    if loaded is None:
        raise RuntimeError("there are no native kernels here")
    function = loaded.hurnet_unit_sums_avx2 if CpuFeature.AVX2 in features() else loaded.hurnet_unit_sums
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [pointer, integer, pointer, pointer, integer, pointer, pointer]
    function.restype = None
    texts, dimension = len(lengths), rows.shape[1]
    table, flat, counts = (np.ascontiguousarray(each).ctypes for each in (rows, tokens, lengths))
    units, room = np.empty((texts, dimension), np.int16), np.empty(dimension, np.int32)
    function(table.data, dimension, flat.data, counts.data, texts, room.ctypes.data, units.ctypes.data)
    return units
