"""What it costs a responder to be watched: metrics, exemplars and traces, each in % of a question's CPU time.

A whole turn is measured, over a broker and a store in memory: poll, embed, search, rank, deliver. With real
brokers a question takes longer, so that the shares are smaller than these. Variants take turns, and of each
turn the best of all rounds counts, as in `answers`. Sending spans is in the figures, the collector is not.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from prometheus_client import Counter, Gauge, Histogram

from hurnet_schemas import Query
from hurnet_stream.adapters.embedders import load
from hurnet_stream.adapters.traces import ExportingTracer
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.metrics.stages import Stage
from hurnet_stream.ports import Embedder, Headers, Outgoing, TraceContext, new_trace
from hurnet_stream.responder.rehearsing import Rehearsing
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import EmbedderSettings, ResponderSettings, Settings, TracesSettings
from tests.benchmarks._report import Report, main, say
from tests.benchmarks._system import pairs, questions
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.kafka import MemoryKafka
from tests.memory.redis import MemoryRedis
from tests.memory.weights_store import MemoryWeightsStore

ROWS: Final = 24_000
TAUGHT_AT_ONCE: Final = 4_096
TURNS: Final = {1: 192, 64: 12}
"""Turns of a round, by how many questions are asked in each."""
VARIANTS: Final = ("nothing", "metrics", "exemplars", "traces of 1 %", "traces of all")
_TRACED: Final = {"traces of 1 %": 0.01, "traces of all": 1.0}
"""The share of the questions whose work is recorded."""


def measure(rounds: int) -> Report:
    report, rows = Report(), list[Sequence[object]]()
    with ExitStack() as stack:
        tracer = stack.enter_context(_tracer())
        # Learning between questions would take its share now and then, whatever is measured.
        stack.enter_context(patch.object(Rehearsing, "step", lambda *_, **__: None))
        asking = _Asking(load(EmbedderSettings().name), tracer)
        for batch, turns in TURNS.items():
            asked = batch * turns
            seconds = _best([asking.round(batch, number) for number in range(rounds)], asked)
            plain = seconds["metrics"]
            shares = {variant: 100 * (seconds[variant] / plain - 1) for variant in VARIANTS}
            rows.append([batch, f"{plain * 1e3:.3f}", *(f"{share:+.1f}" for share in shares.values())])
            report.figures |= {f"{variant}, {batch} together, %": share for variant, share in shares.items()}
    columns = ("together", ">CPU ms with metrics", *(f">{variant}, %" for variant in VARIANTS))
    report.table(f"a turn's question among {ROWS:,} entries, compared with metrics alone", columns, rows)
    return report


class Costs(NamedTuple):
    """CPU seconds of a round: of each turn by variant, and of the thread that sends spans."""

    turns: dict[str, list[float]]
    sending: float


def _best(rounds: Sequence[Costs], asked: int) -> dict[str, float]:
    """CPU seconds of a question by variant: of each turn, and of sending, the best of all rounds."""
    sending = min(each.sending for each in rounds)
    best = {}
    for variant in VARIANTS:
        turns = zip(*(each.turns[variant] for each in rounds), strict=True)
        best[variant] = (sum(map(min, turns)) + sending * _TRACED.get(variant, 0.0)) / asked
    return best


class _Asking:
    """A responder that has caught up, and can be watched in any of the ways."""

    def __init__(self, embedder: Embedder, tracer: ExportingTracer) -> None:
        self._tracer = tracer
        self._kafka = MemoryKafka()
        for topic in ("queries", "answers", "dead-letters"):
            self._kafka.create(topic, partitions=1)
        redis = MemoryRedis()
        store = MemoryEntryStore(redis)
        store.open(embedder.identity)
        _teach(store, embedder)
        chosen = Settings(responder=ResponderSettings(poll=0.001, batch=max(TURNS)))
        exchange = MemoryExchange(self._kafka, "queries", "responders", "one")
        weights = MemoryWeightsStore(redis)
        self._responder = Responder(exchange, store, weights, embedder, chosen, ResponderMetrics())
        while self._responder.unready() == ["loading the store"]:
            self._responder.step()
        self._values = [Query(text=text).encode() for text in questions()]

    def round(self, batch: int, number: int) -> Costs:
        """All questions in all variants. Those of a turn follow each other at once, in another order in each
        round, so that a slow moment of the machine meets all of them."""
        turns: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        others_began = time.process_time() - time.thread_time()
        for first in range(0, batch * TURNS[batch], batch):
            values = list(islice(cycle(self._values), first, first + batch))
            for place in range(len(VARIANTS)):
                variant = VARIANTS[(place + number + first // batch) % len(VARIANTS)]
                turns[variant].append(self._turn(variant, first, values))
        self._tracer.flush()
        return Costs(turns, time.process_time() - time.thread_time() - others_began)

    def _turn(self, variant: str, first: int, values: Sequence[bytes]) -> float:
        """CPU seconds of this thread."""
        headers = _headers(variant)
        with _off() if variant == "nothing" else ExitStack():
            self._responder.traced_by(self._tracer if variant in _TRACED else None)
            began = time.thread_time()
            self._ask([(value, headers(first + i)) for i, value in enumerate(values)])
            return time.thread_time() - began

    def _ask(self, asked: Sequence[tuple[bytes, Headers]]) -> None:
        now_ms = int(time.time() * 1000)
        self._kafka.append([Outgoing("queries", value, None, headers, 0, now_ms) for value, headers in asked])
        answered = self._kafka.partition("answers", 0).end + len(asked)
        while self._kafka.partition("answers", 0).end < answered:
            self._responder.step()


def _teach(store: MemoryEntryStore, embedder: Embedder) -> None:
    say(f"teaching {ROWS:,} entries")
    taught = pairs(ROWS)
    for first in range(0, ROWS, TAUGHT_AT_ONCE):
        block = taught[first : first + TAUGHT_AT_ONCE]
        entries = [Entry(first + i, 0, "default", pair.text, pair.answer) for i, pair in enumerate(block)]
        vectors = embedder.embed([pair.text for pair in block])
        store.append(Batch(0, first + len(block) - 1, entries, vectors), first - 1)


def _headers(variant: str) -> Callable[[int], Headers]:
    """The headers of the i-th question of a round."""
    share = _TRACED.get(variant, 0.0)

    def headers(i: int) -> Headers:
        if variant in ("nothing", "metrics"):
            return ()
        new = new_trace()
        return (TraceContext(new.trace_id, new.span_id, share > 0 and i % round(1 / share) == 0).header,)

    return headers


@contextmanager
def _off() -> Iterator[None]:
    """Nothing is counted, set, observed or timed."""
    with ExitStack() as stack:
        for kind, names in ((Counter, ["inc"]), (Gauge, ["set", "inc", "dec"]), (Histogram, ["observe"])):
            for name in names:
                stack.enter_context(patch.object(kind, name, _nothing))
        for name in ("__enter__", "__exit__"):
            stack.enter_context(patch.object(Stage, name, _nothing))
        yield


def _nothing(*_: Any, **__: Any) -> None:
    """In place of a metric."""


@contextmanager
def _tracer() -> Iterator[ExportingTracer]:
    """A tracer, and a process that takes what it sends."""
    command = [sys.executable, "-m", "tests.benchmarks._sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdout
        endpoint = f"http://127.0.0.1:{int(sink.stdout.readline())}/v1/traces"
        tracer = ExportingTracer(TracesSettings(enabled=True, endpoint=endpoint), "responder", "benchmark")
        try:
            yield tracer
        finally:
            tracer.close()
            sink.terminate()


if __name__ == "__main__":
    main(measure, rounds=9)
