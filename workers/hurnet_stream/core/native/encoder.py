"""encoder.c for Python: exact products with the matrices of a sentence encoder, and its convolutions."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import CpuFeature, features, library

PANEL: Final = 32
"""Columns that a packed matrix holds beside one another."""

INPUTS: Final = 512 + 768
"""Numbers of `Convolutions.inputs` a token: its embedding, and its hidden features of three branches."""

FIRSTS: Final = (2 + 3 + 5) * 256
"""Numbers of `Convolutions.firsts` a token: for each branch and each place in its window, 256."""

_FEATURES: Final = 512 + 768
_APART: Final = 2

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


class Packed(NamedTuple):
    """A matrix (depth, columns) as the kernels read it."""

    panels: NDArray[np.float32]
    """(columns / PANEL, depth, PANEL)"""
    depth: int
    columns: int


def available() -> bool:
    """Whether the kernels can be called."""
    return CpuFeature.AVX2 in features()


def pack(matrix: Array) -> Packed:
    """Raises ValueError if float32 can't hold the matrix (depth, columns) exactly, or if the columns are not
    a multiple of `PANEL`."""
    depth, columns = matrix.shape
    narrow = matrix.astype(np.float32)
    if columns % PANEL or not np.array_equal(narrow, matrix):
        raise ValueError("these weights can't be packed")
    panels = narrow.reshape(depth, columns // PANEL, PANEL).transpose(1, 0, 2)
    return Packed(np.ascontiguousarray(panels), depth, columns)


def best_level() -> int:
    """The widest instruction set that this CPU offers, by the number that `product` and `totals` take."""
    return 2 if CpuFeature.AVX512 in features() else 1


def product(x: Array, packed: Packed, level: int | None = None) -> Array:
    """x (n, depth) times the matrix: (n, columns). Exact, if float64 holds every sum of some of the products.

    The rows of x may be parts of longer ones. `level` 1 uses AVX2, 2 AVX-512; None what this CPU offers.
    Raises ValueError for rows that don't fit the matrix.
    """
    n, depth = x.shape
    if depth != packed.depth or x.dtype != np.float64 or x.strides[1] != x.itemsize:
        raise ValueError(f"rows of {depth} {x.dtype} do not fit a matrix of {packed.depth} rows of float64")
    out = np.empty((n, packed.columns))
    stride = x.strides[0] // x.itemsize
    panels, functions = packed.panels.ctypes.data, _functions()
    wide = functions.level if level is None else level
    functions.product(x.ctypes.data, n, stride, depth, panels, packed.columns, out.ctypes.data, wide)
    return out


class _Struct(ctypes.Structure):
    """`Encoder` of encoder.c."""

    _fields_ = (
        ("second", ctypes.c_void_p * 3),
        ("first_bias", ctypes.c_void_p),
        ("second_bias", ctypes.c_void_p),
        ("gain", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("epsilon", ctypes.c_double),
        ("inputs", ctypes.c_void_p),
        ("firsts", ctypes.c_void_p),
    )


class Convolutions:
    """From kept tokens to the sums of their features. What stands in `inputs` and `firsts` is up to the
    caller."""

    def __init__(
        self, second: Sequence[Packed], biases: Sequence[Array], norm: tuple[Array, Array, float], slots: int
    ) -> None:
        """`second` are the matrices of the second convolutions (order * 256, 256) of order 2, 3 and 5,
        `biases` (2, 768) those of the first and second ones; `norm` is gain (1280,), bias (1280,) and epsilon
        of the layer norm."""
        self.inputs = np.empty((slots, INPUTS), np.float32)
        self.firsts = np.empty((slots, FIRSTS))
        gain, bias, epsilon = norm
        arrays = [packed.panels for packed in second] + [*biases, gain, bias, self.inputs, self.firsts]
        self._held: list[NDArray[Any]] = [np.ascontiguousarray(array) for array in arrays]  # by the struct
        addresses = [array.ctypes.data for array in self._held]
        self._struct = _Struct(
            (ctypes.c_void_p * 3)(*addresses[:3]), *addresses[3:7], epsilon, *addresses[7:]
        )

    def totals(self, slots: Integers, lengths: Integers, level: int | None = None) -> Array | None:
        """The features of each text (texts, 1280), summed over its tokens. `slots` (tokens,) say where in
        `inputs` and `firsts` each token is kept, one text after the other; `lengths` (texts,) how many tokens
        are of each.

        None if a sum may have been rounded, so that it depends on the order: features of thousands, which no
        text of people's has. `level` as in `product`.
        """
        tokens, texts = len(slots), len(lengths)
        totals = np.empty((texts, _FEATURES))
        work = np.empty(3 * 256 * (2 * tokens + _APART * (texts + 1)))
        places = np.empty(tokens, np.int64)
        arrays = [array.ctypes.data for array in (work, places, totals)]
        functions = _functions()
        exact = functions.convolve(
            ctypes.byref(self._struct),
            slots.ctypes.data,
            lengths.ctypes.data,
            texts,
            tokens,
            *arrays,
            functions.level if level is None else level,
        )
        return totals if exact else None


class _Functions(NamedTuple):
    product: Any
    convolve: Any
    level: int


@functools.cache
def _functions() -> _Functions:
    found = library()
    if found is None:
        raise RuntimeError("the kernels are not there")
    pointer, long = ctypes.c_void_p, ctypes.c_int64
    found.hurnet_product.argtypes = [pointer, long, long, long, pointer, long, pointer, ctypes.c_int]
    found.hurnet_convolve.argtypes = [*[pointer] * 3, long, long, *[pointer] * 3, ctypes.c_int]
    found.hurnet_product.restype, found.hurnet_convolve.restype = None, ctypes.c_int
    return _Functions(found.hurnet_product, found.hurnet_convolve, best_level())
