"""Texts to vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors


class Embedder(Protocol):
    """A frozen, deterministic map from a text to a vector on the grid (eq. 2)."""

    @property
    def identity(self) -> EmbedderIdentity:
        """Name, fingerprint and dimension. Two embedders of one fingerprint give the same vectors."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of the texts: (len(texts), dimension) int16, a zero row for a text without content.

        The same text gives the same row in every batch.
        """
