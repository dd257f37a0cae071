"""Several embedders side by side, each with the same share of the cosine.

The rows of all parts stand one after another, each scaled so that the whole has unit length:

    use       [0.6, 0.8]         unit length
    hash2     [1.0, 0.0]         unit length
    joined    [0.6, 0.8, 1.0, 0.0] / sqrt(2)

The cosine of two joined rows is then the mean of the parts' cosines. A part that knows nothing in a text has
a row of zeros, and the other parts make up the whole.
"""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from hurnet_stream.core.grid import SCALE, squared_norms
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors
from hurnet_stream.ports import Embedder

_PLAN = "joined;1"  # raise it with any change that can move a coordinate


class Joined:
    """`a+b`."""

    def __init__(self, parts: Sequence[Embedder]) -> None:
        self._parts = tuple(parts)
        identities = [part.identity for part in parts]
        fingerprints = "+".join([_PLAN, *(identity.fingerprint for identity in identities)])
        self.identity = EmbedderIdentity(
            "+".join(identity.name for identity in identities),
            sha256(fingerprints.encode()).hexdigest(),
            sum(identity.dimension for identity in identities),
        )

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows on the grid (len(texts), the sum of the dimensions) int16."""
        return _joined([part.embed(texts) for part in self._parts])

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        """The same of questions: each part sees them as it sees questions."""
        return _joined([part.embed_questions(texts) for part in self._parts])


def _joined(rows: Sequence[Vectors]) -> Vectors:
    """Side by side, of unit length: (texts, the sum of the dimensions)."""
    squares = np.stack([squared_norms(part_rows) for part_rows in rows])  # (parts, texts) int64
    known_parts = np.count_nonzero(squares, axis=0)  # (texts,): how many parts know something
    # Integer norms, then each coordinate by itself: no sum of floats, whose order could matter.
    scale = SCALE / np.sqrt(np.maximum(squares, 1) * np.maximum(known_parts, 1))  # (parts, texts)
    scaled = [part_rows * part_scale[:, None] for part_rows, part_scale in zip(rows, scale, strict=True)]
    snapped: Vectors = np.rint(np.hstack(scaled)).astype(np.int16)
    return snapped
