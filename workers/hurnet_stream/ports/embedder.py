"""Texts to vectors.

Some models are trained to see two kinds of text: what is searched (a *passage*), and what is searched for (a
*question*). They are told by a few words in front, such as "passage: " and "query: ". Whoever fills a store
or a context calls `embed`, and whoever asks calls `embed_questions`.
"""

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
        """The vectors of texts that are to be found: (len(texts), dimension) int16, a zero row for a text
        without content.

        The same text gives the same row in every batch.
        """

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        """The vectors of texts that are asked, on the same terms. Most embedders make no difference."""
