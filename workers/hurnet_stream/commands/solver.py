"""`hurnet solver`: the worker that learns."""

from __future__ import annotations

import sys

import click

EPILOG = """\b
Examples:
  hurnet solver
  HURNET_SOLVE_HALF_LIFE=604800 hurnet solver    # pairs count half after a week
"""


@click.command(epilog=EPILOG)
def solver() -> None:
    """Run the worker that learns from pairs.

    Runs until Ctrl-C or SIGTERM. The log goes to standard error; its first lines say where /metrics, /livez
    and /readyz are served. Exit code 1: it failed, start it again. 2: settings or topics are wrong.
    """
    from hurnet_stream.wiring.running import run_role

    sys.exit(run_role("solver"))
