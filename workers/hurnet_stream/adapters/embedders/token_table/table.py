"""The embedder `table`: rows of tokens, summed. `__init__.py` has the idea."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.adapters.embedders.token_table.features import features, weights
from hurnet_stream.adapters.embedders.token_table.map import decode
from hurnet_stream.adapters.embedders.tokens import tokenizer
from hurnet_stream.adapters.embedders.use import UniversalSentenceEncoder
from hurnet_stream.adapters.embedders.use_kernels import network
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors
from hurnet_stream.core.token_sums import TOKENS_MAX, unit_sums
from hurnet_stream.errors import ConfigurationError

MAP = Path(__file__).with_name("map.bin")

_PLAN = "table;1"  # raise it with any change that can move a coordinate
_TEXTS_AT_ONCE = 4096  # this and the next bound the memory in use
_TOKENS_AT_ONCE = 1024  # rows that are made


class TokenTable:
    """`table`: 16 languages, lower case, in the first `dimension` of 512 coordinates.

    A token's row is made when it is first met, and kept. 128,010 rows of 512 coordinates are 131 MB, of which
    memory is taken only for those that were met.
    """

    def __init__(self, dimension: int = 512) -> None:
        encoded = MAP.read_bytes()
        try:
            self._map = decode(encoded)
        except ValueError as unusable:
            raise ConfigurationError(f"the embedder table can't be used: {unusable}") from unusable
        self._tokenizer = tokenizer()
        self._network = network()
        of_network = UniversalSentenceEncoder().identity.fingerprint  # rows are made from its numbers
        vocabulary = len(self._network.model.table)
        self._rows = np.zeros((vocabulary, dimension), np.int16)
        self._is_made = np.zeros(vocabulary, np.bool_)
        plan = f"{_PLAN};{dimension};{of_network};".encode()
        self.identity = EmbedderIdentity(f"table{dimension}", sha256(plan + encoded).hexdigest(), dimension)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows on the grid (len(texts), dimension) int16; a zero row for a text without tokens."""
        rows = np.empty((len(texts), self.identity.dimension), np.int16)
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[first : first + _TEXTS_AT_ONCE]
            rows[first : first + len(some)] = self._embed(some)
        return rows

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        """As `embed`: a question is a text like any other."""
        return self.embed(texts)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        # A letter may stand for a whole phrase (U+FDFA), so that a text has more tokens than letters.
        tokens = [self._tokenizer.tokens(text)[:TOKENS_MAX] for text in texts]
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        flat = np.fromiter(chain.from_iterable(tokens), np.int64, int(lengths.sum()))
        self._make(flat[~self._is_made[flat]])
        return unit_sums(self._rows, flat, lengths)

    def _make(self, unmet: NDArray[np.int64]) -> None:
        """Make the rows of these tokens."""
        tokens = np.unique(unmet)
        for first in range(0, len(tokens), _TOKENS_AT_ONCE):
            some = tokens[first : first + _TOKENS_AT_ONCE]
            found = features(self._network, some)
            self._rows[some] = self._map.rows(found, weights(some), self.identity.dimension)
            self._is_made[some] = True  # last: another thread may be looking
