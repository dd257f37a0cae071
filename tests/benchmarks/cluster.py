"""What it costs that the store survives its server: one server, a Sentinel set and a Redis Cluster in turns.

    appends, reads    rows a second into four shards and out of them, without the rest of the system; appends
                      also if one or two replicas are waited for (HURNET_REDIS_REPLICAS_ACK)
    a failover        a primary is killed while questions and texts come evenly; a lone server is started
                      again at once
        servers       how long it took until another server had its place
        answers       how long a question waited for its answer at most
        ingest        how long no text was taken in at most

In a cluster the primary of the store's own keys is killed, where the solver's keys are, too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from hurnet_schemas import Query
from hurnet_stream.adapters.embedders import load
from hurnet_stream.adapters.redis import RedisEntryStore, connect
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.local import KafkaServer, ValkeyServer
from hurnet_stream.local.worker import WorkerProcess
from hurnet_stream.settings.settings import KafkaSettings, RedisSettings
from tests.background import again_and_again
from tests.benchmarks._asker import Asker, evenly
from tests.benchmarks._fill import Taught, appended
from tests.benchmarks._parts import rate
from tests.benchmarks._report import Report, main, quantile, say
from tests.benchmarks._system import (
    PARTITIONS,
    Bench,
    counted,
    fill,
    has_weights,
    pairs,
    questions,
    text_event,
    wait_for,
)
from tests.sentinels import SentinelSet
from tests.valkey_cluster import ValkeyCluster

EMBEDDER = "hash256"
ROWS_A_BATCH = 256
APPEND_S = 1.0
SYSTEM_ROWS = 2_000
RATE = 20
"""Questions a second, and as many texts."""
USUAL_S, BEFORE_S, AFTER_S = 5.0, 1.0, 14.0
LOOK_S = 0.02


class Kind(NamedTuple):
    """One way to run Redis."""

    name: str
    url: str
    replicas: int
    fail: Callable[[str], object]
    """Kill the primary that has this key, and return once another has taken its place."""
    mend: Callable[[], None]


class Gap(NamedTuple):
    """What one failover was like, in seconds. `usual` is the median time of a question before it."""

    usual: float
    servers: float
    answers: float
    ingest: float


def measure(rounds: int) -> Report:
    report = Report()
    data = tempfile.TemporaryDirectory(prefix="hurnet-bench-", ignore_cleanup_errors=True)
    with data as folder, _kinds() as kinds:
        _measure_store(report, kinds, rounds)
        with KafkaServer(Path(folder, "kafka")) as kafka:
            gaps = {
                kind.name: _gaps(Bench(kafka.bootstrap, kind.url, Path(folder)), kind, rounds)
                for kind in kinds
            }
    _show_gaps(report, gaps)
    return report


@contextmanager
def _kinds() -> Iterator[list[Kind]]:
    with ValkeyServer() as one, SentinelSet() as sentinels, ValkeyCluster() as cluster:
        yield [
            Kind("one server", one.url, 0, lambda _: _restart(one), lambda: None),
            Kind("Sentinel", sentinels.url, 2, lambda _: sentinels.fail_over(), sentinels.whole),
            Kind(
                *("cluster", cluster.url, 1),
                lambda key: cluster.fail_over(cluster.primary_of(key)),
                cluster.whole,
            ),
        ]


def _restart(server: ValkeyServer) -> None:
    server.kill()
    server.start()


def _measure_store(report: Report, kinds: Sequence[Kind], rounds: int) -> None:
    embedder = load(EMBEDDER)
    texts = [pair.text for pair in pairs(ROWS_A_BATCH)]
    vectors = np.asarray(embedder.embed(texts))  # (256, d) int16
    found: dict[tuple[str, str], list[float]] = {}
    for at in range(rounds):
        for kind in kinds:
            for replicas in range(kind.replicas + 1):
                settings = RedisSettings(url=kind.url, prefix=f"alone-{at}-{replicas}", replicas_ack=replicas)
                with closing(RedisEntryStore(connect(settings))) as store:
                    store.open(embedder.identity, writing=True)
                    written = rate(appended(store, _batches(texts, vectors), PARTITIONS), APPEND_S)
                    found.setdefault((kind.name, f"append, {replicas} acks"), []).append(written)
                    found.setdefault((kind.name, "read"), []).append(_read_rate(store))
            say(f"{kind.name}: {found[kind.name, 'append, 0 acks'][-1]:,.0f} rows/s in")
    rows = []
    for (kind_name, what), rates in found.items():
        report.figures[f"{kind_name} {what} rows/s"] = median(rates)
        rows.append((kind_name, what, f"{median(rates):,.0f}", f"{min(rates):,.0f}", f"{max(rates):,.0f}"))
    columns = ("Redis", "what", ">rows/s", ">least", ">most")
    report.table(f"{ROWS_A_BATCH} rows of {vectors.shape[1]} dimensions at once", columns, rows)


def _batches(texts: Sequence[str], vectors: Vectors) -> Iterator[Taught]:
    return cycle([Taught(texts, [None] * len(texts), vectors)])


def _read_rate(store: RedisEntryStore) -> float:
    """Rows a second, all that is there, from the beginning."""
    positions: dict[int, int] = {}
    began, rows = time.perf_counter(), 0
    while batches := store.tail(positions, 16).batches:
        rows += sum(len(batch.entries) for batch in batches)
        positions |= {batch.partition: batch.watermark for batch in batches}
    return rows / (time.perf_counter() - began)


def _gaps(servers: Bench, kind: Kind, rounds: int) -> list[Gap]:
    name = f"gap-{kind.name.replace(' ', '-')}"
    settings = servers.create_topics(name)
    fill(servers, settings, name, EMBEDDER, SYSTEM_ROWS)
    with ExitStack() as stack:
        ingest, _, responder = workers = [
            stack.enter_context(servers.worker(role, name, EMBEDDER))
            for role in ("ingest", "solver", "responder")
        ]
        wait_for(lambda: ingest.ready() and has_weights(responder), workers)
        key = connect(servers.redis(name)).keys.solver("owner")
        gaps = []
        for _ in range(rounds):
            gaps.append(_one_gap(settings, ingest, lambda: kind.fail(key)))
            kind.mend()
            wait_for(lambda: all(worker.ready() for worker in workers), workers)
            say(f"{kind.name}: {gaps[-1]}")
    return gaps


class _Growth:
    """When a worker's count of rows grew."""

    def __init__(self, ingest: WorkerProcess) -> None:
        self._ingest = ingest
        self._rows = counted(ingest, "hurnet_rows_total")
        self.times: list[float] = []

    def look(self) -> None:
        if (rows := counted(self._ingest, "hurnet_rows_total")) > self._rows:
            self._rows = rows
            self.times.append(time.perf_counter())


