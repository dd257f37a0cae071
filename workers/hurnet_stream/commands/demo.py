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
    """See in a minute what hurnet does.

    A fact is taught and asked for at once, a wrong answer is corrected, the fact is forgotten, and thousands
    of texts stream in while a worker is killed. Then it is your turn, in a browser or here. For that a real
    Kafka and a real Valkey run on this machine; they end with the demo. Exit code 1: a claim of the story did
    not hold, or it could not go on.
    """
    from hurnet_stream.demo.story import run
    from hurnet_stream.terminal.screen import hush

    hush()
    interactive = not no_input and sys.stdin.isatty() and sys.stdout.isatty()
    sys.exit(run(keep, interactive))
