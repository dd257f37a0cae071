"""A second generation: rows a second that are copied, beside the embedder alone, and what answers see of it.

A store on a Valkey that fsyncs every write is filled with texts by one embedder, and a follower fills the
generation of another one from it. The limit is what that embedder does alone, in batches of the same size.

Then a responder is asked a question in each turn, from before it loads the second generation until after the
cut over and back. A pause would be a turn that takes longer than others: shown are the longest and the median
turn of each phase. Kafka is in memory here, so that nothing else is measured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from hurnet_schemas import Query
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.adapters.redis import (
    Connection,
    RedisCopyNotes,
    RedisEntryStore,
    RedisGenerations,
    RedisLeaseStore,
    RedisResponderPresence,
    RedisWeightsStore,
    connect,
    connect_to,
)
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.core.stored.generations import Generation
from hurnet_stream.local import ValkeyServer
from hurnet_stream.metrics.migrate import MigrateMetrics
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.migrate.follower import Follower
from hurnet_stream.ports import Outgoing
from hurnet_stream.responder.generation import LoadedGeneration
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import RedisSettings, ResponderSettings, Settings
from tests.benchmarks._report import Report, main, say
from tests.memory.exchange import MemoryExchange
from tests.memory.kafka import MemoryKafka

ROWS: Final = 100_000
BATCH: Final = 256
TURNS: Final = 150
OLD, NEW = HashedText(512), HashedText(1024)


def texts(first: int, count: int) -> list[str]:
    return [
        f"text {row} of the store, about {row % 977} and {row % 89}" for row in range(first, first + count)
    ]


def fill(store: RedisEntryStore) -> None:
    store.open(OLD.identity)
    for first in range(0, ROWS, BATCH):
        said = texts(first, min(BATCH, ROWS - first))
        entries = [Entry(first + i, 0, "default", text, f"answer {i % 50}") for i, text in enumerate(said)]
        store.append(Batch(0, first + len(said) - 1, entries, OLD.embed(said)), first - 1)


def embedded_alone() -> float:
    """Rows a second."""
    batches = [texts(first, BATCH) for first in range(0, ROWS // 4, BATCH)]
    began = time.perf_counter()
    for batch in batches:
        NEW.embed(batch)
    return len(batches) * BATCH / (time.perf_counter() - began)


def copied(settings: RedisSettings) -> float:
    """Rows a second, from an empty generation until it has caught up."""
    with ExitStack() as stack:
        source, target = (stack.enter_context(closing(connect_to(settings, n))) for n in (0, 1))
        notes, leases = RedisCopyNotes(source, target), RedisLeaseStore(target)
        stores = RedisEntryStore(source), RedisEntryStore(target)
        follower = Follower(*stores, notes, NEW, leases, MigrateMetrics())
        began = time.perf_counter()
        while not follower.caught_up:
            follower.step()
        seconds = time.perf_counter() - began
        follower.drain()
    return ROWS / seconds


def turns(responder: Responder, kafka: MemoryKafka, until: Callable[[int], bool]) -> list[float]:
    """Seconds of each turn, a question in each."""
    found: list[float] = []
    while not until(len(found)):
        query = Query(text=f"what of {len(found)}").encode()
        kafka.append([Outgoing("queries", query, b"key", (), 0)])
        began = time.perf_counter()
        responder.step()
        found.append(time.perf_counter() - began)
    return found


def opened(
    settings: RedisSettings,
    exchange: MemoryExchange,
    chosen: Settings,
    generation: Generation,
    metrics: ResponderMetrics,
) -> LoadedGeneration:
    connection = connect_to(settings, generation.number)
    stores = RedisEntryStore(connection), RedisWeightsStore(connection)
    made = LoadedGeneration(*stores, NEW, exchange, chosen, metrics)
    return made.numbered(generation.number)


def answered(settings: RedisSettings, known: Connection) -> tuple[dict[str, list[float]], float, float]:
    """Seconds of turns by phase, and MB of memory of one generation and of both."""
    kafka = MemoryKafka()
    for topic in ("queries", "answers", "dead-letters"):
        kafka.create(topic, partitions=1)
    exchange = MemoryExchange(kafka, "queries", "responders", "one")
    chosen = Settings(responder=ResponderSettings.model_validate({"poll": 0, "instance": "one"}))
    connection, generations = connect_to(settings, 0), RedisGenerations(known)
    stores = RedisEntryStore(connection), RedisWeightsStore(connection)
    responder = Responder(exchange, *stores, OLD, chosen, ResponderMetrics())
    with closing(responder):
        while not responder._following.caught_up:
            responder.step()
        phases = {"one generation": turns(responder, kafka, lambda n: n >= TURNS)}
        one = resident_mb()
        load = partial(opened, settings, exchange, chosen)
        responder.choosing_by(generations, load, RedisResponderPresence(known), 0)

        def loaded(_turns: int) -> bool:
            standby = responder._serving.standby
            return bool(standby and standby.following.caught_up)

        phases["while the second is loaded"] = turns(responder, kafka, loaded)
        both = resident_mb()
        for name, number in (("after the cut over", 1), ("after the way back", 0)):
            generations.change(lambda each, n=number: each.cut_over(n))  # type: ignore[misc]
            phases[name] = turns(responder, kafka, lambda n: n >= TURNS)
    return phases, one, both


def resident_mb() -> float:
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(rounds: int) -> Report:
    report, rows = Report(), list[tuple[float, float]]()
    phases, one, both = dict[str, list[float]](), 0.0, 0.0
    for _ in range(rounds):
        with ValkeyServer() as server:
            settings = RedisSettings(url=server.url)
            with closing(connect(settings)) as known:
                say(f"filling {ROWS:,} rows")
                fill(RedisEntryStore(known))
                RedisGenerations(known).change(lambda each: each.begun(NEW.identity))
                say("embedding alone, and copying")
                rows.append((embedded_alone(), copied(settings)))
                phases, one, both = answered(settings, known)
    alone, copy = max(row[0] for row in rows), max(row[1] for row in rows)
    report.figures = {"rows per s embedded alone": alone, "rows per s copied": copy}
    title = f"{ROWS:,} rows, {OLD.identity.name} to {NEW.identity.name}"
    report.table(
        f"{title}: rows a second",
        ("what", ">rows/s"),
        [("the embedder alone", f"{alone:,.0f}"), ("copied, each write on disk", f"{copy:,.0f}")],
    )
    shown: list[Sequence[object]] = []
    for name, seconds in phases.items():
        longest, middle = 1e3 * max(seconds), 1e3 * median(seconds)
        report.figures |= {f"{name}, longest turn ms": longest, f"{name}, median turn ms": middle}
        shown.append((name, len(seconds), f"{middle:.1f}", f"{longest:.1f}"))
    report.table(
        "a question in each turn of a responder", ("", ">turns", ">ms, median", ">ms, longest"), shown
    )
    report.figures |= {"MB of memory, one generation": one, "MB of memory, both": both}
    report.table(
        "memory of the responder's process", ("", ">MB"), [("one", f"{one:,.0f}"), ("both", f"{both:,.0f}")]
    )
    return report


if __name__ == "__main__":
    main(measure, rounds=1)
