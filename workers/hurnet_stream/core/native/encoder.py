"""encoder.c for Python: exact products with the matrices of a sentence encoder, and its convolutions."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import CpuFeature, features, library, loaded_library

PANEL: Final = 32
"""Columns that a packed matrix holds beside one another."""

INPUTS: Final = 512 + 768
"""Numbers of `Convolutions.inputs` a token: its embedding, and its hidden features of three branches."""

FIRSTS: Final = (2 + 3 + 5) * 256
"""Numbers of `Convolutions.firsts` a token: for each branch and each place in its window, 256."""

_FEATURES: Final = 512 + 768
_APART: Final = 2
_DEPTH_MAX: Final = 1280
_ROOM_KEPT: Final = 1 << 20  # numbers of 8 bytes
_WEIGHT_MAX: Final = 2.0 ** (24 - 18)  # float32 holds every multiple of 2**-18 up to it
_TINY: Final = np.float32(1e-30)

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


class _Matrix(ctypes.Structure):
    """`Matrix` of encoder.c."""

    _fields_ = (
        ("codes", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("depth", ctypes.c_int64),
        ("columns", ctypes.c_int64),
    )


class Packed:
    """A matrix as the kernels read it: of each weight a code of 8 bits, which times a scale is the weight."""

    def __init__(self, codes: NDArray[np.int8], scales: NDArray[np.float32]) -> None:
        """`codes` (columns / PANEL, depth, PANEL), `scales` (columns / PANEL,)."""
        panels, self.depth, _ = codes.shape
        self.columns = panels * PANEL
        self._held = codes, scales  # by the struct
        self.struct = _Matrix(codes.ctypes.data, scales.ctypes.data, self.depth, self.columns)


def available() -> bool:
    """Whether the kernels can be called."""
    return library() is not None and _has_avx2()


@functools.cache
def _has_avx2() -> bool:
    return CpuFeature.AVX2 in features()


def pack(weights: NDArray[np.float32], blocks: int = 1) -> Packed:
    """`weights` (depth, columns) for the kernels, which round them to multiples of 2**-18.

    Each of `blocks` of columns has a scale of its own, a 127th of its largest weight. Raises ValueError for
    weights that are not codes of 8 bits times that.
    """
    depth, columns = weights.shape
    whole = columns % (blocks * PANEL) == 0 and depth % 2 == 0 and depth <= _DEPTH_MAX
    if not whole or np.abs(weights).max() >= _WEIGHT_MAX:
        raise ValueError(f"weights of ({depth}, {columns}) can't be packed")
    blocked = weights.reshape(depth, blocks, -1)
    scales = np.abs(blocked).max(axis=(0, 2)) / np.float32(127)  # (blocks,)
    codes = np.rint(blocked / np.maximum(scales, _TINY)[:, None])
    if not np.array_equal(codes.astype(np.float32) * scales[:, None], blocked):
        raise ValueError("these weights are not codes of 8 bits times a scale")
    panels = codes.astype(np.int8).reshape(depth, columns // PANEL, PANEL).swapaxes(0, 1)
    return Packed(np.ascontiguousarray(panels), np.repeat(scales, columns // blocks // PANEL))


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
    stride, functions = x.strides[0] // x.itemsize, _functions()
    wide = functions.level if level is None else level
    functions.product(x.ctypes.data, n, stride, ctypes.byref(packed.struct), out.ctypes.data, wide)
    return out


class _Encoder(ctypes.Structure):
    """`Encoder` of encoder.c."""

    _fields_ = (
        ("second", _Matrix * 3),
        ("first_bias", ctypes.c_void_p),
        ("second_bias", ctypes.c_void_p),
        ("gain", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("epsilon", ctypes.c_double),
        ("inputs", ctypes.c_void_p),
        ("firsts", ctypes.c_void_p),
    )


class Convolutions:
    """From kept tokens to the sums of their features. What stands in `inputs` (slots, 1280) and `firsts`
    (slots, 2560) is up to the caller. For one thread at a time."""

    def __init__(
        self, second: Sequence[Packed], biases: Sequence[Array], norm: tuple[Array, Array, float], slots: int
    ) -> None:
        """`second` are the matrices of the second convolutions (order * 256, 256) of order 2, 3 and 5,
        `biases` (2, 768) those of the first and second ones; `norm` is gain (1280,), bias (1280,) and epsilon
        of the layer norm."""
        self.inputs = np.empty((slots, INPUTS), np.float32)
        self.firsts = np.empty((slots, FIRSTS))
        gain, bias, epsilon = norm
        arrays = [*biases, gain, bias, self.inputs, self.firsts]
        self._held = second, [np.ascontiguousarray(array) for array in arrays]  # by the struct
        addresses = [array.ctypes.data for array in self._held[1]]
        self._kept_room = np.empty(0)
        matrices = (_Matrix * 3)(*(packed.struct for packed in second))
        self._struct = _Encoder(matrices, *addresses[:4], epsilon, *addresses[4:])

    def totals(self, slots: Integers, lengths: Integers, level: int | None = None) -> Array:
        """The features of each text (texts, 1280), summed over its tokens. `slots` (tokens,) say where in
        `inputs` and `firsts` each token is kept, one text after the other; `lengths` (texts,) how many tokens
        are of each. `level` as in `product`. Raises ValueError if these don't fit one another.
        """
        tokens, texts = len(slots), len(lengths)
        if lengths.sum() != tokens or slots.dtype != np.int64 or lengths.dtype != np.int64:
            raise ValueError(f"texts of {lengths.sum()} tokens can't have {tokens} slots")
        totals = np.empty((texts, _FEATURES))
        work = self._room(3 * 256 * (2 * tokens + _APART * (texts + 1)))
        rows = np.empty(tokens, np.int64)
        functions = _functions()
        functions.convolve(
            ctypes.byref(self._struct),
            *(slots.ctypes.data, lengths.ctypes.data, texts, tokens),
            *(array.ctypes.data for array in (work, rows, totals)),
            functions.level if level is None else level,
        )
        return totals

    def _room(self, numbers: int) -> Array:
        """Memory to work in. What most calls need is kept: new memory takes time to be had."""
        if numbers > _ROOM_KEPT:
            return np.empty(numbers)
        if len(self._kept_room) < numbers:
            self._kept_room = np.empty(numbers)
        return self._kept_room


class _Functions(NamedTuple):
    product: Any
    convolve: Any
    level: int


@functools.cache
def _functions() -> _Functions:
    found = loaded_library()
    pointer, long = ctypes.c_void_p, ctypes.c_int64
    found.hurnet_product.argtypes = [pointer, long, long, pointer, pointer, ctypes.c_int]
    found.hurnet_convolve.argtypes = [*[pointer] * 3, long, long, *[pointer] * 3, ctypes.c_int]
    found.hurnet_product.restype = found.hurnet_convolve.restype = None
    return _Functions(found.hurnet_product, found.hurnet_convolve, best_level())
