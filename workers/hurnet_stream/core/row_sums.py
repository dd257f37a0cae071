"""Checksums of rows of bytes: of vectors and planes that lie in files, and of whole files.

A row is read as 64-bit words. Each is folded, multiplied by an odd factor of its place, and all are summed
modulo 2**64:

    words        w0                    w1                    ...     a row of zeros has the sum 0
    sum          (w0 ^ w0 >> 32) f0  + (w1 ^ w1 >> 32) f1  + ...     f_i = (i + 1) 0x9E3779B97F4A7C15 | 1

One damaged word always changes the sum, and several do but for one time in 2**32 or so. It is no defence
against who wants to deceive. Every row has a sum of its own: one row can be checked where it is used, which
takes less time than to fetch it from memory, and one can be wiped without a change of the others' sums.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import row_sums as kernels

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_PAGE: Final = 4096

Sums = NDArray[np.uint64]


def row_sums(rows: NDArray[Any]) -> Sums:
    """The sum (n,) of each row (n, ...) of whatever type, C-contiguous."""
    whole = np.ascontiguousarray(rows).reshape(len(rows), math.prod(rows.shape[1:])).view(np.uint8)
    if kernels.available():
        return kernels.row_sums(whole)
    missing = -whole.shape[1] % 8
    padded = np.pad(whole, ((0, 0), (0, missing))) if missing else whole
    words = padded.view("<u8")
    return _summed(words ^ words >> np.uint64(32))


def plane_sums(planes: NDArray[np.uint8]) -> Sums:
    """The sum (rows,) of each row in the kernels' planes (2, rows / 16, steps, 16, 4): of its words of four
    bytes, those of the first plane before those of the second one."""
    if kernels.available():
        return kernels.plane_sums(planes)
    words = planes.view("<u4")[..., 0].astype(np.uint64)  # (2, groups, steps, 16)
    by_row = words.transpose(1, 3, 0, 2).reshape(words.shape[1] * words.shape[3], -1)
    return _summed(by_row)


def sums_at(addresses: NDArray[np.int64], size: int) -> Sums:
    """The sums (n,) of rows of `size` bytes that stand at these addresses (n,). Needs the kernels."""
    return kernels.row_sums_at(addresses, size)


def checksum(data: NDArray[np.uint8]) -> int:
    """Of all bytes (n,) of a file, in pages, the sums of which are summed as one row."""
    whole = len(data) // _PAGE * _PAGE
    pages, rest = data[:whole].reshape(-1, _PAGE), data[whole:]
    sums = np.concatenate([row_sums(pages), row_sums(rest[None]), np.array([len(data)], np.uint64)])
    return row_sums(sums[None]).item(0)


def _summed(words: NDArray[np.uint64]) -> Sums:
    """Of words (n, m)."""
    factors = np.arange(1, words.shape[1] + 1, dtype=np.uint64) * _GOLDEN | np.uint64(1)
    sums: Sums = (words * factors).sum(axis=1, dtype=np.uint64)
    return sums
