"""`hurnet ingest`: the worker that takes texts in."""

from __future__ import annotations

import sys

import click

EPILOG = """\b
Examples:
  hurnet ingest
  HURNET_LOG_FORMAT=json HURNET_METRICS_PORT=9100 hurnet ingest
"""


@click.command(epilog=EPILOG)
def ingest() -> None:
    """Run the worker that takes texts in.

    Runs until Ctrl-C or SIGTERM. The log goes to standard error; its first lines say where /metrics, /livez
    and /readyz are served. Exit code 1: it failed, start it again. 2: settings or topics are wrong.
    """
    from hurnet_stream.wiring.running import run_role

    sys.exit(run_role("ingest"))
