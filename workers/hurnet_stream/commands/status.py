"""`hurnet status`: how far everything has come."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import DONE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.terminal.system_status import Shard, Status

EPILOG = """\b
Examples:
  hurnet status
  hurnet status --json | jq '[.shards[].lag_records] | add'
  watch -n 5 hurnet status
"""

SHARD_COLUMNS = {
    "rows": "rows",
    "rows ever": "rows_ever",
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Show workers, shards, lags and weights.

    Offsets are of the next record, lags are in records. Pairs are counted as often as their weights say, less
    what their age takes off; the rank is the effective one. A role without a worker is a warning. Exit code
    1: Kafka or the store did not tell everything.
    """
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.running import missing
    from hurnet_stream.terminal.screen import console, hush, say, say_json
    from hurnet_stream.terminal.system_status import gather

    hush()
    known = gather(settings.load())
    if as_json:
        say_json(known.as_dict())
    else:
        screen = console()
        for part in shown(known):
            screen.print(part)
    for warning in (*known.warnings, *missing(known.workers, known.solver, known.store_read)):
        say(f"warning: {warning}", err=True)
    for reason in known.problems:
        say(f"problem: {reason}", err=True)
    sys.exit(NOT_WELL if known.problems else DONE)


def shown(status: Status) -> Iterator[Any]:
    """As tables for a person."""
    from hurnet_stream.terminal.running import rows
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
    if lines := list(rows(status.workers or {}, solver)):
        yield table(("role", "worker", "host", "partitions", ">behind"), lines)
    if not status.shards:
        return
    yield _shards_table(status.shards)
    if status.weights:
        yield table(WEIGHTS_COLUMNS, map(_weights_row, status.weights))


def _shards_table(shards: Sequence[Shard]) -> Any:
    from hurnet_stream.terminal.screen import table

    columns = dict(SHARD_COLUMNS)
    if all(shard.rows_ever is None for shard in shards):
        del columns["rows ever"]
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
