"""Questions that a person types, and answers as a person reads them."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hurnet.terminal.lines import Line
    from hurnet_schemas import Answer, Query

PATIENCE = 2.0
"""Seconds that the wait for a reply goes beyond a query's own wait."""


def query_of(text: str, context: str | None, top_k: int, after: dict[int, int], timeout: float) -> Query:
    """The query, which waits a little less than we do. Raises `click.UsageError` for what can't be one."""
    from pydantic import ValidationError

    from hurnet_schemas import DEFAULT_CONTEXT, Query

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
    from hurnet.terminal.lines import MAX_LINE, Line, read_lines

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
    from hurnet.terminal.screen import console, say_message

    if as_json:
        say_message(answer.encode())
    else:
        console().print(explained(answer))
    return answer.outcome in ("answered", "abstained")


def explained(answer: Answer) -> RenderableType:
    """The answer, and why it is this one."""
    from rich.console import Group
    from rich.text import Text

    from hurnet.terminal.screen import facts
    from hurnet.visible import visible

    if answer.outcome == "answered":
        head = Text(visible(answer.answer or ""), style="bold")
    else:
        reason = visible(answer.reason or "no reason given")
        head = Text(f"no answer ({answer.outcome}): {reason}", style="yellow")
    return Group(head, facts(_why(answer)))


def _why(answer: Answer) -> Iterator[tuple[str, str]]:
    from hurnet.terminal.screen import watermarks_text
    from hurnet.visible import below

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
