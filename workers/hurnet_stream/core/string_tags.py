"""The tags of strings: 32 bits of SipHash-1-3 under a secret key, by which a table finds them (`slots`).

    key (1, 2)     ""  "yes"  "no"    three tags that nobody can foresee who doesn't know the key

Python's own hash of a string is the same function, but its key is drawn anew by each process: a table that is
read from a file could not be searched. Without the key nobody can make up strings that all fall into one
slot. Aumasson and Bernstein, SipHash: a fast short-input PRF, 2012.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import string_tags as kernels

Words = NDArray[np.uint64]

_CONSTANTS: Final = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_ROUNDS: Final = 3
"""After the last word."""


def own_key() -> Words:
    """A secret key (2,) of this process: made of Python's hash, which has one in it."""
    return np.array([hash(f"key {i}") for i in range(2)], np.int64).view(np.uint64)


def string_tags(data: bytes, starts: NDArray[np.int64], key: Words) -> NDArray[np.uint32]:
    """The tags (n,) of n strings, which begin in `data` at `starts` (n + 1,); the last one ends there too."""
    if kernels.available():
        return kernels.string_tags(data, starts, key)
    return _in_numpy(np.frombuffer(data, np.uint8), starts, key)


def _in_numpy(data: NDArray[np.uint8], starts: NDArray[np.int64], key: Words) -> NDArray[np.uint32]:
    """The same without kernels: a word of all strings at once, for those that have so many."""
    lengths = np.diff(starts)
    v = [np.full(len(lengths), key[i % 2] ^ np.uint64(constant)) for i, constant in enumerate(_CONSTANTS)]
    for number in range(int(lengths.max(initial=0)) // 8 + 1):
        some = np.flatnonzero(lengths // 8 >= number)
        word = _word(data, starts[some] + 8 * number, lengths[some] - 8 * number)
        last = lengths[some] < 8 * number + 8
        word[last] |= lengths[some][last].astype(np.uint64) << np.uint64(56)
        own = [part[some] for part in v]
        own[3] ^= word
        _round(own)
        own[0] ^= word
        for part, values in zip(v, own, strict=True):
            part[some] = values
    v[2] ^= np.uint64(0xFF)
    for _ in range(_ROUNDS):
        _round(v)
    tags: NDArray[np.uint32] = (v[0] ^ v[1] ^ v[2] ^ v[3]).astype(np.uint32)
    return tags


def _word(data: NDArray[np.uint8], at: NDArray[np.int64], left: NDArray[np.int64]) -> Words:
    """The next eight bytes (n,) of strings from `at` (n,) on, the first one lowest; zeros behind the end of
    those of which fewer are `left` (n,)."""
    places = np.arange(8)
    padded = np.append(data, np.uint8(0))
    found = padded[np.minimum(at[:, None] + places, len(data))]
    word: Words = np.where(places < left[:, None], found, np.uint8(0)).view("<u8")[:, 0].astype(np.uint64)
    return word


def _round(v: list[Words]) -> None:
    v[0] += v[1]
    v[2] += v[3]
    v[1], v[3] = _rotated(v[1], 13) ^ v[0], _rotated(v[3], 16) ^ v[2]
    v[0] = _rotated(v[0], 32)
    v[2] += v[1]
    v[0] += v[3]
    v[1], v[3] = _rotated(v[1], 17) ^ v[2], _rotated(v[3], 21) ^ v[0]
    v[2] = _rotated(v[2], 32)


def _rotated(x: Words, bits: int) -> Words:
    rotated: Words = x << np.uint64(bits) | x >> np.uint64(64 - bits)
    return rotated
