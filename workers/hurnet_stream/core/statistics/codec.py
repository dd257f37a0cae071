"""Statistics in bytes: what checkpoints hold and digests are taken of. Equal statistics have equal bytes.

    gram        dimension d (uint32), count m (uint64), G's upper triangle row by row (int64)
    one answer  bytes an integer, 2, 4 or 8 (uint8), n_a (uint64), B_a (d integers of that width)

All little-endian. A sum in wider integers than it needs is refused, so that no state has two forms.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.statistics.answer_sums import AnswerSum, check_sum, narrowed
from hurnet_stream.core.statistics.gram import MAX_ROWS, mirrored

Integers = NDArray[np.int64]

GRAM_HEADER: Final = struct.Struct("<IQ")
"""Dimension, count."""
SUM_HEADER: Final = struct.Struct("<BQ")
"""Bytes an integer, count."""


def encode_gram(count: int, gram: Integers) -> bytes:
    """Count and G (d, d), of which the upper triangle counts, in 12 + 4d(d+1) bytes."""
    upper = gram[np.triu_indices(len(gram))]
    return GRAM_HEADER.pack(len(gram), count) + upper.astype("<i8").tobytes()


def encode_sum(entry: AnswerSum) -> bytes:
    """n_a and B_a, in 9 + 2d bytes for an answer seen once."""
    width = entry.total.dtype.itemsize
    return SUM_HEADER.pack(width, entry.count) + entry.total.astype(f"<i{width}").tobytes()


def decode_gram(encoded: bytes) -> tuple[int, Integers]:
    """Count and G (d, d), symmetric, of `encode_gram`. Raises ValueError if it is corrupt."""
    if len(encoded) < GRAM_HEADER.size:
        raise ValueError(f"corrupt gram: {len(encoded)} bytes")
    dimension, count = GRAM_HEADER.unpack_from(encoded)
    length = GRAM_HEADER.size + 4 * dimension * (dimension + 1)
    if dimension < 1 or count > MAX_ROWS or len(encoded) != length:
        raise ValueError(f"corrupt gram: dimension {dimension}, {count} rows, {len(encoded)} bytes")
    upper = np.zeros((dimension, dimension), np.int64)
    upper[np.triu_indices(dimension)] = np.frombuffer(encoded, "<i8", offset=GRAM_HEADER.size)
    check_gram(upper, count)
    return count, mirrored(upper)


def decode_sum(answer: str, encoded: bytes, dimension: int) -> AnswerSum:
    """The sum of `encode_sum`. Raises ValueError, naming the answer, if it is corrupt."""
    if len(encoded) < SUM_HEADER.size:
        raise ValueError(f"corrupt sum for {answer!r}: {len(encoded)} bytes")
    width, count = SUM_HEADER.unpack_from(encoded)
    if (
        width not in (2, 4, 8)
        or not 1 <= count <= MAX_ROWS
        or len(encoded) != SUM_HEADER.size + width * dimension
    ):
        raise ValueError(f"corrupt sum for {answer!r}: width {width}, {count} rows, {len(encoded)} bytes")
    total = np.frombuffer(encoded, f"<i{width}", offset=SUM_HEADER.size).astype(np.int64)
    check_sum(answer, count, int(total.min()), int(total.max()))
    narrow = narrowed(total)
    if narrow.dtype.itemsize != width:
        raise ValueError(f"corrupt sum for {answer!r}: {width} bytes an integer, and fewer would do")
    return AnswerSum(count, narrow)


def check_gram(upper: Integers, count: int) -> None:
    """Raise ValueError if `upper`, G with zeros below its diagonal, can't be XᵀX of `count` grid rows.

    Such a sum of `count` outer products has |G_ij| ≤ 2²⁸·count, and G_ii ≥ 0.
    """
    bound = SCALE * SCALE * count
    if (upper.diagonal() < 0).any() or upper.min() < -bound or upper.max() > bound:
        raise ValueError(f"no {count} rows make this gram: rows were taken out that had not been put in")
