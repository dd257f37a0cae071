"""Which generation of a store a worker opens.

ingest      the one that ingest fills, whose embedder must be that of HURNET_EMBEDDER_NAME
solver      the one of HURNET_EMBEDDER_NAME; if there is none, the one that answers
others      the one that answers
"""

from __future__ import annotations

import structlog

from hurnet_stream.core.stored.generations import Generations
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Embedder

log = structlog.get_logger()


def to_fill(known: Generations | None, embedder: Embedder) -> int:
    """The number of the generation for an ingest with this embedder. Raises `ConfigurationError` if another
    generation is to be filled."""
    if known is None:
        return 0
    filling = known.of(known.filling)
    if filling and filling.embedder.fingerprint == embedder.identity.fingerprint:
        return filling.number
    name = filling.name if filling else ""
    raise ConfigurationError(
        f"ingest fills the generation of {name}, and HURNET_EMBEDDER_NAME is {embedder.identity.name}: set it"
        f" to {name}, or see `hurnet migrate --status`"
    )


def to_answer(known: Generations | None) -> int:
    """The number of the generation that answers."""
    return known.serving if known else 0


def to_solve(known: Generations | None, embedder_name: str) -> int:
    """The number of the generation for a solver with this setting."""
    if known is None:
        return 0
    named = known.named(embedder_name)
    if named is None:
        log.warning(
            "no generation has the embedder of HURNET_EMBEDDER_NAME: solving for the one that answers",
            embedder=embedder_name,
        )
    return named.number if named else known.serving
