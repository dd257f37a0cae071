"""`hurnet ask`: a question over Kafka, its answer, and why it is this one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from hurnet_stream.exit_codes import DONE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_schemas import Query
    from hurnet_stream.client import Client


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
    "--json", "as_json", is_flag=True, help="Print each answer with its question, one JSON object a line."
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
    from hurnet_stream.client import Client
    from hurnet_stream.client.over_kafka import OverKafka
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.questions import query_of
    from hurnet_stream.terminal.screen import hush
    from hurnet_stream.wiring.tracing import traced

    hush()
    chosen = settings.load()

    def make(line: str) -> Query:
        return query_of(line, context, top_k, after, timeout)

    query = make(text) if text is not None else None  # before connecting, so that a wrong one is told at once
    with traced(chosen.traces, "ask") as tracer, Client(OverKafka(chosen.kafka, tracer)) as client:
        well = one(client, query, timeout, as_json) if query else several(client, make, timeout, as_json)
    sys.exit(DONE if well else NOT_WELL)


def one(client: Client, query: Query, timeout: float, as_json: bool) -> bool:
    """Ask a question and show its answer; returns whether it was looked into."""
    from hurnet_stream.client import NoReply
    from hurnet_stream.terminal.questions import show
    from hurnet_stream.terminal.screen import say

    try:
        return show(client.ask(query, timeout=timeout), as_json)
    except NoReply as error:
        say(f"Error: {error}", err=True)
        return False


def several(client: Client, make: Callable[[str], Query], timeout: float, as_json: bool) -> bool:
    """Ask each line of standard input: typed ones one by one, others many at once. Returns whether all were
    looked into."""
    from hurnet_schemas import Reply
    from hurnet_stream.client import Unreachable
    from hurnet_stream.terminal.asking import ask_lines, ask_typed, standard_input
    from hurnet_stream.terminal.lines import read_lines
    from hurnet_stream.terminal.questions import show, typed
    from hurnet_stream.terminal.screen import say

    if sys.stdin.isatty():
        answers = ask_typed(client, typed(), make, timeout)
    else:
        answers = ask_lines(client, read_lines(standard_input()), make, timeout)
    well = True
    for asked in answers:
        if isinstance(asked.outcome, Reply):
            well &= show(asked.outcome, as_json)
        elif isinstance(asked.outcome, Unreachable):  # so are all others
            raise asked.outcome
        else:
            say(f"Error: line {asked.line.number}: {asked.outcome}", err=True)
            well = False
    return well
