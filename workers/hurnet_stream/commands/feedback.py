"""`hurnet feedback`: the worker that teaches corrections."""

from __future__ import annotations

import sys

import click

EPILOG = """\b
Examples:
  hurnet feedback
  HURNET_FEEDBACK_INSTANCE=two hurnet feedback     # a second one on the same host
"""


@click.command(epilog=EPILOG)
def feedback() -> None:
    """Run the worker that teaches corrections.

    Runs until Ctrl-C or SIGTERM. The log goes to standard error; its first lines say where /metrics, /livez
    and /readyz are served. Exit code 1: it failed, start it again. 2: settings or topics are wrong.
    """
    from hurnet_stream.wiring.running import run_role

    sys.exit(run_role("feedback"))
