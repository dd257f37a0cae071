"""`hurnet responder`: the worker that answers."""

from __future__ import annotations

import sys

import click

EPILOG = """\b
Examples:
  hurnet responder
  HURNET_RESPONDER_INSTANCE=two hurnet responder     # a second one on the same host
"""


@click.command(epilog=EPILOG)
def responder() -> None:
    """Run the worker that answers queries.

    Runs until Ctrl-C or SIGTERM. The log goes to standard error; its first lines say where /metrics, /livez
    and /readyz are served. Exit code 1: it failed, start it again. 2: settings or topics are wrong.
    """
    from hurnet_stream.wiring.running import run_role

    sys.exit(run_role("responder"))
