"""Texts as sums of the rows of their tokens, on the grid; in C if there are kernels, with the same bytes.

    rows       [3, 0], [1, 4], [-1, 2]     of the tokens 0, 1, 2
    tokens     0, 1, 1 | 2                 of two texts, their lengths 3 and 1
    sums       [5, 8] and [-1, 2]
    on grid    [5, 8] * 16384 / sqrt(89), rounded, and [-1, 2] * 16384 / sqrt(5), rounded

Sums are integers, so the order of a text's tokens and the other texts of a batch change nothing. The squares
of a sum must be exact too: a sum with a component of 2**21 or more, which only thousands of tokens reach, is
first divided by a power of two and rounded down. Up to 2,048 squares below 2**42 stay within 2**53.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import snap
from hurnet_stream.core.native import token_sums as kernels

DIMENSION_MAX: Final = 2048
TOKENS_MAX: Final = 1 << 16
"""Of one text: sums must fit int32."""

_BITS = 21  # of a component, when its square is taken
_TOKENS_AT_ONCE = 1 << 13  # bounds the memory in use; a longer text is alone


def unit_sums(
    rows: NDArray[np.int16], tokens: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int16]:
    """The sum of each text's rows, scaled to unit length, on the grid (texts, d); zeros for no tokens.

    `rows` (vocabulary, d) are C-contiguous, `tokens` those of one text after the other, `lengths` (texts,)
    how many are of each. Raises ValueError for what can't be exact, and for tokens without a row.
    """
    if rows.shape[1] > DIMENSION_MAX or lengths.max(initial=0) > TOKENS_MAX:
        raise ValueError(f"more than {DIMENSION_MAX} coordinates, or a text of more than {TOKENS_MAX} tokens")
    if tokens.max(initial=0) >= len(rows) or min(tokens.min(initial=0), lengths.min(initial=0)) < 0:
        raise ValueError("there is a token without a row, or a length below zero")
    if lengths.sum() != len(tokens):
        raise ValueError("the lengths are not those of the tokens")
    return kernels.unit_sums(rows, tokens, lengths) if kernels.available() else _numpy(rows, tokens, lengths)


def _numpy(
    rows: NDArray[np.int16], tokens: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int16]:
    units = np.zeros((len(lengths), rows.shape[1]), np.int16)
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        begin = ends[first] - lengths[first]
        last = max(first + 1, int(np.searchsorted(ends, begin + _TOKENS_AT_ONCE, side="right")))
        some = first + np.flatnonzero(lengths[first:last])  # reduceat wants no empty ones
        if len(some):
            found = rows[tokens[begin : ends[last - 1]]].astype(np.int32)
            sums = np.add.reduceat(found, ends[some] - lengths[some] - begin, axis=0)
            units[some] = snap((sums >> _shifts(sums)[:, None]).astype(np.float64))
        first = last
    return units


def _shifts(sums: NDArray[np.int32]) -> NDArray[np.int32]:
    """By how many bits each sum (texts, d) is too large (texts,)."""
    largest = np.abs(sums).max(axis=1)
    _, bits = np.frexp(largest.astype(np.float64))
    shifts: NDArray[np.int32] = np.maximum(bits - _BITS, 0)
    return shifts
