"""string_tags.c for Python. hurnet_stream/core/string_tags.py has the same in numpy."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import library, loaded_library


def available() -> bool:
    """Whether `string_tags` can be called."""
    return library() is not None


def string_tags(data: bytes, starts: NDArray[np.int64], key: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """As `core/string_tags.py`."""
    function = loaded_library().hurnet_string_tags
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    function.argtypes, function.restype = [ctypes.c_char_p, pointer, integer, pointer, pointer], None
    starts = np.ascontiguousarray(starts)
    tags = np.empty(len(starts) - 1, np.uint32)
    function(data, starts.ctypes.data, len(tags), key.ctypes.data, tags.ctypes.data)
    return tags
