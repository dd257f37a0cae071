"""`hurnet ask`: a question over Kafka; the answer and why."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hurnet_schemas import Query


def watermarks(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[int, int]:
    """PARTITION=OFFSET,... as `hurnet produce` prints it."""
    from hurnet.core.offsets import is_number

    parts = [part.strip() for part in (value or "").split(",") if part.strip()]
    pairs = [[side.strip() for side in part.split("=")] for part in parts]
    whole = all(len(pair) == 2 and all(map(is_number, pair)) for pair in pairs)
    if not whole or (value is not None and not pairs):
        raise click.BadParameter(f"{value!r} is not PARTITION=OFFSET,... (as in 0=41,1=39)", ctx, param)
    return {int(partition): int(offset) for partition, offset in pairs}


@click.command()
@click.argument("text", required=False)
@click.option("--context", metavar="NAME", help="The context to ask (default: default).")
@click.option("--top-k", type=click.IntRange(1, 100), default=1, show_default=True, help="Answers to return.")
@click.option(
    "--after",
    metavar="P=O,...",
    callback=watermarks,
    help="Answer only once these offsets are in the context (`hurnet produce` prints them). Responders wait"
    " for that up to HURNET_RESPONDER_WAIT.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 60),
    default=10.0,
    show_default=True,
    help="Seconds to wait for a reply.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the message as JSON, one a line.")
def ask(
    text: str | None,
    context: str | None,
    top_k: int,
    after: dict[int, int],
    timeout: float,
    as_json: bool,
) -> None:
    """Ask, and see the answer and why.

    Asks TEXT, or each line of standard input; on a terminal, question after question. The exit code is 1 if
    a question was rejected, timed out or got no reply, and 2 if none could be asked.
    """
    from hurnet.settings import settings
    from hurnet.terminal.client import Client, NoReply
    from hurnet.terminal.lines import decoded
    from hurnet.terminal.questions import query_of, show, typed
    from hurnet.terminal.screen import hush, say
    from hurnet_schemas import InvalidMessage

    hush()
    kafka = settings.load().kafka

    def make(line: str) -> Query:
        return query_of(line, context, top_k, after, timeout)

    query = make(text) if text is not None else None  # a bad one is told before anything is connected
    with Client(kafka) as client:
        if query:
            try:
                sys.exit(int(not show(client.ask(query, timeout), as_json)))
            except NoReply as error:
                say(f"Error: {error}", err=True)
                sys.exit(1)
        failed = False
        for line in typed():
            try:
                failed |= not show(client.ask(make(decoded(line)), timeout), as_json)
            except (click.UsageError, InvalidMessage, NoReply) as error:
                say(f"Error: line {line.number}: {error}", err=True)
                failed = True
    sys.exit(int(failed))
