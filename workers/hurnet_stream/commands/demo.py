"""`hurnet demo`: the first minute with hurnet."""

from __future__ import annotations

import sys
from pathlib import Path

import click

EPILOG = """\b
Examples:
  hurnet demo
  hurnet demo --no-input --keep /tmp/demo     # then read /tmp/demo/*.log
"""


@click.command(epilog=EPILOG)
@click.option("--no-input", is_flag=True, help="End without asking for your questions.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the servers' data and the workers' logs in this new folder.",
)
def demo(no_input: bool, keep: Path | None) -> None:
    """Stream real texts through Kafka, then ask about them.

    For that a real Kafka and a real Valkey run on this machine; they end with the demo. Exit code 1: a text
    or an answer was lost.
    """
    from hurnet_stream.demo.story import run
    from hurnet_stream.terminal.screen import hush

    hush()
    interactive = not no_input and sys.stdin.isatty() and sys.stdout.isatty()
    sys.exit(run(keep, interactive))
