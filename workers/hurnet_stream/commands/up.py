"""`hurnet up`: Kafka and Valkey on this machine, and if you like the workers, for development."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hurnet_stream.local.worker import WorkerProcess

WORKERS = ("ingest", "solver", "responder", "feedback")
METRICS_PORTS = {
    "ingest": 9101,
    "solver": 9102,
    "responder": 9103,
    "feedback": 9104,
    "canary": 9105,
    "gateway": 9106,
}
"""Where the workers serve their metrics, so that a Prometheus finds them again the next time."""
EPILOG = """\b
Examples:
  hurnet up --workers --console
  hurnet up --data /tmp/trial --kafka-port 19092 --redis-port 16379
"""


@click.command(epilog=EPILOG)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".hurnet"),
    show_default=True,
    help="Folder that keeps everything for the next time: data, and the logs of servers and workers.",
)
@click.option(
    "--kafka-port",
    type=click.IntRange(1, 65_535),
    help="Kafka's port. Default: 9092, or a free one if that is taken.",
)
@click.option(
    "--redis-port",
    type=click.IntRange(1, 65_535),
    help="Valkey's port. Default: 6379, or a free one if that is taken.",
)
@click.option("--workers", is_flag=True, help="Also run one worker of each role: a whole system.")
@click.option(
    "--canary", is_flag=True, help="With --workers: also run a canary, which sends texts of its own."
)
@click.option(
    "--console",
    is_flag=True,
    help="With --workers: also run a gateway, which programs ask over HTTP, and people on its page. It is at"
    " port 8080 (HURNET_GATEWAY_PORT), or at a free one if that is taken.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as one JSON object.")
def up(data: Path, workers: bool, canary: bool, console: bool, as_json: bool, **ports: int | None) -> None:
    """Run Kafka and Valkey on this machine until Ctrl-C.

    Creates the topics, prints the addresses as lines for other terminals, and keeps the data for the next
    time. The workers' metrics are always at the same ports, 9101 and on, unless one is taken. Ends if one of
    the processes does, with the end of its log.
    """
    from hurnet_stream.local.loopback import port_or_free
    from hurnet_stream.local.page import page_of
    from hurnet_stream.local.signals import interruptible
    from hurnet_stream.local.system import LocalSystem
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import hush

    hush()
    if canary and not workers:
        raise click.UsageError("--canary goes with --workers: there is nobody to be asked")
    if console and not workers:
        raise click.UsageError("--console goes with --workers: there is nobody to be asked")
    chosen = settings.load()
    page = page_of(chosen.gateway, _say) if console else None
    servers = ports["kafka_port"] or port_or_free(9092), ports["redis_port"] or port_or_free(6379)
    environment = {**os.environ, **(page.environment if page else {})}
    try:
        with interruptible(), LocalSystem(data, _say, chosen.kafka, environment, servers) as system:
            system.start_servers()
            if workers:
                roles = (*WORKERS, *["canary"] * canary, *["gateway"] * console)
                system.start_workers(roles, METRICS_PORTS)
                for worker in system.workers:
                    _say(f"  {described(worker)}")
            print_addresses(system.addresses, page.address if page else None, as_json)
            _say(advice(workers))
            _say(f"running; Ctrl-C ends it, and the data stays in {data}")
            if page:
                _say(f"\nthe console, to ask, teach, correct and watch:\n\n    {page.address}\n")
            while True:
                time.sleep(0.5)
                system.check()
    except KeyboardInterrupt:
        _say("stopped")


def described(worker: WorkerProcess) -> str:
    """Where a worker's log and metrics are."""
    return f"{worker.name}: log {worker.log}, metrics http://127.0.0.1:{worker.port}/metrics"


def print_addresses(addresses: Mapping[str, str], console: str | None, as_json: bool) -> None:
    """Lines for the shell, on standard output; all else goes to standard error. The console's address is
    among them only in JSON: no command takes it from its environment."""
    from hurnet_stream.terminal.screen import say_json

    if as_json:
        say_json({**addresses, "console": console} if console else addresses)
        sys.stdout.flush()
        return
    _say("\nfor other terminals, so that they find it:")
    for name, value in addresses.items():
        click.echo(f"export {name}={shlex.quote(value)}")


def advice(workers: bool) -> str:
    """What to try next: three commands."""
    from hurnet_stream.terminal.screen import now_try

    produce = r"printf 'turn on the light\tlight_on\n' | {hurnet} produce"
    ask = "{hurnet} ask 'turn the light on'"
    if workers:
        return now_try("in another terminal, after these lines", produce, ask, "{hurnet} status")
    run = "{hurnet} ingest & {hurnet} solver & {hurnet} responder & {hurnet} feedback &"
    return now_try("in another terminal, after these lines", run, produce, ask)


def _say(text: str) -> None:
    from hurnet_stream.terminal.screen import say

    say(text, err=True)
