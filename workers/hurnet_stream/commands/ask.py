"""`hurnet ask`: a question over Kafka, its answer, and why it is this one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hurnet_stream.exit_codes import DONE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_schemas import Query


EPILOG = """\b
Examples:
  hurnet ask "how do I turn on the light"
  hurnet ask "how do I turn on the light" --context home --top-k 3 --after 0=41,1=39
  hurnet ask --json < questions.txt > answers.jsonl
"""


def watermarks(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[int, int]:
    """The value of --after, PARTITION=OFFSET,..., as a dictionary. Raises `BadParameter` if it is none."""
    from hurnet_stream.core.offsets import is_number

    parts = [part.strip() for part in (value or "").split(",") if part.strip()]
    pairs = [[side.strip() for side in part.split("=")] for part in parts]
    valid = all(len(pair) == 2 and all(map(is_number, pair)) for pair in pairs)
    if not valid or (value is not None and not pairs):
        raise click.BadParameter(f"{value!r} is not PARTITION=OFFSET,... (as in 0=41,1=39)", ctx, param)
    return {int(partition): int(offset) for partition, offset in pairs}


@click.command(epilog=EPILOG)
@click.argument("text", required=False)
@click.option("--context", metavar="NAME", help="The context to ask. Default: default.")
@click.option(
    "--top-k", type=click.IntRange(1, 100), default=1, show_default=True, help="How many answers to return."
)
@click.option(
    "--after",
    metavar="P=O,...",
    callback=watermarks,
    help="Answer only when the texts up to these offsets can be found. `hurnet produce` prints them as its"
    " watermarks. Responders wait for that up to HURNET_RESPONDER_WAIT seconds.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 60),
    default=10.0,
    show_default=True,
    help="Longest time in seconds to wait for a reply.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the answer as it is in Kafka, one JSON object a line."
)
def ask(
    text: str | None,
    context: str | None,
    top_k: int,
    after: dict[int, int],
    timeout: float,
    as_json: bool,
) -> None:
    """Ask a question, and see the answer and why.

    Asks TEXT, or without it each line of standard input; on a terminal, one question after the other until an
    empty line. Exit code 1: a question was rejected, timed out or got no reply. 2: none could be asked.
    """
    from hurnet_schemas import InvalidMessage
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.client import Client, NoReply
    from hurnet_stream.terminal.lines import decoded
    from hurnet_stream.terminal.questions import query_of, show, typed
    from hurnet_stream.terminal.screen import hush, say
    from hurnet_stream.wiring.tracing import traced

    hush()
    chosen = settings.load()

    def make(line: str) -> Query:
        return query_of(line, context, top_k, after, timeout)

    query = (
        make(text) if text is not None else None
    )  # before connecting, so that a wrong one is reported at once
    with traced(chosen.traces, "ask") as tracer, Client(chosen.kafka, tracer) as client:
        if query:
            try:
                looked_into = show(client.ask(query, timeout), as_json)
                sys.exit(DONE if looked_into else NOT_WELL)
            except NoReply as error:
                say(f"Error: {error}", err=True)
                sys.exit(NOT_WELL)
        failed = False
        for line in typed():
            try:
                failed |= not show(client.ask(make(decoded(line)), timeout), as_json)
            except (click.UsageError, InvalidMessage, NoReply) as error:
                say(f"Error: line {line.number}: {error}", err=True)
                failed = True
    sys.exit(NOT_WELL if failed else DONE)
