"""The picture of `hurnet status --watch`: what is wrong, how much flows, who is how far.

Columns that do not fit are left out, the least important first, so that it can be read in 40 columns, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hurnet_stream.overview.running import rows as worker_rows
from hurnet_stream.overview.slices import rows as slice_rows
from hurnet_stream.overview.system_status import Shard, Status
from hurnet_stream.terminal.complaints import Complaint
from hurnet_stream.terminal.screen import table
from hurnet_stream.terminal.trends import ASCII_BLOCKS, BLOCKS, Trends, sparkline
from hurnet_stream.visible import visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

FLOWS = (
    ("texts written", "texts"),
    ("entries taken in", "entries"),
    ("questions asked", "queries"),
    ("questions done", "committed responder"),
    ("feedback", "feedback"),
    ("dead letters", "dead_letters"),
)
"""What flows, and the counter that tells."""
WAITING = (("texts to take in", "behind texts"), ("questions waiting", "behind responder"))
TIMES = (("freshness", "hurnet_freshness_seconds"), ("age of answers", "hurnet_query_age_seconds"))
MOST_COMPLAINTS, MOST_CONTEXTS = 8, 8
NARROW = 80


def picture(
    console: Console, status: Status, trends: Trends, wrong: Sequence[Complaint], head: str
) -> Iterator[RenderableType]:
    """The parts of the picture from top to bottom."""
    from rich.text import Text

    yield Text(visible(head), style="dim", no_wrap=True, overflow="crop")
    yield from _verdict(wrong)
    blocks = BLOCKS if (console.encoding or "").lower().startswith("utf") else ASCII_BLOCKS
    yield table(("", ">a second", ""), _flows(trends, max(8, min(60, console.width - 36)), blocks))
    if times := list(_times(trends)):
        yield table(("seconds", ">p50", ">p99"), times)
    if status.shards:
        yield _shards(status.shards, console.width)
    if status.workers or status.solver:
        yield _workers(status, console.width)
    if status.weights:
        yield _weights(status.weights[:MOST_CONTEXTS], console.width)


def rates(trends: Trends) -> dict[str, float | None]:
    """What flows a second, for machines."""
    return {counter.replace(" ", "_"): trends.rate(counter) for _, counter in FLOWS}


def _verdict(wrong: Sequence[Complaint]) -> Iterator[RenderableType]:
    from rich.text import Text

    bad = sum(complaint.bad for complaint in wrong)
    if not wrong:
        yield Text("all is well", style="bold green")
    elif not bad:
        yield Text("all runs; to know:", style="bold yellow")
    else:
        yield Text(f"{bad} {'thing is' if bad == 1 else 'things are'} wrong", style="bold red")
    for complaint in wrong[:MOST_COMPLAINTS]:
        style = "red" if complaint.bad else "yellow"
        yield Text(f"{'!' if complaint.bad else '-'} {visible(complaint.text)}", style=style)
    if len(wrong) > MOST_COMPLAINTS:
        yield Text(f"  and {len(wrong) - MOST_COMPLAINTS} more")


def _flows(trends: Trends, width: int, blocks: str) -> Iterator[Sequence[Any]]:
    for name, counter in FLOWS:
        yield name, _rate(trends.rate(counter)), sparkline(trends.rates(counter), width, blocks)
    for name, counter in WAITING:
        now, values = trends.now(counter), trends.values(counter)
        yield name, "?" if now is None else f"{now:,.0f} now", sparkline(values, width, blocks)


def _times(trends: Trends) -> Iterator[Sequence[str]]:
    for name, histogram in TIMES:
        found = trends.quantiles(histogram)
        if any(value is not None for value in found):
            yield name, *("-" if value is None else f"{value:.3f}" for value in found)


def _shards(shards: Sequence[Shard], width: int) -> RenderableType:
    """How far each partition of texts has come, step by step. Behind the first step in records, behind the
    others in offsets."""
    steps: list[tuple[str, str, Callable[[Shard], int | None]]] = [
        ("appended", "next_offset", lambda shard: shard.lag_records),
        ("folded", "folded_offset", lambda shard: _behind(shard, shard.folded_offset)),
        ("searchable", "searchable_offset", lambda shard: _behind(shard, shard.searchable_offset)),
    ]
    known = [step for step in steps if any(getattr(shard, step[1]) is not None for shard in shards)]
    wide = width >= NARROW
    columns = [">partition" if wide else ">p", *([">Kafka's end"] if wide else [])]
    for name, _, _ in known:
        columns += [f">{name}", ">behind"] if wide else [f">not {name}"]
    rows = []
    for shard in shards:
        row: list[object] = [shard.partition, *([_number(shard.end_offset)] if wide else [])]
        for _, offset, behind in known:
            row += [_number(getattr(shard, offset))] if wide else []
            row.append(_behind_text(behind(shard)))
        rows.append([*row, _number(shard.rows)])
    return table([*columns, ">rows"], rows)


def _behind(shard: Shard, offset: int | None) -> int | None:
    return None if None in (offset, shard.next_offset) else max(0, (shard.next_offset or 0) - (offset or 0))


def _behind_text(value: int | None) -> Any:
    from rich.text import Text

    return Text(_number(value), style="yellow" if value else "")


def _workers(status: Status, width: int) -> RenderableType:
    leader = f"{status.solver} leads" if status.solver else None
    found = [*worker_rows(status.workers or {}, leader), *slice_rows(status.slices)]
    if width < NARROW:
        return table(
            ("role", "worker", ">behind"), [(role, worker, behind) for role, worker, *_, behind in found]
        )
    return table(("role", "worker", "host", "partitions", ">behind"), found)


def _weights(weights: Sequence[dict[str, Any]], width: int) -> RenderableType:
    columns = ("weights of", ">version", ">pairs", ">published", ">residual")
    shown = len(columns) if width >= NARROW else 3
    return table(columns[:shown], [_weights_row(each)[:shown] for each in weights])


def _weights_row(weights: dict[str, Any]) -> Sequence[str]:
    certificate = weights["certificate"]
    residual = certificate["residual"]
    return (
        weights["context"],
        f"v{weights['version']}",
        f"{certificate['count']:,.0f}",
        f"{weights['age_s']:,.0f} s ago",
        "-" if residual is None else f"{residual:.3g}",
    )


def _rate(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
