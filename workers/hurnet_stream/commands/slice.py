"""`hurnet slice`: the worker that holds part of the entries."""

from __future__ import annotations

import sys

import click

EPILOG = """\b
Examples:
  HURNET_SLICES_COUNT=2 HURNET_SLICES_NUMBER=0 hurnet slice
  HURNET_SLICES_COUNT=2 HURNET_SLICES_NUMBER=1 hurnet slice
  HURNET_SLICES_COUNT=2 hurnet slice    # its number ends its host name, as in Kubernetes
"""


@click.command("slice", epilog=EPILOG)
def slice_() -> None:
    """Run a worker that holds a part of the entries.

    If all entries are too many for one machine, HURNET_SLICES_COUNT slices share them out by partitions.
    Runs until Ctrl-C or SIGTERM. The log goes to standard error; its first lines say where /metrics, /livez
    and /readyz are served. Exit code 1: it failed, start it again. 2: settings are wrong.
    """
    from hurnet_stream.wiring.running import run_role

    sys.exit(run_role("slice"))
