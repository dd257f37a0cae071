"""Statistics in bytes: what checkpoints hold and digests are taken of. One state has one form."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet.core.grid import SCALE
from hurnet.core.statistics.answer_sums import AnswerSum, check_sum, narrowed
from hurnet.core.statistics.gram import MAX_ROWS, mirrored

Integers = NDArray[np.int64]

GRAM_HEADER: Final = struct.Struct("<IQ")
"""Dimension, count."""
SUM_HEADER: Final = struct.Struct("<BQ")
"""Bytes an integer, count."""


def pack_gram(count: int, gram: Integers) -> bytes:
    """Dimension, count and G's upper triangle row by row, little-endian int64: 12 + 4d(d+1) bytes."""
    upper = gram[np.triu_indices(len(gram))]
    return GRAM_HEADER.pack(len(gram), count) + upper.astype("<i8").tobytes()


def pack_sum(entry: AnswerSum) -> bytes:
    """Bytes an integer, n_a and B_a, little-endian: 9 + 2d bytes for an answer seen once."""
    width = entry.total.dtype.itemsize
    return SUM_HEADER.pack(width, entry.count) + entry.total.astype(f"<i{width}").tobytes()


def unpack_gram(packed: bytes) -> tuple[int, Integers]:
    """Count and G (d, d), symmetric, of `pack_gram`. Raises ValueError where it is corrupt."""
    if len(packed) < GRAM_HEADER.size:
        raise ValueError(f"corrupt gram: {len(packed)} bytes")
    dimension, count = GRAM_HEADER.unpack_from(packed)
    length = GRAM_HEADER.size + 4 * dimension * (dimension + 1)
    if dimension < 1 or count > MAX_ROWS or len(packed) != length:
        raise ValueError(f"corrupt gram: dimension {dimension}, {count} rows, {len(packed)} bytes")
    upper = np.zeros((dimension, dimension), np.int64)
    upper[np.triu_indices(dimension)] = np.frombuffer(packed, "<i8", offset=GRAM_HEADER.size)
    check_gram(upper, count)
    return count, mirrored(upper)


def unpack_sum(answer: str, packed: bytes, dimension: int) -> AnswerSum:
    """The sum of `pack_sum`. Raises ValueError, naming the answer, where it is corrupt."""
    if len(packed) < SUM_HEADER.size:
        raise ValueError(f"corrupt sum for {answer!r}: {len(packed)} bytes")
    width, count = SUM_HEADER.unpack_from(packed)
    if (
        width not in (2, 4, 8)
        or not 1 <= count <= MAX_ROWS
        or len(packed) != SUM_HEADER.size + width * dimension
    ):
        raise ValueError(f"corrupt sum for {answer!r}: width {width}, {count} rows, {len(packed)} bytes")
    total = np.frombuffer(packed, f"<i{width}", offset=SUM_HEADER.size).astype(np.int64)
    check_sum(answer, count, int(total.min()), int(total.max()))
    narrow = narrowed(total)
    if narrow.dtype.itemsize != width:
        raise ValueError(f"corrupt sum for {answer!r}: {width} bytes an integer where fewer would do")
    return AnswerSum(count, narrow)


def check_gram(upper: Integers, count: int) -> None:
    """Raise ValueError where `upper`, G with zeros below its diagonal, is no sum of `count` rows' products.

    A sum of `count` outer products of grid rows has |G_ij| ≤ 2²⁸·count, and G_ii ≥ 0.
    """
    bound = SCALE * SCALE * count
    if (upper.diagonal() < 0).any() or upper.min() < -bound or upper.max() > bound:
        raise ValueError(f"no {count} rows make this gram: rows were taken out that had not been put in")
