"""Several embedders side by side, each with the same share of the cosine."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from hurnet.core.grid import SCALE, squared_norms
from hurnet.core.stored.batch import EmbedderIdentity, Vectors
from hurnet.ports import Embedder

_PLAN = "joined;1"  # raise it with any change that can move a coordinate


class Joined:
    """`a+b`: the unit vectors of all parts, one after the other; where a part has nothing to say, the others
    count."""

    def __init__(self, parts: Sequence[Embedder]) -> None:
        self._parts = tuple(parts)
        known = [part.identity for part in parts]
        fingerprint = sha256("+".join([_PLAN, *(each.fingerprint for each in known)]).encode()).hexdigest()
        name = "+".join(each.name for each in known)
        self.identity = EmbedderIdentity(name, fingerprint, sum(each.dimension for each in known))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Grid rows (n, sum of the dimensions)."""
        rows = [part.embed(texts) for part in self._parts]
        squares = np.stack([squared_norms(part) for part in rows])
        # Integer norms, then each coordinate by itself: no sum of floats, whose order could matter.
        scale = SCALE / np.sqrt(np.maximum(squares, 1) * np.maximum(np.count_nonzero(squares, axis=0), 1))
        joined = np.hstack([part * each[:, None] for part, each in zip(rows, scale, strict=True)])
        snapped: Vectors = np.rint(joined).astype(np.int16)
        return snapped
