"""`hurnet ingest`, `hurnet solver`, `hurnet responder`: run one worker until told to stop."""

from __future__ import annotations

import os
import sys

import click


@click.command()
def ingest() -> None:
    """Append texts from Kafka to the context, exactly once."""
    _run("ingest")


@click.command()
def solver() -> None:
    """Keep the statistics of all pairs and publish weights."""
    _run("solver")


@click.command()
def responder() -> None:
    """Answer queries from Kafka over the whole context."""
    _run("responder")


def _run(name: str) -> None:
    from hurnet import wiring
    from hurnet.errors import ConfigurationError
    from hurnet.settings import settings

    try:
        chosen = settings.load()
    except ConfigurationError as error:
        if os.environ.get("HURNET_LOG_FORMAT", "").lower() != "json":
            raise  # a line for a person
        sys.exit(wiring.misconfigured(name, error))
    sys.exit(wiring.run(name, chosen))
