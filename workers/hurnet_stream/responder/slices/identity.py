"""The embedder of a slice: it has a name, and embeds nothing, since slices are asked by vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from hurnet_stream.core.stored.batch import EmbedderIdentity


class IdentityAlone:
    """An `Embedder` that is never asked to embed."""

    def __init__(self, identity: EmbedderIdentity) -> None:
        self.identity = identity

    def embed(self, texts: Sequence[str]) -> NoReturn:
        raise NotImplementedError("a slice embeds nothing")

    def embed_questions(self, texts: Sequence[str]) -> NoReturn:
        raise NotImplementedError("a slice embeds nothing")
