"""`hurnet ask`: a question over Kafka; the answer and why."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from schemas import Answer, Query
    from workers.commands.lines import Line

PATIENCE = 2.0
"""Seconds that the wait for a reply goes beyond a query's own wait."""


def watermarks(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[int, int]:
    """PARTITION=OFFSET,... as `hurnet produce` prints it."""
    from workers.core.offsets import is_number

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
    from schemas import InvalidMessage
    from workers import settings
    from workers.commands.client import Client, NoReply
    from workers.commands.lines import decoded
    from workers.commands.screen import hush, say

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


def query_of(text: str, context: str | None, top_k: int, after: dict[int, int], timeout: float) -> Query:
    """The query, which waits a little less than we do. Raises `click.UsageError` for what can't be one."""
    from pydantic import ValidationError

    from schemas import DEFAULT_CONTEXT, Query

    try:
        return Query(
            text=text,
            context=context or DEFAULT_CONTEXT,
            top_k=top_k,
            min_watermarks=after,
            timeout_ms=round(1000 * max(timeout - PATIENCE, timeout / 2)),
        )
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise click.UsageError(f"{where}: {problem['msg'].removeprefix('Value error, ')}") from None


def typed() -> Iterator[Line]:
    """Lines of standard input that hold something; on a terminal until an empty one, with a prompt."""
    from workers.commands.lines import MAX_LINE, Line, read_lines

    source = sys.stdin.buffer  # bytes: what is not UTF-8 is then told, whatever the locale would make of it
    if not sys.stdin.isatty():
        yield from read_lines(source)
        return
    for number in count(1):
        click.echo("? ", nl=False, err=True)
        raw = source.readline(MAX_LINE)
        if not raw.strip():
            return
        yield Line(number, raw.strip(), len(raw))


def show(answer: Answer, as_json: bool = False) -> bool:
    """Print it; whether the question was looked into at all (an abstention counts)."""
    from workers.commands.screen import console, say_message

    if as_json:
        say_message(answer.encode())
    else:
        console().print(explained(answer))
    return answer.outcome in ("answered", "abstained")


def explained(answer: Answer) -> RenderableType:
    """The answer, and why it is this one."""
    from rich.console import Group
    from rich.text import Text

    from workers.commands.screen import facts
    from workers.visible import visible

    if answer.outcome == "answered":
        head = Text(visible(answer.answer or ""), style="bold")
    else:
        reason = visible(answer.reason or "no reason given")
        head = Text(f"no answer ({answer.outcome}): {reason}", style="yellow")
    return Group(head, facts(_why(answer)))


def _why(answer: Answer) -> Iterator[tuple[str, str]]:
    from workers.commands.screen import watermarks_text
    from workers.visible import below

    receipt = answer.receipt
    if answer.candidates:
        best = answer.candidates[0]
        scores = best.scores.model_dump(exclude_none=True)
        combined = scores.pop("combined")
        label = "score" if answer.outcome == "answered" else "best was"
        named = "" if answer.outcome == "answered" else f"{best.answer}: "
        parts = ", ".join(f"{name} {value:.2f}" for name, value in scores.items())
        threshold = receipt.threshold if receipt and combined < receipt.threshold else math.inf
        yield f"  {label}", f"{named}{below(combined, threshold)} ({parts})"
        yield "  from", f"“{best.text}” (texts {best.entry.partition}/{best.entry.offset})"
        yield from (
            (f"  {rank}.", f"{c.scores.combined:.2f} {c.answer}")
            for rank, c in enumerate(answer.candidates[1:], start=2)
        )
    if answer.candidates_dropped:
        yield "  and", f"{answer.candidates_dropped:,} more that did not fit into the answer"
    if receipt is None:
        return
    if receipt.runner_up is not None and receipt.margin is not None:
        yield "  ahead of", f"{receipt.runner_up} by {receipt.margin:.2g}"
    if weights := receipt.weights:
        yield (
            "  weights",
            f"version {weights.version} of {weights.count:,} pairs: λ {weights.ridge:.3g},"
            f" condition {_figure(weights.condition_number)}, residual {_figure(weights.residual)}",
        )
    yield (
        "  searched",
        f"{receipt.rows:,} entries of context {receipt.context!r} in {1000 * receipt.seconds:.1f} ms,"
        f" threshold {receipt.threshold:g}, {receipt.embedder}",
    )
    yield "  seen up to", watermarks_text(receipt.watermarks) or "nothing"


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
