"""`hurnet status`: how far everything has come."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hurnet.adapters.redis import Connection
    from hurnet.ports import OffsetRange, WeightsStore
    from hurnet.settings.settings import Settings
    from hurnet.terminal.running import Running


@dataclass(slots=True)
class Shard:
    """A partition of `texts`. `rows` are those held, `rows_ever` with those that were deleted since; offsets
    are of the next record. None where unknown."""

    partition: int
    rows: int | None = None
    next_offset: int | None = None
    end_offset: int | None = None
    rows_ever: int | None = None

    @property
    def lag_records(self) -> int | None:
        if self.end_offset is None or self.next_offset is None:
            return None
        return max(0, self.end_offset - self.next_offset)


@dataclass(slots=True)
class Status:
    """What could be learned; `problems` says what could not, and why. `workers` are those in Kafka's groups,
    None where it can't be asked."""

    store_read: bool = False
    embedder: dict[str, Any] | None = None
    contexts: list[str] = field(default_factory=list)
    shards: list[Shard] = field(default_factory=list)
    weights: list[dict[str, Any]] = field(default_factory=list)
    solver: str | None = None
    workers: dict[str, Running] | None = None
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        shards = [asdict(shard) | {"lag_records": shard.lag_records} for shard in self.shards]
        return asdict(self) | {"shards": shards}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Show workers, shards, lags and weights.

    A role that no worker fills is a warning. Exit code 1 when some of it can't be had.
    """
    from hurnet.settings import settings
    from hurnet.terminal.running import missing
    from hurnet.terminal.screen import console, hush, say, say_json

    hush()
    found = gather(settings.load())
    if as_json:
        say_json(found.as_dict())
    else:
        screen = console()
        for part in shown(found):
            screen.print(part)
    for warning in (*found.warnings, *missing(found.workers, found.solver, found.store_read)):
        say(f"warning: {warning}", err=True)
    for reason in found.problems:
        say(f"problem: {reason}", err=True)
    sys.exit(1 if found.problems else 0)


def gather(settings: Settings) -> Status:
    """Ask Kafka and the store, each as far as it answers."""
    from hurnet.adapters.redis import connect

    found = Status()
    connection = connect(settings.redis)
    held: dict[int, OffsetRange] = {}
    _tried(found, lambda: held.update(_bounds(settings)))
    _tried(found, lambda: _read_groups(found, settings, {p: bounds.end for p, bounds in held.items()}))
    found.store_read = _tried(found, lambda: _read_store(found, connection))
    shards = {shard.partition: shard for shard in found.shards}
    for partition, bounds in held.items():
        new = Shard(partition, 0, 0, rows_ever=0) if found.store_read else Shard(partition)
        shard = shards.setdefault(partition, new)
        shard.end_offset = bounds.end
        found.warnings += _only_copies(shard, bounds)
    found.shards = [shards[partition] for partition in sorted(shards)]
    if found.store_read and held:
        _tried(found, lambda: _check_belonging(settings, connection))
    connection.close()
    return found


def _bounds(settings: Settings) -> dict[int, OffsetRange]:
    from hurnet.adapters.kafka import KafkaHistory

    with closing(KafkaHistory(settings.kafka, settings.kafka.texts)) as history:
        return history.offset_ranges()


def _check_belonging(settings: Settings, connection: Connection) -> None:
    from hurnet import belonging
    from hurnet.adapters.kafka import KafkaHistory
    from hurnet.adapters.redis import RedisEntryStore

    if bound := RedisEntryStore(connection).log():
        with closing(KafkaHistory(settings.kafka, settings.kafka.texts)) as history:
            belonging.check(bound, history.log())


def _only_copies(shard: Shard, bounds: OffsetRange) -> Iterator[str]:
    copies = min(shard.rows or 0, shard.next_offset or 0, bounds.first)
    if copies:
        yield (
            f"Kafka holds partition {shard.partition} from offset {bounds.first} on only: of up to"
            f" {copies:,} rows"
            " the store has the only copy. Back it up, and set the topic's retention.ms to -1"
        )


def _read_groups(found: Status, settings: Settings, texts: Mapping[int, int]) -> None:
    from hurnet.terminal.client import end_offsets
    from hurnet.terminal.running import running

    queries = end_offsets(settings.kafka, settings.kafka.queries)
    found.workers = running(settings, {settings.kafka.texts: texts, settings.kafka.queries: queries})


def _tried(found: Status, read: Callable[[], object]) -> bool:
    from hurnet.errors import HurnetError

    try:
        read()
    except HurnetError as error:
        found.problems.append(str(error))
        return False
    return True


def _read_store(found: Status, connection: Connection) -> None:
    from hurnet.adapters.redis import RedisEntryStore, RedisLeaseStore, RedisWeightsStore

    found.warnings = connection.warnings()
    store = RedisEntryStore(connection)
    identity = store.identity()
    found.embedder = asdict(identity) if identity else None
    states = store.states()
    holdings, pending = store.holdings(), store.pending_erasures()
    for p, state in states.items():
        held = sum(one.rows for one in holdings.get(p, {}).values()) - pending.get(p, 0)
        found.shards.append(Shard(p, max(0, held), state.watermark + 1, rows_ever=state.rows))
    found.contexts = sorted(store.contexts())
    found.solver = RedisLeaseStore(connection).holder("solver")
    weights = RedisWeightsStore(connection)
    for context in sorted(weights.versions()):
        _tried(found, partial(_read_weights, found, weights, context))


def _read_weights(found: Status, weights: WeightsStore, context: str) -> None:
    if published := weights.weights(context):
        found.weights.append(
            {
                "context": context,
                "version": published.version,
                "age_s": round(max(0.0, time.time() - published.published_ms / 1000), 1),
                "watermarks": dict(published.watermarks),
                "certificate": published.weights.certificate.as_dict(),
            }
        )


def shown(found: Status) -> Iterator[Any]:
    """Tables for a person."""
    from hurnet.terminal.running import rows
    from hurnet.terminal.screen import facts, table

    if found.store_read:
        embedder = found.embedder
        named = f"{embedder['name']}, {embedder['dimension']} dimensions" if embedder else "none yet"
        yield facts(
            [
                ("embedder", named),
                ("contexts", ", ".join(found.contexts) or "none yet"),
            ]
        )
    solver = (found.solver or "none is running") if found.store_read else None
    if lines := list(rows(found.workers or {}, solver)):
        yield table(("role", "worker", "host", "partitions", ">behind"), lines)
    if not found.shards:
        return
    yield _shards_table(found.shards)
    if found.weights:
        yield table(WEIGHTS, map(_weights_row, found.weights))


def _shards_table(shards: list[Shard]) -> Any:
    from hurnet.terminal.screen import table

    names = {"rows": "rows", "rows ever": "rows_ever", "next offset": "next_offset"}
    names |= {"end offset": "end_offset", "lag": "lag_records"}
    if all(shard.rows_ever is None for shard in shards):
        del names["rows ever"]
    rows = [[s.partition, *(_number(getattr(s, name)) for name in names.values())] for s in shards]
    total = ["" if name.endswith("_offset") else _total(shards, name) for name in names.values()]
    return table((">shard", *(f">{name}" for name in names)), [*rows, ["all", *total]])


WEIGHTS = (
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
"""Pairs count as often as their weights say, less their age; the rank is the effective one."""


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


def _total(shards: list[Shard], name: str) -> str:
    values = [getattr(shard, name) for shard in shards]
    return "?" if None in values else f"{sum(values):,}"


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
