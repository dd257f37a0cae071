"""Which generation of a store a worker opens.

ingest      the one that is filled from HURNET_KAFKA_TEXTS, whose embedder must be that of
HURNET_EMBEDDER_NAME;
            of two embedders, the one that ingest is to fill
solver      the one of HURNET_KAFKA_TEXTS and HURNET_EMBEDDER_NAME; if there is none, the one that answers
others      the one that answers
"""

from __future__ import annotations

import structlog

from hurnet_stream.core.stored.generations import Generation, Generations
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Embedder

log = structlog.get_logger()


def to_fill(known: Generations | None, embedder: Embedder, texts: str) -> int:
    """The number of the generation for an ingest with this embedder that reads the topic `texts`. Raises
    `ConfigurationError` if another generation is to be filled."""
    if known is None:
        return 0
    reading = [each for each in known.members if each.reads(texts)]
    if not reading:
        names = " or ".join(each.topic for each in known.members)
        raise ConfigurationError(
            f"no generation is filled from the topic {texts}: HURNET_KAFKA_TEXTS must be {names}, see `hurnet"
            " reshard --status`"
        )
    filling = next((each for each in reading if each.number == known.filling), reading[0])
    if filling.embedder.fingerprint == embedder.identity.fingerprint:
        return filling.number
    raise ConfigurationError(
        f"ingest fills the generation of {filling.name}, and HURNET_EMBEDDER_NAME is"
        f" {embedder.identity.name}: set it to {filling.name}, or see `hurnet migrate --status`"
    )


def to_answer(known: Generations | None) -> int:
    """The number of the generation that answers."""
    return known.serving if known else 0


def to_solve(known: Generations | None, embedder_name: str, texts: str) -> int:
    """The number of the generation for a solver with these settings."""
    if known is None:
        return 0
    named = [each for each in known.members if each.is_of(embedder_name)]
    chosen = next((each for each in named if each.reads(texts)), None)
    if chosen is None:
        log.warning(
            "no generation has the embedder of HURNET_EMBEDDER_NAME and the topic of HURNET_KAFKA_TEXTS:"
            " solving for the one that answers",
            embedder=embedder_name,
            topic=texts,
        )
    return chosen.number if chosen else known.serving


def ingest_group(group: str, generation: Generation | None) -> str:
    """The consumer group of the ingest that fills a generation. While two topics of texts are read, two
    ingests read all other topics, each for its own generation: in one group they would share these out."""
    return f"{group}-{generation.number}" if generation and generation.origin else group
