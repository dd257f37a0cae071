"""The canary's figures while the system is loaded: freshness from sending a text to the answer to the
question about it, and the parts that it consists of.

    text sent      acknowledged      in the store      answered
        ├── produce ──┤├── append ──────┤├── tail and answer ──┤
                       ├── the question waits in the responder, then is answered and delivered

A plain question, asked beside each probe, takes what `answer` takes; the rest is `tail`: until the responder
has read the text from the store. The load is a share of saturation: of the texts and questions a second that
the same workers take when both are sent flat out. The canary is the real one, in this process; the load comes
from another.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle

from hurnet_schemas import Query
from hurnet_stream.adapters.kafka.courier import KafkaCourier
from hurnet_stream.canary.canary import Canary
from hurnet_stream.canary.mail import QUESTION, TEXT
from hurnet_stream.local.worker import WorkerProcess
from hurnet_stream.metrics.canary import CanaryMetrics
from hurnet_stream.ports import Acknowledged, News, Outgoing, Replied
from hurnet_stream.settings.settings import CanarySettings, EmbedderSettings, KafkaSettings, Settings
from tests.benchmarks._report import Report, main, quantile, say
from tests.benchmarks._system import (
    PARTITIONS,
    Bench,
    bench,
    counted,
    fill,
    has_weights,
    questions,
    wait_for,
)

NAME = "canary"
EMBEDDER = EmbedderSettings().name
ROWS = 5_000
FLAT_OUT_S, WATCHED_S = 10.0, 60.0
SHARES = {"idle": 0.0, "quarter load": 0.25, "half load": 0.5}
REPLIES = {"HURNET_RESPONDER_REPLY_TOPICS": f"{NAME}-answers.*"}
INTERVAL_S = 0.5
"""Seconds between probes: more often than the canary's default, for a p99 that means something."""


@dataclass(slots=True)
class Trip:
    """When what happened to a probe, monotonic seconds."""

    began: float
    partition: int = -1
    offset: int = -1
    acknowledged: float = 0.0
    answered: float = 0.0


@dataclass(slots=True)
class Watched:
    """The trips of one load, seconds of plain questions, and when texts were first seen in the store."""

    trips: dict[str, Trip] = field(default_factory=dict)
    plain: list[float] = field(default_factory=list)
    stored: dict[tuple[int, int], float] = field(default_factory=dict)

    def parts(self) -> dict[str, list[float]]:
        """Seconds by part, of all probes that came back and were seen in the store."""
        found: defaultdict[str, list[float]] = defaultdict(list)
        for trip in self.trips.values():
            stored = self.stored.get((trip.partition, trip.offset))
            if trip.answered and stored is not None:
                found["freshness"].append(trip.answered - trip.began)
                found["produce"].append(trip.acknowledged - trip.began)
                found["append"].append(stored - trip.acknowledged)
                found["tail and answer"].append(trip.answered - max(stored, trip.acknowledged))
        return {part: found[part] for part in ("freshness", "produce", "append", "tail and answer")}


class Overheard(KafkaCourier):
    """The canary's courier, which notes when what happened. A plain question goes beside each probe."""

    def __init__(self, settings: KafkaSettings, watched: Watched) -> None:
        super().__init__(settings, settings.canary_answers)
        self._kafka = settings
        self._watched = watched
        self._questions = cycle(questions())
        self._asked: dict[str, float] = {}

    def post(self, ticket: str, message: Outgoing) -> None:
        kind, _, name = ticket.partition("/")
        if kind == TEXT:
            self._watched.trips[name] = Trip(time.monotonic())
        super().post(ticket, message)
        if kind == QUESTION:
            headers = (("correlation-id", f"plain-{name}".encode()), *message.headers[1:])
            query = Query(text=next(self._questions)).encode()
            self._asked[f"plain-{name}"] = time.monotonic()
            super().post(f"plain/{name}", Outgoing(self._kafka.queries, query, None, headers))

    def receive(self, timeout_s: float) -> Sequence[News]:
        news = super().receive(timeout_s)
        for each in news:
            self._note(each)
        return news

    def _note(self, news: News) -> None:
        trips = self._watched.trips
        if isinstance(news, Acknowledged):
            kind, _, name = news.ticket.partition("/")
            if kind == TEXT and name in trips:
                trip = trips[name]
                trip.partition, trip.offset, trip.acknowledged = news.partition, news.offset, news.at
        elif isinstance(news, Replied):
            if asked := self._asked.pop(news.correlation, None):
                self._watched.plain.append(news.at - asked)
            elif news.correlation in trips:
                trips[news.correlation].answered = news.at


def measure(rounds: int) -> Report:
    with bench() as servers:
        settings = servers.create_topics(NAME)
        fill(servers, settings, NAME, EMBEDDER, ROWS)
        with _system(servers) as workers:
            say("how much the workers take flat out")
            texts, asked = _saturation(servers, workers)
            watched, metrics, cores = {}, {}, {}
            for load, share in SHARES.items():
                say(f"{load}: {texts * share:,.0f} texts and {asked * share:,.0f} questions a second")
                metrics[load] = CanaryMetrics()
                rates, seconds = _beside(texts * share, asked * share), rounds * WATCHED_S
                before = _cpu_s(workers)
                watched[load] = _watched(servers, settings, metrics[load], rates, seconds)
                cores[load] = (_cpu_s(workers) - before) / seconds
    return _report((texts, asked), watched, metrics, cores)


