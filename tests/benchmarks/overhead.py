"""What it costs a responder to be watched: metrics, exemplars and traces, each in % of a question's CPU time.

A whole turn is measured, over a broker and a store in memory: poll, embed, search, rank, deliver. With real
brokers a question takes longer, so that the shares are smaller than these. Variants are interleaved, and the
best of all rounds counts, as in `answers`. The export of spans is in the figures, the collector is not.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
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
BATCHES: Final = (1, 64)
ASKED: Final = 192
"""Questions of a round."""
VARIANTS: Final = ("nothing", "metrics", "exemplars", "traces of 1 %", "traces of all")


def measure(rounds: int) -> Report:
    report, rows = Report(), list[Sequence[object]]()
    with ExitStack() as stack:
        tracer = stack.enter_context(_tracer())
        # Learning between questions would take its share now and then, whatever is measured.
        stack.enter_context(patch.object(Rehearsing, "step", lambda *_, **__: None))
        asking = _Asking(load(EmbedderSettings().name), tracer)
        for batch in BATCHES:
            costs: dict[str, list[Costs]] = {variant: [] for variant in VARIANTS}
            for _ in range(rounds):
                for variant in VARIANTS:
                    costs[variant].append(asking.costs(variant, batch))
            best = {variant: _best(rounds_of) for variant, rounds_of in costs.items()}
            plain = best["metrics"]
            shares = [100 * (best[variant] / plain - 1) for variant in VARIANTS]
            rows.append([batch, f"{plain * 1e3:.3f}", *(f"{share:+.1f}" for share in shares)])
            report.figures |= {
                f"{variant.replace(' ', '_').replace('%', 'percent')}_{batch}_together": share
                for variant, share in zip(VARIANTS, shares, strict=True)
            }
    columns = ("together", ">CPU ms with metrics", *(f">{variant}, %" for variant in VARIANTS))
    report.table(f"a turn's question among {ROWS:,} entries, compared with metrics alone", columns, rows)
    return report


class Costs(NamedTuple):
    """CPU seconds of a round: of each of its turns, (turns,), and of the thread that sends spans."""

    turns: list[float]
    sending: float


def _best(rounds: Sequence[Costs]) -> float:
    """CPU seconds a question: of each turn, and of sending, the best of all rounds."""
    turns: float = sum(min(of_turn) for of_turn in zip(*(each.turns for each in rounds), strict=True))
    return (turns + min(each.sending for each in rounds)) / ASKED


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
        chosen = Settings(responder=ResponderSettings(poll=0.001, batch=max(BATCHES)))
        exchange = MemoryExchange(self._kafka, "queries", "responders", "one")
        weights = MemoryWeightsStore(redis)
        self._responder = Responder(exchange, store, weights, embedder, chosen, ResponderMetrics())
        while self._responder.unready() == ["loading the store"]:
            self._responder.step()
        self._values = [Query(text=text).encode() for text in islice(questions(), ASKED)]

    def costs(self, variant: str, batch: int) -> Costs:
        """Those of a round."""
        headers, turns = _headers(variant), list[float]()
        with _off() if variant == "nothing" else ExitStack():
            self._responder.traced_by(self._tracer if variant.startswith("traces") else None)
            all_began = time.process_time() - time.thread_time()
            for first in range(0, ASKED, batch):
                values = self._values[first : first + batch]
                began = time.thread_time()
                self._ask([(value, headers(first + i)) for i, value in enumerate(values)])
                turns.append(time.thread_time() - began)
            self._tracer.flush()
            return Costs(turns, time.process_time() - time.thread_time() - all_began)

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
    share = {"traces of 1 %": 100, "traces of all": 1}.get(variant)

    def headers(i: int) -> Headers:
        if variant in ("nothing", "metrics"):
            return ()
        new = new_trace()
        return (TraceContext(new.trace_id, new.span_id, share is not None and i % share == 0).header,)

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
