"""The parts of ingest: each alone at full speed, and how they share the time of the real worker."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import cycle
from typing import Any, cast

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.kafka import KafkaSink, KafkaSource
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.ports import Embedder, EntryStore, Source
from hurnet_stream.settings.settings import EmbedderSettings, IngestSettings, KafkaSettings, Settings
from tests.benchmarks._fill import Taught, appended
from tests.benchmarks._system import PARTITIONS, PATIENCE_S, Bench

BATCH = IngestSettings().batch
Batches = Sequence[Sequence[str]]


def chunks(texts: Sequence[str]) -> Batches:
    """Batches as large as the worker's."""
    return [texts[i : i + BATCH] for i in range(0, len(texts) - BATCH + 1, BATCH)]


def consumer_alone(settings: KafkaSettings, group: str, seconds: float) -> float:
    """Texts a second through `KafkaSource`, from what is in the topic."""
    with closing(KafkaSource(settings, settings.texts, group)) as source:
        _until(lambda: bool(source.poll(0.5, BATCH).records))
        began, total = time.perf_counter(), 0
        while (spent := time.perf_counter() - began) < seconds and any(source.lag().values()):
            total += len(source.poll(0.5, BATCH).records)
    return total / spent


def validation_alone(values: Sequence[bytes], seconds: float) -> float:
    """Texts a second from JSON to a valid event."""
    batches = cycle([values[i : i + BATCH] for i in range(0, len(values), BATCH)])
    return rate((len([TextEvent.decode(value) for value in batch]) for batch in batches), seconds)


def embedder_alone(embedder: Embedder, batches: Batches, seconds: float) -> float:
    """Texts a second in these batches."""
    return rate((len(embedder.embed(batch)) for batch in cycle(batches)), seconds)


def append_alone(
    store: EntryStore, embedder: Embedder, batches: Batches, vectors: Vectors, seconds: float
) -> float:
    """Texts a second into the context in these batches, each with the given vectors."""
    store.open(embedder.identity)
    taught = (Taught(texts, [None] * len(texts), vectors) for texts in cycle(batches))
    return rate(appended(store, taught, PARTITIONS), seconds)


def rate(counts: Iterator[int], seconds: float) -> float:
    """Things a second over at least `seconds`; the first count is a warm-up."""
    next(counts)
    began, total = time.perf_counter(), 0
    for count in counts:
        total += count
        if (spent := time.perf_counter() - began) >= seconds:
            return total / spent
    raise AssertionError("the counts never end")


class _Timed:
    """A port whose methods' seconds are added up, each under the part that it belongs to."""

    def __init__(self, port: object, parts: Mapping[str, str], spent: Counter[str]) -> None:
        self._port = port
        self._parts = parts
        self._spent: dict[str, float] = cast(dict[str, float], spent)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        return self._wrapped(method, self._parts[name]) if name in self._parts else method

    def _wrapped(self, method: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*arguments, **named)
            finally:
                self._spent[part] += time.perf_counter() - began

        return timed


def shares(bench: Bench, topics: str, name: str, embedder: Embedder, seconds: float) -> dict[str, float]:
    """Of the time of the real worker on real servers, run in this process: the share of each part.

    What no port was called for is the worker's own: validation, above all.
    """
    spent: Counter[str] = Counter()
    kafka = bench.kafka(topics)
    settings = Settings(
        kafka=kafka,
        redis=bench.redis(name),
        embedder=EmbedderSettings(name=embedder.identity.name),
        ingest=IngestSettings(group=f"{name}-shares"),
    )
    with ExitStack() as stack:
        source = stack.enter_context(closing(KafkaSource(kafka, kafka.texts, settings.ingest.group)))
        sink = stack.enter_context(closing(KafkaSink(kafka)))
        store = stack.enter_context(bench.store(name))
        timed_source = _Timed(source, dict.fromkeys(("poll", "commit", "lag"), "consumer"), spent)
        timed_store = _Timed(store, {"append": "append", "admit": "admission"}, spent)
        timed_embedder = _Timed(embedder, {"embed": "embedding"}, spent)
        worker = Ingest(
            cast(Source, timed_source),
            cast(EntryStore, timed_store),
            sink,
            cast(Embedder, timed_embedder),
            settings,
            IngestMetrics(),
        )
        whole = _turn(worker, source, spent, seconds)
    return {part: value / whole for part, value in spent.items()} | {
        "validation": 1 - sum(spent.values()) / whole
    }


def _turn(worker: Ingest, source: Source, spent: Counter[str], seconds: float) -> float:
    """Turn the worker while it has texts; the clock starts once it has appended."""

    def appended() -> bool:
        worker.step()
        return "append" in spent

    _until(appended)
    spent.clear()
    began = time.perf_counter()
    while (whole := time.perf_counter() - began) < seconds and any(source.lag().values()):
        worker.step()
    return whole


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no text came within {PATIENCE_S:g} s")
