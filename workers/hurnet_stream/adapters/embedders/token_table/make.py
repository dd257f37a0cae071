"""Make map.bin anew: `python -m hurnet_stream.adapters.embedders.token_table.make [FOLDER]`.

It takes a minute of processor time and 2 GB of memory, and downloads 160 MB, if FOLDER does not hold them.

    X    sums of the tokens' weighted features, a row a text, on the grid (texts, 1,024)
    Y    the vectors of `use` of the same texts, on the grid (texts, 512)
    M    = (XᵀX + λI)⁻¹ XᵀY V, V the principal axes of Y, so that leading coordinates say most

X, Y and the products XᵀX, XᵀY and YᵀY are integers, so they are the same on any machine and for any order of
the texts. The solve and the axes err by about 1e-10, depending on the library of linear algebra. M is then
rounded to steps of 1/127 of a column's largest entry, so an entry comes out otherwise only if it lies within
1e-10 of the middle between two steps. Decision 0163 says on what that was tried.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.adapters.embedders.token_table.features import WEIGHT, features, weights
from hurnet_stream.adapters.embedders.token_table.map import SHIFT_MAX, TokenMap, encode
from hurnet_stream.adapters.embedders.token_table.table import MAP
from hurnet_stream.adapters.embedders.token_table.texts import download, texts
from hurnet_stream.adapters.embedders.tokens import tokenizer
from hurnet_stream.adapters.embedders.use import UniversalSentenceEncoder
from hurnet_stream.adapters.embedders.use_kernels import network
from hurnet_stream.adapters.embedders.use_network import Network
from hurnet_stream.core.token_sums import unit_sums

RIDGE: Final = 0.01
"""λ as a share of the mean of XᵀX's diagonal."""

_TEXTS_AT_ONCE = 1024
_LARGEST_ENTRY = 127
_ROW_BITS = 15  # of the largest coordinate of a row

Array = NDArray[np.float64]


def inputs(chosen: Sequence[str], network: Network) -> tuple[NDArray[np.int16], Array, Array]:
    """X (texts, 1024), and the features (tokens, 1024) and weights (tokens,) of all tokens in the texts."""
    tokens = [tokenizer().tokens(text) for text in chosen]
    met, places = np.unique(np.fromiter(chain.from_iterable(tokens), np.int64), return_inverse=True)
    found, counts = features(network, met), weights(met)
    weighted = np.rint(found * counts[:, None] / WEIGHT).astype(np.int16)
    return unit_sums(weighted, places, np.array([len(each) for each in tokens])), found, counts


def products(a: NDArray[np.int16], b: NDArray[np.int16]) -> Array:
    """AᵀB of rows on the grid: integers below 2**53, and float64 adds these exactly."""
    total = np.zeros((a.shape[1], b.shape[1]))
    for first in range(0, len(a), _TEXTS_AT_ONCE):
        some = slice(first, first + _TEXTS_AT_ONCE)
        total += a[some].astype(np.float64).T @ b[some].astype(np.float64)
    return total


def solved(x: NDArray[np.int16], y: NDArray[np.int16]) -> Array:
    """M (1024, 512)."""
    gram = products(x, x)
    ridge = RIDGE * np.trace(gram) / len(gram)
    weights_of_coordinates = np.linalg.solve(gram + ridge * np.eye(len(gram)), products(x, y))
    mapped: Array = weights_of_coordinates @ principal_axes(products(y, y))
    return mapped


def principal_axes(gram: Array) -> Array:
    """The eigenvectors as columns, the one of the largest eigenvalue first, each with its largest component
    above zero."""
    _, vectors = np.linalg.eigh(gram)
    vectors = vectors[:, ::-1]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    signed: Array = vectors * np.sign(largest)
    return signed


def rounded(mapped: Array, found: Array, counts: Array) -> TokenMap:
    """M with 8 bits an entry, in a unit in which the rows of these tokens just fit int16."""
    _, exponents = np.frexp(np.abs(mapped).max(axis=0) / _LARGEST_ENTRY)  # (512,): steps below 2**exponent
    smallest = max(exponents.min(), exponents.max() - SHIFT_MAX)
    shifts = np.maximum(exponents - smallest, 0).astype(np.uint8)
    matrix = np.rint(np.ldexp(mapped, -(shifts + smallest).astype(np.int32))).astype(np.int8)
    sums = np.abs(found @ np.ldexp(matrix.astype(np.float64), shifts)).max(axis=1) * counts
    _, bits = np.frexp(sums.max())
    return TokenMap(matrix, shifts, int(bits) - _ROW_BITS)


def make(chosen: Sequence[str]) -> TokenMap:
    """The map from these texts."""
    x, found, counts = inputs(chosen, network())
    return rounded(solved(x, UniversalSentenceEncoder().embed(chosen)), found, counts)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
        if not list(folder.glob("*.whl")):
            download(folder)
        chosen = texts(folder)
    print(f"{len(chosen)} texts", flush=True)
    MAP.write_bytes(encode(make(chosen)))
    print(f"wrote {MAP}")


if __name__ == "__main__":
    main()