def _cpu_s(workers: list[WorkerProcess]) -> float:
    """Processor seconds of all workers so far. What others take of the machine does not count."""
    return sum(counted(worker, "process_cpu_seconds_total") for worker in workers)


def _beside(texts: float, asked: float) -> tuple[float, float]:
    """What the load must send, a second: the probes, and the questions beside them, are part of it."""
    probes = 1 / INTERVAL_S
    return max(0.0, texts - probes), max(0.0, asked - 2 * probes)


@contextmanager
def _system(servers: Bench) -> Iterator[list[WorkerProcess]]:
    """All three workers, once the responder has weights."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(servers.worker(kind, NAME, EMBEDDER, variables=REPLIES))
            for kind in ("ingest", "solver", "responder")
        ]
        wait_for(lambda: workers[0].ready() and has_weights(workers[2]), workers)
        yield workers


def _saturation(servers: Bench, workers: list[WorkerProcess]) -> tuple[float, float]:
    """Texts and questions a second, both flat out at the same time."""
    with _load(servers, "flat-out", 0, 0):
        time.sleep(FLAT_OUT_S / 2)
        before, began = _done(workers), time.monotonic()
        time.sleep(FLAT_OUT_S)
        after, seconds = _done(workers), time.monotonic() - began
    wait_for(lambda: counted(workers[2], "hurnet_queries_waiting") == 0 and _caught_up(workers), workers)
    return (after[0] - before[0]) / seconds, (after[1] - before[1]) / seconds


def _done(workers: list[WorkerProcess]) -> tuple[float, float]:
    return counted(workers[0], "hurnet_rows_total"), counted(workers[2], "hurnet_queries_total")


def _caught_up(workers: list[WorkerProcess]) -> bool:
    """Nothing more comes in."""
    before = _done(workers)
    time.sleep(2.0)
    return _done(workers) == before


def _load(servers: Bench, kind: str, texts: float, asked: float) -> AbstractContextManager[None]:
    return servers.program("tests.benchmarks._load", NAME, kind, f"{texts:.1f}", f"{asked:.1f}")


def _watched(
    servers: Bench, settings: KafkaSettings, metrics: CanaryMetrics, load: tuple[float, float], seconds: float
) -> Watched:
    """A canary beside a load, for so many seconds."""
    watched, stop = Watched(), threading.Event()
    chosen = Settings(kafka=settings, canary=CanarySettings(interval=INTERVAL_S))
    with ExitStack() as stack:
        if any(load):
            stack.enter_context(_load(servers, "paced", *load))
            time.sleep(3.0)
        follower = threading.Thread(target=_follow, args=(servers, watched, stop), daemon=True)
        follower.start()
        canary = Canary(Overheard(settings, watched), chosen, metrics)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            canary.step()
        canary.drain()
        canary.close()
        stop.set()
        follower.join()
    return watched


def _follow(servers: Bench, watched: Watched, stop: threading.Event) -> None:
    """Note when an entry of the canary's is in the store, as any reader sees it."""
    with servers.store(NAME) as store:
        positions = {p: state.watermark for p, state in store.states().items()}
        while not stop.is_set():
            batches = store.tail(positions, 16, block_s=0.2).batches
            now = time.monotonic()
            for batch in batches:
                positions[batch.partition] = batch.watermark
                for entry in batch.entries:
                    if entry.context == "canary":
                        watched.stored[batch.partition, entry.offset] = now


def _report(
    saturation: tuple[float, float],
    watched: dict[str, Watched],
    metrics: dict[str, CanaryMetrics],
    cores: dict[str, float],
) -> Report:
    report = Report()
    report.figures = {"texts per s, flat out": saturation[0], "questions per s, flat out": saturation[1]}
    rows: list[Sequence[object]] = []
    for load, found in watched.items():
        parts = {**found.parts(), "a plain question beside it": found.plain}
        failed = len(found.trips) - len(parts["freshness"])
        if failed > len(found.trips) / 2:
            raise RuntimeError(f"{failed} of {len(found.trips)} probes did not come back")
        report.figures[f"{load} probes"] = len(found.trips)
        report.figures[f"{load} not ok"] = failed
        report.figures[f"{load} cores of the workers"] = cores[load]
        rows.append((load, f"the workers used {cores[load]:.2f} cores", "", "", ""))
        for part, seconds in parts.items():
            p50, p99 = quantile(seconds, 0.5) * 1e3, quantile(seconds, 0.99) * 1e3
            report.figures |= {f"{load} {part} p50 ms": p50, f"{load} {part} p99 ms": p99}
            rows.append((load, part, len(seconds), f"{p50:,.1f}", f"{p99:,.1f}"))
    flat = f"{saturation[0]:,.0f} texts and {saturation[1]:,.0f} questions a second flat out"
    report.table(
        f"the canary, {EMBEDDER}, {ROWS:,} rows, {PARTITIONS} partitions; {flat}",
        ("load", "part", ">n", ">p50 ms", ">p99 ms"),
        rows,
    )
    outcomes = {
        sample.labels["outcome"]: sample.value
        for each in metrics.values()
        for family in each.registry.collect()
        for sample in family.samples
        if sample.name == "hurnet_canary_probes_total" and sample.value
    }
    print(outcomes, file=sys.stderr)
    return report


if __name__ == "__main__":
    main(measure, rounds=2)