def _one_gap(settings: KafkaSettings, ingest: WorkerProcess, fail: Callable[[], object]) -> Gap:
    texts = cycle([text_event(pair) for pair in pairs(SYSTEM_ROWS)])
    asked = [Query(text=text).encode() for text in questions()]
    growth = _Growth(ingest)

    def timed() -> float:
        time.sleep(BEFORE_S)
        began = time.perf_counter()
        fail()
        return time.perf_counter() - began

    with (
        Asker(settings) as asker,
        Asker(settings) as teacher,
        ThreadPoolExecutor(1) as pool,
        again_and_again(lambda: teacher.send(settings.texts, next(texts)), 1 / RATE),
        again_and_again(growth.look, LOOK_S),
    ):
        usual = asker.on_schedule(evenly([settings.queries], asked, RATE, USUAL_S))
        failed = pool.submit(timed)
        replies = asker.on_schedule(evenly([settings.queries], asked, RATE, BEFORE_S + AFTER_S))
        servers = failed.result()
    waited = max(reply.seconds for reply in replies)
    return Gap(median(reply.seconds for reply in usual), servers, waited, max(np.diff(growth.times)))


def _show_gaps(report: Report, gaps: dict[str, list[Gap]]) -> None:
    rows = []
    for name, several in gaps.items():
        answers, ingest = [gap.answers for gap in several], [gap.ingest for gap in several]
        report.figures |= {
            f"{name} usual s": median(gap.usual for gap in several),
            f"{name} servers s": median(gap.servers for gap in several),
            f"{name} answers p50 s": quantile(answers, 0.5),
            f"{name} answers max s": max(answers),
            f"{name} ingest p50 s": quantile(ingest, 0.5),
            f"{name} ingest max s": max(ingest),
        }
        figures = list(report.figures.values())[-6:]
        rows.append((name, len(several), *(f"{seconds:.2f}" for seconds in figures)))
    columns = ("Redis", ">failovers", ">usual", ">servers", ">answers p50", ">max", ">ingest p50", ">max")
    report.table("a primary is killed: seconds", columns, rows)


if __name__ == "__main__":
    main(measure, rounds=3)
