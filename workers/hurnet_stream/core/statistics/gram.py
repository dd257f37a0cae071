"""G += XᵀX over grid rows, exactly, by whichever path is fastest on this machine.

All paths give the same bytes, because none of them rounds. A component of a grid row is |x| ≤ 2¹⁴, so a
product of two is at most 2²⁸, and each path adds no more of them than its integers hold:

    path            adds products in        up to                          then to
    vnni, avx2      int32 (C, syrk.c)       2³¹, checked for each block    int64
    float64         float64 (BLAS dsyrk)    2²⁵ rows: 2²⁵ · 2²⁸ = 2⁵³      int64
    cuda float64    the same on a GPU
    cuda int8       int32, of x = 2⁸h + l   2¹⁷ rows                       int64

The check of the first: by Cauchy-Schwarz no entry of XᵀX is larger than its largest column sum of squares. So
rows are taken as long as all of these stay below 2³¹: at least seven, and for unit vectors of many dimensions
hundreds.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.arrays import Backend
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.native import CpuFeature, features
from hurnet_stream.core.native.syrk import add_syrk
from hurnet_stream.core.stored.batch import Vectors

MAX_ROWS: Final = 2**35 - 1
"""Rows, copies counted, up to which no entry of G can leave int64."""
FLOAT64_ROWS: Final = 4096
"""Rows a float64 product takes at once; exact up to 2**25, kept small for memory (32 MB at d = 1024)."""
PROBE_ROWS: Final = 256
"""Rows of the probe: a usual batch."""

Integers = NDArray[np.int64]
AddGram = Callable[[Vectors, Integers], None]
"""Adds XᵀX of rows (n, d) to at least the upper triangle of a gram (d, d). Raises before adding anything."""


def add_gram(rows: Vectors, gram: Integers, backend: Backend) -> None:
    """Add XᵀX of grid rows (n, d) to the upper triangle of `gram` (d, d), C-contiguous, in units of 2**-28.

    What is below the diagonal afterwards is not defined. Raises before it adds anything.
    """
    paths(backend)[fastest(gram.shape[0], backend)](rows, gram)


def add_gram_of_copies(rows: Vectors, copies: Integers, gram: Integers, backend: Backend) -> None:
    """Add XᵀDX, D the diagonal of `copies` (n,), each from 1: every row counts as often as it has copies.

    By the bits of the numbers, highest first. For rows a, b, c with 5, 1 and 4 copies (101, 001, 100 in
    binary):

        bit 4: XᵀX of a and c        doubled
        bit 2: none of them          doubled
        bit 1: XᵀX of a and b        G = 4(aa + cc) + (aa + bb) = 5aa + bb + 4cc

    So there are no more products than the largest number has bits, however many numbers are different.
    """
    total = np.zeros_like(gram)
    for bit in reversed(range(int(copies.max(initial=0)).bit_length())):
        total <<= 1
        add_gram(rows[(copies >> bit) & 1 == 1], total, backend)
    gram += total


def mirrored(gram: Integers) -> Integers:
    """The symmetric matrix (d, d) whose upper triangle `gram` holds, as a new one."""
    full = gram.copy()
    for block in blocks(len(gram), 64):  # small enough that rows and columns of a block stay in the cache
        full[block.stop :, block] = full[block, block.stop :].T
        corner = np.triu(full[block, block])
        full[block, block] = corner + np.triu(corner, 1).T
    return full


def paths(backend: Backend) -> Mapping[str, AddGram]:
    """The ways to sum on this machine, those of a GPU only if `backend` is one."""
    available: dict[str, AddGram] = {"float64": add_float64}
    if CpuFeature.AVX2 in features():
        available["avx2"] = functools.partial(add_syrk, kernel="avx2")
    if CpuFeature.VNNI in features():
        available["vnni"] = functools.partial(add_syrk, kernel="vnni")
    if not backend.on_cpu:
        from hurnet_stream.core.statistics.gram_torch import add_float64_on, add_int8_on

        available["cuda float64"] = functools.partial(add_float64_on, device=backend.device)
        available["cuda int8"] = functools.partial(add_int8_on, device=backend.device)
    return available


def fastest(dimension: int, backend: Backend) -> str:
    """The name of the path that takes least time for a batch in `dimension`, measured once a process.

    A path that fails here, or gives other bytes than "float64", is not taken.
    """
    return _measured(dimension, backend, frozenset(paths(backend)))


def add_float64(rows: Vectors, gram: Integers) -> None:
    """An `AddGram` by numpy, which takes dsyrk for a matrix times its own transpose."""
    total = np.zeros_like(gram)
    for block in blocks(len(rows), FLOAT64_ROWS):
        x = rows[block].astype(np.float64)  # (n, d)
        total += (x.T @ x).astype(np.int64)
    gram += total


def blocks(length: int, size: int) -> Iterator[slice]:
    """Slices of `size`, the last one shorter, over `length`."""
    return (slice(start, start + size) for start in range(0, length, size))


@functools.cache
def _measured(dimension: int, backend: Backend, names: frozenset[str]) -> str:
    largest = min(SCALE, int(SCALE * math.sqrt(3 / dimension)))  # rows of about unit length
    chance = np.random.default_rng(0)
    rows = chance.integers(-largest, largest, (PROBE_ROWS, dimension), np.int16, endpoint=True)
    expected = np.zeros((dimension, dimension), np.int64)
    add_float64(rows, expected)
    available = paths(backend)
    return min(sorted(names), key=lambda name: _seconds(available[name], rows, np.triu(expected)))


def _seconds(add: AddGram, rows: Vectors, expected: Integers) -> float:
    """The least of three times, which is nearest to an idle machine's; inf if the path does not work here."""
    gram = np.zeros_like(expected)
    try:
        add(rows, gram)  # warms up
    except RuntimeError:  # torch's: a GPU or its libraries may lack an operation
        return math.inf
    if not np.array_equal(np.triu(gram), expected):
        return math.inf

    def once() -> float:
        started = time.perf_counter()
        add(rows, gram)
        return time.perf_counter() - started

    return min(once() for _ in range(3))
