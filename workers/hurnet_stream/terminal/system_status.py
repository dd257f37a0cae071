"""How far everything has come, as Kafka and the store know it: what `hurnet status` shows.

Kafka and the store are asked one after the other, and what one of them does not answer is left open.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from hurnet_stream import belonging
from hurnet_stream.adapters.kafka import KafkaHistory
from hurnet_stream.adapters.redis import (
    Connection,
    RedisEntryStore,
    RedisLeaseStore,
    RedisWeightsStore,
    connect,
)
from hurnet_stream.errors import HurnetError
from hurnet_stream.ports import OffsetRange, WeightsStore
from hurnet_stream.settings.settings import Settings
from hurnet_stream.terminal.client import end_offsets
from hurnet_stream.terminal.running import Running, running


@dataclass(slots=True)
class Shard:
    """One partition of `texts`. What is not known is None.

    `rows` are held now, `rows_ever` counts those that were deleted, too. `next_offset` is the next one that
    ingest will append, `end_offset` the next one that Kafka will give."""

    partition: int
    rows: int | None = None
    next_offset: int | None = None
    end_offset: int | None = None
    rows_ever: int | None = None

    @property
    def lag_records(self) -> int | None:
        """Records that ingest has still to take in."""
        if self.end_offset is None or self.next_offset is None:
            return None
        return max(0, self.end_offset - self.next_offset)


@dataclass(slots=True)
class Status:
    """What could be learned. `problems` say what could not, and why; `warnings` what a person should change.

    `workers` are those in Kafka's consumer groups, by role, or None if Kafka can't be asked. `where` tells
    where logs and metrics are."""

    store_read: bool = False
    embedder: dict[str, Any] | None = None
    contexts: list[str] = field(default_factory=list)
    shards: list[Shard] = field(default_factory=list)
    weights: list[dict[str, Any]] = field(default_factory=list)
    solver: str | None = None
    workers: dict[str, Running] | None = None
    where: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        shards = [asdict(shard) | {"lag_records": shard.lag_records} for shard in self.shards]
        return asdict(self) | {"shards": shards}


def gather(settings: Settings) -> Status:
    """Ask Kafka and the store, each as far as it answers."""
    status = Status(where=_where(settings))
    in_kafka: dict[int, OffsetRange] = {}
    with closing(connect(settings.redis)) as connection:
        _try(status, lambda: in_kafka.update(_offset_ranges(settings)))
        ends = {partition: offsets.end for partition, offsets in in_kafka.items()}
        _try(status, lambda: _read_groups(status, settings, ends))
        status.store_read = _try(status, lambda: read_store(status, connection))
        _join(status, in_kafka)
        if status.store_read and in_kafka:
            _try(status, lambda: _check_belonging(settings, connection))
    return status


def _where(settings: Settings) -> dict[str, str]:
    """Where to look when something is wrong. Each worker runs with settings of its own, maybe on another
    host."""
    chosen = settings.metrics
    if not chosen.enabled:
        pages = "not served (HURNET_METRICS_ENABLED is false)"
    elif chosen.port:
        pages = f"port {chosen.port} of each worker's host: /metrics, /livez, /readyz"
    else:
        pages = "a free port on each worker's host, named in the first lines of its log"
    logs = "each worker's standard error; `hurnet up --workers` keeps it in DATA/NAME-NUMBER.log"
    return {"logs": logs, "metrics": pages}


def _try(status: Status, read: Callable[[], object]) -> bool:
    """Whether it could be read. If not, the reason is one of the problems."""
    try:
        read()
    except HurnetError as error:
        status.problems.append(str(error))
        return False
    return True


def _offset_ranges(settings: Settings) -> Mapping[int, OffsetRange]:
    with closing(KafkaHistory(settings.kafka, settings.kafka.texts)) as history:
        return history.offset_ranges()


def _read_groups(status: Status, settings: Settings, ends_of_texts: Mapping[int, int]) -> None:
    kafka = settings.kafka
    others = (kafka.queries, kafka.feedback)
    ends = {kafka.texts: ends_of_texts, **{topic: end_offsets(kafka, topic) for topic in others}}
    status.workers = running(settings, ends)


def read_store(status: Status, connection: Connection) -> None:
    """What the store knows: the embedder, the shards, the contexts, the solver and the weights."""
    status.warnings = connection.warnings()
    store = RedisEntryStore(connection)
    identity = store.identity()
    status.embedder = asdict(identity) if identity else None
    states = store.states()
    holdings, pending = store.holdings(), store.pending_erasures()
    for partition, state in states.items():
        # Rows that are deleted and not erased yet are still counted by the store.
        held = sum(holding.rows for holding in holdings.get(partition, {}).values())
        rows = max(0, held - pending.get(partition, 0))
        status.shards.append(Shard(partition, rows, state.watermark + 1, rows_ever=state.rows))
    status.contexts = sorted(store.contexts())
    status.solver = RedisLeaseStore(connection).holder("solver")
    weights = RedisWeightsStore(connection)
    for context in sorted(weights.versions()):
        _try(status, partial(_read_weights, status, weights, context))


def _read_weights(status: Status, weights: WeightsStore, context: str) -> None:
    if published := weights.weights(context):
        status.weights.append(
            {
                "context": context,
                "version": published.version,
                "age_s": round(max(0.0, time.time() - published.published_ms / 1000), 1),
                "watermarks": dict(published.watermarks),
                "certificate": published.weights.certificate.as_dict(),
            }
        )


def _join(status: Status, in_kafka: Mapping[int, OffsetRange]) -> None:
    """Adds to the shards of the store what Kafka holds of each partition."""
    shards = {shard.partition: shard for shard in status.shards}
    for partition, offsets in in_kafka.items():
        # If the store was read and has no such shard, its shard is empty; otherwise nothing is known of it.
        new = Shard(partition, 0, 0, rows_ever=0) if status.store_read else Shard(partition)
        shard = shards.setdefault(partition, new)
        shard.end_offset = offsets.end
        status.warnings += _only_copies(shard, offsets)
    status.shards = [shards[partition] for partition in sorted(shards)]


def _only_copies(shard: Shard, offsets: OffsetRange) -> Iterator[str]:
    copies = min(shard.rows or 0, shard.next_offset or 0, offsets.first)
    if copies:
        yield (
            f"Kafka holds partition {shard.partition} only from offset {offsets.first} on, so the store has"
            f" the only copy of up to {copies:,} rows. Back it up, and set the topic's retention.ms to -1"
        )


def _check_belonging(settings: Settings, connection: Connection) -> None:
    """Raises `ForeignLog` if the store was filled from another log than this topic."""
    if filled_from := RedisEntryStore(connection).log():
        with closing(KafkaHistory(settings.kafka, settings.kafka.texts)) as history:
            belonging.check(filled_from, history.log())
