"""`hurnet up`: Kafka and Valkey on this machine, for development."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

import click

WORKERS = ("ingest", "solver", "responder")


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".hurnet"),
    show_default=True,
    help="Folder that keeps everything for the next time.",
)
@click.option(
    "--kafka-port", type=click.IntRange(1, 65_535), help="Default: 9092, or a free one if that is taken."
)
@click.option(
    "--redis-port", type=click.IntRange(1, 65_535), help="Default: 6379, or a free one if that is taken."
)
@click.option("--workers", is_flag=True, help="Run one of each worker, too: a whole system.")
def up(data: Path, kafka_port: int | None, redis_port: int | None, workers: bool) -> None:
    """Run Kafka and Valkey on this machine until Ctrl-C.

    The topics are made, the addresses printed, and the data kept for the next time.
    """
    from hurnet.local.system import LocalSystem, interruptible, port_or_free
    from hurnet.settings import settings
    from hurnet.terminal.screen import hush

    hush()
    kafka = settings.load().kafka
    ports = kafka_port or port_or_free(9092), redis_port or port_or_free(6379)
    try:
        with interruptible(), LocalSystem(data, _say, kafka, os.environ, ports) as system:
            system.start_servers()
            if workers:
                system.start_workers(WORKERS)
            _say("for other terminals, so that they find it:")
            for name, value in system.addresses.items():
                click.echo(f"export {name}={shlex.quote(value)}")
            _say("running; Ctrl-C ends it, and the data stays in " + str(data))
            while True:
                time.sleep(0.5)
                system.check()
    except KeyboardInterrupt:
        _say("stopped")


def _say(text: str) -> None:
    from hurnet.terminal.screen import say

    say(text, err=True)
