"""`hurnet status`: how far everything has come."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import DONE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.overview.system_status import Shard, Status

EPILOG = """\b
Examples:
  hurnet status
  hurnet status --json | jq '[.shards[].lag_records] | add'
  hurnet status --watch
  hurnet status --watch --metrics ingest:9100 --metrics solver:9100 --metrics responder:9100
  hurnet status --watch --json --interval 10 >> looks.jsonl
"""

SHARD_COLUMNS = {
    "rows": "rows",
    "rows ever": "rows_ever",
    "sealed": "sealed_rows",
    "next offset": "next_offset",
    "end offset": "end_offset",
    "lag": "lag_records",
}
WEIGHTS_COLUMNS = (
    "context",
    ">weights",
    ">age",
    ">pairs",
    ">answers",
    ">λ",
    ">condition",
    ">rank",
    ">residual",
    ">gcv",
)


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, or one a line with --watch.")
@click.option("--watch", is_flag=True, help="Look again and again, and draw it, until Ctrl-C.")
@click.option(
    *("--interval", "interval_s"),
    type=click.FloatRange(0.2, 3_600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option(
    *("--metrics", "addresses"),
    multiple=True,
    metavar="HOST:PORT",
    help="Where a worker serves its metrics. Repeat it for each: it adds what only they know.",
)
def status(as_json: bool, watch: bool, interval_s: float, addresses: tuple[str, ...]) -> None:
    """Show workers, shards, lags and weights, and what is wrong.

    Offsets are of the next record. Sealed rows lie in files, those deleted since included. Lags are in
    records, those of transactions that were aborted and their markers not counted. Pairs are counted as
    often as their weights say, less what their age takes off; the rank is the effective one. A role
    without a worker is a warning. Exit code 1: Kafka, the store or a worker did not tell everything.

    With --watch: how much flows, who is how far behind, and in words what is wrong. If a server is away it
    says so, and goes on. With --metrics it tells how far the solver and the responders are in memory, which
    worker is not ready and why, and how long answers take.
    """
    from hurnet_stream.overview.system_reader import gather
    from hurnet_stream.overview.worker_pages import base_address
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import hush
    from hurnet_stream.terminal.watching import lines, screen

    hush()
    pages, chosen = [base_address(address) for address in addresses], settings.load()
    if watch:
        (lines if as_json else screen)(chosen, pages, interval_s)
        sys.exit(DONE)
    known = gather(chosen, pages)
    _print(known, as_json)
    sys.exit(NOT_WELL if known.problems or any(page.ready is None for page in known.pages) else DONE)


def _print(known: Status, as_json: bool) -> None:
    from hurnet_stream.overview.running import missing
    from hurnet_stream.terminal.complaints import of_pages
    from hurnet_stream.terminal.screen import console, say, say_json

    if as_json:
        say_json(known.as_dict())
    else:
        screen = console()
        for part in shown(known):
            screen.print(part)
    absent = missing(known.workers, known.solver, known.store_read)
    for warning in (*known.warnings, *of_pages(known), *absent, *known.awaited):
        say(f"warning: {warning}", err=True)
    for reason in known.problems:
        say(f"problem: {reason}", err=True)


def shown(status: Status) -> Iterator[Any]:
    """As tables for a person."""
    from hurnet_stream.overview import slices
    from hurnet_stream.overview.running import rows
    from hurnet_stream.terminal.screen import facts, table

    if status.store_read:
        embedder = status.embedder
        named = f"{embedder['name']}, {embedder['dimension']} dimensions" if embedder else "none yet"
        yield facts(
            [
                ("embedder", named),
                ("contexts", ", ".join(status.contexts) or "none yet"),
                *status.where.items(),
            ]
        )
    solver = (status.solver or "none is running") if status.store_read else None
    if lines := [*rows(status.workers or {}, solver), *slices.rows(status.slices)]:
        yield table(("role", "worker", "host", "partitions", ">behind"), lines)
    if not status.shards:
        return
    yield _shards_table(status.shards)
    if status.weights:
        yield table(WEIGHTS_COLUMNS, map(_weights_row, status.weights))
    yield from status.notes


def _shards_table(shards: Sequence[Shard]) -> Any:
    from hurnet_stream.terminal.screen import table

    columns = dict(SHARD_COLUMNS)
    if all(shard.rows_ever is None for shard in shards):
        del columns["rows ever"]
    if not any(shard.sealed_rows for shard in shards):
        del columns["sealed"]
    rows = [[s.partition, *(_number(getattr(s, name)) for name in columns.values())] for s in shards]
    totals = ["" if name.endswith("_offset") else _total(shards, name) for name in columns.values()]
    return table((">shard", *(f">{heading}" for heading in columns)), [*rows, ["all", *totals]])


def _weights_row(weights: dict[str, Any]) -> list[str]:
    certificate = weights["certificate"]
    figures = (certificate[name] for name in ("ridge", "condition", "effective_rank", "residual", "gcv"))
    return [
        weights["context"],
        f"v{weights['version']}",
        f"{weights['age_s']:.0f} s",
        f"{certificate['count']:,.0f}",
        f"{certificate['answers']:,}",
        *("-" if figure is None else f"{figure:.3g}" for figure in figures),
    ]


def _total(shards: Sequence[Shard], name: str) -> str:
    values = [getattr(shard, name) for shard in shards]
    return "?" if None in values else f"{sum(values):,}"


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
