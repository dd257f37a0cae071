"""`hurnet canary`: the client that measures what clients see."""

from __future__ import annotations

import sys

import click

EPILOG = """\b
Examples:
  hurnet canary
  HURNET_CANARY_INTERVAL=1 HURNET_METRICS_PORT=9100 hurnet canary
"""


@click.command(epilog=EPILOG)
def canary() -> None:
    """Run the client that checks what clients are promised.

    Every few seconds it sends a text, asks for it, and checks the answer; every hour it deletes its texts and
    checks that they are gone, and compares some of the topic with the store. What it finds is in its
    /metrics. What fails is measured and never ends it.

    Runs until Ctrl-C or SIGTERM. The log goes to standard error; its first lines say where /metrics, /livez
    and /readyz are served. Exit code 1: it failed, start it again. 2: settings are wrong.
    """
    from hurnet_stream.wiring.running import run_role

    sys.exit(run_role("canary"))
