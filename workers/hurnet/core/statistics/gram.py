"""G += XᵀX over grid rows, exactly, by whichever path is fastest here; the bytes are the same by each.

With |x| ≤ 2¹⁴ a product of two components is at most 2²⁸, so that

- "vnni" and "avx2" (C, `native/syrk.c`) sum in int32 as many rows as have all column sums of squares below
  2³¹, which by Cauchy–Schwarz bounds every entry of their XᵀX, and add that to int64;
- "float64" sums blocks of rows by BLAS's dsyrk: up to 2²⁵ rows every partial sum, in whatever order, is an
  integer of at most 2⁵³, which float64 holds;
- "cuda int8" splits x = 2⁸h + l, |h| ≤ 2⁶, |l| ≤ 2⁷: XᵀX = 2¹⁶HᵀH + 2⁸(HᵀL + LᵀH) + LᵀL, each product
  summed in int32, below 2³¹ for fewer than 2¹⁷ rows;
- "cuda float64" is "float64" there.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from hurnet.core.grid import SCALE
from hurnet.core.native import CpuFeature, features
from hurnet.core.native.syrk import add_syrk
from hurnet.core.stored.batch import Vectors

MAX_ROWS: Final = 2**35 - 1
"""Rows, copies counted, up to which no entry of G can leave int64."""
FLOAT64_ROWS: Final = 4096
"""Rows a float64 product takes at once; exact up to 2**25, kept small for memory (32 MB at d = 1024)."""
INT8_ROWS: Final = 1 << 16
"""Rows an int8 product takes at once; exact below 2**17."""
PROBE_ROWS: Final = 256
"""Rows of the probe: a usual batch."""

Integers = NDArray[np.int64]
AddGram = Callable[[Vectors, Integers], None]
"""Adds XᵀX of rows (n, d) to at least the upper triangle of a gram (d, d). Raises before adding anything."""


def add_gram(rows: Vectors, gram: Integers, device: torch.device) -> None:
    """Add XᵀX of grid rows (n, d) to the upper triangle of `gram` (d, d), C-contiguous, in units of 2**-28.

    What is below the diagonal afterwards is not defined. Raises before it adds anything.
    """
    paths(device)[fastest(gram.shape[0], device)](rows, gram)


def add_weighted_gram(rows: Vectors, weights: Integers, gram: Integers, device: torch.device) -> None:
    """The same of XᵀDX, D the diagonal of `weights` (n,), each from 1: by their bits, highest first.

    So a row takes part in as many products as its weight has bits set, and there are no more of those than
    the largest weight has bits, however many weights are different.
    """
    total = np.zeros_like(gram)
    for bit in reversed(range(int(weights.max(initial=0)).bit_length())):
        total <<= 1
        add_gram(rows[(weights >> bit) & 1 == 1], total, device)
    gram += total


def mirrored(gram: Integers) -> Integers:
    """The symmetric matrix whose upper triangle `gram` holds, as a new one."""
    full = gram.copy()
    for block in blocks(len(gram), 64):  # small enough that rows and columns of a block stay in the cache
        full[block.stop :, block] = full[block, block.stop :].T
        corner = np.triu(full[block, block])
        full[block, block] = corner + np.triu(corner, 1).T
    return full


def paths(device: torch.device) -> Mapping[str, AddGram]:
    """The ways to sum that there are on this machine, `device` allowed."""
    found: dict[str, AddGram] = {"float64": add_float64}
    if CpuFeature.AVX2 in features():
        found["avx2"] = functools.partial(add_syrk, kernel="avx2")
    if CpuFeature.VNNI in features():
        found["vnni"] = functools.partial(add_syrk, kernel="vnni")
    if device.type == "cuda":
        found["cuda float64"] = functools.partial(add_float64_on, device=device)
        found["cuda int8"] = functools.partial(add_int8_on, device=device)
    return found


def fastest(dimension: int, device: torch.device) -> str:
    """The name of the path that takes least time for a batch in `dimension`, measured once a process.

    One that fails or gives other bytes than "float64" is not taken.
    """
    return _measured(dimension, device, frozenset(paths(device)))


def add_float64(rows: Vectors, gram: Integers) -> None:
    """An `AddGram` by numpy, which takes dsyrk for a matrix times its own transpose."""
    total = np.zeros_like(gram)
    for block in blocks(len(rows), FLOAT64_ROWS):
        x = rows[block].astype(np.float64)
        total += (x.T @ x).astype(np.int64)
    gram += total


def add_float64_on(rows: Vectors, gram: Integers, device: torch.device) -> None:
    """An `AddGram` by torch on a device with float64."""
    total = torch.zeros(gram.shape, dtype=torch.int64, device=device)
    for block in blocks(len(rows), FLOAT64_ROWS):
        x = torch.from_numpy(rows[block].copy()).to(device, torch.float64)  # torch warns of read-only arrays
        total += (x.T @ x).to(torch.int64)
    gram += total.cpu().numpy()


def add_int8_on(rows: Vectors, gram: Integers, device: torch.device) -> None:
    """An `AddGram` by three int8 products on a device with `torch._int_mm`, CUDA or CPU."""
    d = len(gram)
    total = torch.zeros(gram.shape, dtype=torch.int64, device=device)
    for block in blocks(len(rows), INT8_ROWS):
        high, low = _digits(torch.from_numpy(rows[block].copy()).to(device))
        mixed = torch._int_mm(high, low.T).long()
        part = (torch._int_mm(high, high.T).long() << 16) + torch._int_mm(low, low.T)
        total += (part + ((mixed + mixed.T) << 8))[:d, :d]
    gram += total.cpu().numpy()


def _digits(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """H and L of x (n, d) = 2⁸H + L, transposed, and padded with zeros as CUDA's `_int_mm` wants its shapes.

    That is more than 16 rows of the first factor, and multiples of 8 elsewhere; both factors lie along n.
    """
    n, d = x.shape
    padded = torch.nn.functional.pad(x, (0, max(24, -(-d // 8) * 8) - d, 0, -n % 8)).T.contiguous()
    high = (padded + 128) >> 8
    return high.to(torch.int8), (padded - (high << 8)).to(torch.int8)


def blocks(length: int, size: int) -> Iterator[slice]:
    """Slices of `size`, the last one shorter, over `length`."""
    return (slice(start, start + size) for start in range(0, length, size))


@functools.cache
def _measured(dimension: int, device: torch.device, names: frozenset[str]) -> str:
    largest = min(SCALE, int(SCALE * math.sqrt(3 / dimension)))  # rows of about unit length
    chance = np.random.default_rng(0)
    rows = chance.integers(-largest, largest, (PROBE_ROWS, dimension), np.int16, endpoint=True)
    expected = np.zeros((dimension, dimension), np.int64)
    add_float64(rows, expected)
    available = paths(device)
    return min(sorted(names), key=lambda name: _seconds(available[name], rows, np.triu(expected)))


def _seconds(add: AddGram, rows: Vectors, expected: Integers) -> float:
    """The least of three times, nearest to an idle machine's; inf where the path does not work here."""
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
