"""Texts into vectors, so that one text that the embedder fails on costs the others nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import structlog

from hurnet_schemas.dead_letter import Reason
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.errors import TransientError
from hurnet_stream.ports import Embedder

log = structlog.get_logger()

Rejection = tuple[Reason, str]
"""Why a record is put aside: the reason of its dead letter, and the detail."""


def embed(embedder: Embedder, texts: Sequence[str]) -> tuple[Vectors, dict[int, Rejection]]:
    """The vectors of texts that are to be found (len(texts), dimension), and by row why the embedder failed
    on it.

    All texts are embedded by one call, and one by one only if that call fails. A row that failed is zero; so
    is that of a text in which the embedder knows nothing, and that is no failure. `TransientError` is raised
    as it comes.
    """
    return _embed(embedder.embed, embedder.identity.dimension, texts)


def embed_questions(embedder: Embedder, texts: Sequence[str]) -> tuple[Vectors, dict[int, Rejection]]:
    """The same of texts that are asked."""
    return _embed(embedder.embed_questions, embedder.identity.dimension, texts)


def _embed(
    vectors_of: Callable[[Sequence[str]], Vectors], dimension: int, texts: Sequence[str]
) -> tuple[Vectors, dict[int, Rejection]]:
    try:
        return vectors_of(texts), {}
    except TransientError:
        raise
    except Exception:
        # Private: the message of the exception may quote a text, and texts do not belong into a log.
        log.exception("embedding a batch failed; trying its texts one by one", private=True)
    vectors = np.zeros((len(texts), dimension), np.int16)
    failures: dict[int, Rejection] = {}
    for row, text in enumerate(texts):
        try:
            vectors[row] = vectors_of([text])[0]
        except TransientError:  # a server that is away says nothing about the text
            raise
        except Exception as error:
            failures[row] = ("embedder-failed", f"{type(error).__name__}: {error}")
    return vectors, failures
