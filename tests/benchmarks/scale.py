"""The responder worker over a million rows: how long it loads them, and a query's time at several rates.

The rows are the demo's texts and the same as typed in a hurry, hashed to 256 dimensions, straight into the
store, and taught to a solver. Queries go through Kafka, exactly once; a query's time runs from when it was
due to when its answer was read as committed. `--rows 100000` chooses another number.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from hurnet_schemas import Answer, Query
from hurnet_stream.adapters.embedders import load
from hurnet_stream.local.worker import WorkerProcess
from hurnet_stream.ports import EntryStore
from tests.benchmarks._asker import Asker, Reply, evenly
from tests.benchmarks._fill import Taught, appended
from tests.benchmarks._report import Report, main, quantile
from tests.benchmarks._system import (
    PARTITIONS,
    Bench,
    bench,
    counted,
    has_weights,
    pairs,
    questions,
    wait_for,
)

EMBEDDER: Final = "hash256"
CONTEXT: Final = "scale"
BATCH: Final = 1_000
SECONDS: Final[Mapping[int, float]] = {1: 20.0, 10: 10.0, 100: 5.0}
"""How long queries are asked, by their number a second."""
OPTIONS = argparse.Namespace(rows=1_000_000)


def measure(rounds: int) -> Report:
    report = Report()
    asks = [Query(text=text).encode() for text in questions()]
    with bench() as servers:
        settings = servers.create_topics(CONTEXT)
        with servers.store(CONTEXT) as store:
            fill(store, OPTIONS.rows)
        with responder(servers, report) as worker, servers.worker("solver", CONTEXT, EMBEDDER) as solver:
            wait_for(lambda: has_weights(worker), [worker, solver], every_s=0.5)
            with Asker(settings) as asker:
                asker.flat_out(settings.queries, asks, 8, 1.0)
                for rate, seconds in SECONDS.items():
                    replies = asker.on_schedule(evenly([settings.queries], asks, rate, seconds * rounds))
                    describe(report, rate, replies)
    title = f"a responder over {OPTIONS.rows:,} rows, {EMBEDDER}"
    report.table(title, ["figure", ">"], [(name, f"{x:.4g}") for name, x in report.figures.items()])
    return report


def fill(store: EntryStore, rows: int) -> None:
    """Append so many entries to the context, spread over its shards."""
    embedder = load(EMBEDDER)
    store.open(embedder.identity)
    store.admit(frozenset({"default"}), 1)
    taught = pairs(rows)
    parts = (taught[i : i + BATCH] for i in range(0, rows, BATCH))
    batches = (
        Taught([p.text for p in part], [p.answer for p in part], embedder.embed([p.text for p in part]))
        for part in parts
    )
    for _ in appended(store, batches, PARTITIONS):
        pass


@contextmanager
def responder(servers: Bench, report: Report) -> Iterator[WorkerProcess]:
    """Running and with the whole context in memory; reports how long that took."""
    began = time.perf_counter()
    with servers.worker("responder", CONTEXT, EMBEDDER) as worker:
        wait_for(worker.ready, [worker], every_s=0.05)
        report.figures["ready_s"] = time.perf_counter() - began
        report.figures["ready_cpu_s"] = counted(worker, "process_cpu_seconds_total")
        report.figures["resident_gb"] = counted(worker, "process_resident_memory_bytes") / 1e9
        yield worker


def describe(report: Report, rate: int, replies: Sequence[Reply]) -> None:
    seconds = [reply.seconds for reply in replies]
    receipts = [Answer.decode(reply.value).receipt for reply in replies]
    scored = [receipt.seconds for receipt in receipts if receipt]
    if len(scored) < len(replies):
        raise RuntimeError(f"{len(replies) - len(scored)} queries were not answered")
    name = f"{rate}/s"
    report.figures |= {
        f"{name} queries": len(replies),
        f"{name} p50 ms": quantile(seconds, 0.5) * 1e3,
        f"{name} p99 ms": quantile(seconds, 0.99) * 1e3,
        f"{name} scoring p50 ms": quantile(scored, 0.5) * 1e3,
        f"{name} scoring p99 ms": quantile(scored, 0.99) * 1e3,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, help="in the context (default: 1000000)")
    main(measure, rounds=1, parser=parser, into=OPTIONS)
