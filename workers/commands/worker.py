"""`hurnet ingest`, `hurnet solver`, `hurnet responder`: run one worker until told to stop."""

from __future__ import annotations

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
    from workers import settings, wiring

    sys.exit(wiring.run(name, settings.load()))
