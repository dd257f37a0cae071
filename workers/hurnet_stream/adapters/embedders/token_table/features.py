"""What is known of one token, as integers: the same on every machine.

    features    embedding in the package's table (512)  |  the network's vector of the token alone (512)
    unit        2**-11: both halves are about 9 long, and count alike

The second half is what makes the table good: the embedding says what the network is told, this what it makes
of it, and the sum over a text is nearer to the network's vector of the text for it (decision 0163).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.adapters.embedders.use_network import Network

FEATURES: Final = 1024

PLAN: Final = "features;1"
"""Raise it with any change that can move a feature or a weight: the map must then be made anew."""

WEIGHT: Final = 2.0**15
"""Of a token that never comes."""

_UNIT = 2.0**11  # in 1
_TOKENS_AT_ONCE = 256  # bounds the memory in use

_COMMON = 1e-3  # the token of the inverse of this number weighs half
_FIRST_RANKS = 10  # flattens the shares of the commonest tokens


def features(network: Network, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Integers (len(tokens), FEATURES) below 2**15 in size, held in float64."""
    found = np.empty((len(tokens), FEATURES))
    half = FEATURES // 2
    for first in range(0, len(tokens), _TOKENS_AT_ONCE):
        some = tokens[first : first + _TOKENS_AT_ONCE]
        rows = found[first : first + len(some)]
        rows[:, :half] = network.embedding(some)
        rows[:, half:] = network.coordinates([[token] for token in some.tolist()])
    rounded: NDArray[np.float64] = np.rint(found * _UNIT)
    return rounded


def weights(tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each token counts (len(tokens),): integers up to 2**15, held in float64.

    Tokens are numbered by how common they are, and by Zipf's law a token is met about as often as the inverse
    of its number says.
    """
    share = 1 / (tokens + _FIRST_RANKS)
    rounded: NDArray[np.float64] = np.rint(WEIGHT * (_COMMON / (_COMMON + share)))
    return rounded
