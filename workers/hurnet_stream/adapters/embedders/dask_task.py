"""What a Dask worker does for an ingest process: it embeds some texts, and says by which embedder.

It runs in the worker's process, which has hurnet-stream installed. Nothing is raised here: Dask would log the
arguments of a call that raises, and these are texts. What went wrong is returned instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

from hurnet_stream.adapters.embedders import load
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors
from hurnet_stream.ports import Embedder


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of a task (texts, dimension) int16, or None and what went wrong. A task without texts only
    asks for the identity."""

    address: str
    """The worker that did it."""
    identity: EmbedderIdentity | None
    """Of its embedder; None if that can't be loaded."""
    vectors: Vectors | None = None
    failure: str = ""


def embedded(name: str, texts: Sequence[str], questions: bool) -> Embedded:
    """The vectors of `texts`, which are asked if `questions` says so, by the embedder of that name."""
    from distributed import get_worker

    address = get_worker().address
    with _ONE_AT_A_TIME:  # embedders need not be safe for several threads, and a worker may have many
        try:
            embedder = _loaded(name)
        except Exception as error:
            return Embedded(address, None, failure=f"{type(error).__name__}: {error}")
        if not texts:
            return Embedded(address, embedder.identity)
        try:
            embed = embedder.embed_questions if questions else embedder.embed
            return Embedded(address, embedder.identity, embed(texts))
        except Exception as error:
            return Embedded(address, embedder.identity, failure=f"{type(error).__name__}: {error}")


_ONE_AT_A_TIME = Lock()


@lru_cache(2)  # while a store is migrated there are two
def _loaded(name: str) -> Embedder:
    return load(name)
