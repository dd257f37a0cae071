"""`hurnet demo`: the product's first minute."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.option("--no-input", is_flag=True, help="Don't let me ask questions at the end.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the servers' data and the workers' logs in this folder.",
)
def demo(no_input: bool, keep: Path | None) -> None:
    """Stream real texts through Kafka, then ask about them.

    A real Kafka and a real Valkey run on this machine for it, and end with it. Exit code 1 when
    anything was lost.
    """
    from hurnet.demo.show import run
    from hurnet.terminal.screen import hush

    hush()
    interactive = not no_input and sys.stdin.isatty() and sys.stdout.isatty()
    sys.exit(run(keep, interactive))
