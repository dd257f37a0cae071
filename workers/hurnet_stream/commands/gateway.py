"""`hurnet gateway`: HTTP for programs, agents and people."""

from __future__ import annotations

import sys

import click

EPILOG = """\b
Examples:
  hurnet gateway
  HURNET_GATEWAY_PORT=8081 HURNET_GATEWAY_KEYS=keys.toml hurnet gateway
  hurnet gateway & curl -s 127.0.0.1:8080/v1/ask --json '{"text": "how do I turn on the light"}'
"""


@click.command(epilog=EPILOG)
def gateway() -> None:
    """Serve HTTP for programs, agents and people.

    Everything goes through Kafka, so that answers come exactly once and with their receipts.

    Runs until Ctrl-C or SIGTERM. The log goes to standard error; its first lines say where it serves. Exit
    code 1: it failed, start it again. 2: settings are wrong, or the extra `gateway` is not installed.
    """
    from importlib.util import find_spec

    from hurnet_stream.errors import ConfigurationError
    from hurnet_stream.wiring.running import run_by_settings

    if find_spec("uvicorn") is None:
        raise ConfigurationError("the gateway needs more: pip install 'hurnet-stream[gateway]'")
    from hurnet_stream.wiring.gateway import run_gateway

    sys.exit(run_by_settings("gateway", run_gateway))
