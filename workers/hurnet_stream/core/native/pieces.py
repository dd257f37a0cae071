"""pieces.c for Python: words cut into pieces of a vocabulary, so that the sum of scores is the largest."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import library, loaded_library

_STEP_BYTES = 16


def available() -> bool:
    """Whether the kernels can be called."""
    return library() is not None


class Pieces:
    """A vocabulary. Raises ValueError for one with an empty piece."""

    def __init__(
        self, pieces: Sequence[str], scores: Sequence[float], unknown: int, unknown_score: float
    ) -> None:
        """`unknown` is the number of the piece that stands for a letter of no other piece."""
        if not all(pieces):
            raise ValueError("a piece without letters")
        letters = np.frombuffer("".join(pieces).encode("utf-32-le"), np.uint32)
        ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
        self._cut = _functions().cut
        steps, bits = _read(letters, ends)
        self._held = steps, np.array(scores, np.float32)  # by the addresses
        self._vocabulary = (*(array.ctypes.data for array in self._held), bits, unknown, unknown_score)

    def cut(self, text: str) -> tuple[int, ...]:
        """The numbers of the pieces of `text`, which has no lone surrogate."""
        out = ctypes.create_string_buffer(4 * len(text))
        count = self._cut(*self._vocabulary, text.encode("utf-32-le"), len(text), out)
        if count < 0:
            raise MemoryError("no memory to cut a text in")
        return struct.unpack_from(f"={count}i", out)


def _read(letters: NDArray[np.uint32], ends: NDArray[np.int64]) -> tuple[NDArray[np.uint8], int]:
    """The table of steps, and how many bits number them. Pieces share their beginnings, so half the steps are
    often enough of what there is room in for all letters in any case."""
    bits = len(letters).bit_length()
    steps = np.zeros(_STEP_BYTES << bits, np.uint8)
    if _functions().read(letters.ctypes.data, ends.ctypes.data, len(ends), steps.ctypes.data, bits):
        bits += 1
        steps = np.zeros(_STEP_BYTES << bits, np.uint8)
        _functions().read(letters.ctypes.data, ends.ctypes.data, len(ends), steps.ctypes.data, bits)
    return steps, bits


class _Functions(NamedTuple):
    read: Any
    cut: Any


@functools.cache
def _functions() -> _Functions:
    found = loaded_library()
    pointer, long, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    found.hurnet_pieces_read.argtypes = [pointer, pointer, long, pointer, number]
    found.hurnet_pieces_read.restype = number
    found.hurnet_pieces_cut.argtypes = [
        *(pointer, pointer, number, ctypes.c_int32, ctypes.c_double, ctypes.c_char_p, long, pointer)
    ]
    found.hurnet_pieces_cut.restype = long
    return _Functions(found.hurnet_pieces_read, found.hurnet_pieces_cut)
