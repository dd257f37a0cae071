"""How soon a text can be answered with: from when it was due to be produced until a query that insists on it
(`min_watermarks`) has its answer, under a light and a heavier stream of other texts.

Such a query waits inside the responder for its text, so its time is the freshness plus scoring and delivery.
A plain query, asked at the same time of other partitions, says what these take. The responder's own histogram
(record timestamp to answerable, all texts) stands beside both. The parts on a text's way are measured alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

from hurnet_stream.adapters.embedders import load
from hurnet_stream.local.worker import WorkerProcess
from hurnet_stream.settings.settings import EmbedderSettings, KafkaSettings
from tests.benchmarks._asker import Ask, Asker
from tests.benchmarks._parts import append_alone, embedder_alone
from tests.benchmarks._report import Report, main, quantile
from tests.benchmarks._stream import TEXTS, Event, Found, Stream
from tests.benchmarks._system import Bench, bench, fill, has_weights, pairs, wait_for

EMBEDDER = EmbedderSettings().name
NAME = "freshness"
LOADS = {10: 10.0, 300: 10.0}
"""Texts a second, and for how many seconds a round."""
PROBES_PER_S = 5
PART_S = 1.0
ROWS = 2_000


def measure(rounds: int) -> Report:
    found = {texts: Found() for texts in LOADS}
    with bench() as servers:
        settings = servers.create_topics(NAME)
        parts = _parts(servers, settings)
        fill(servers, settings, NAME, EMBEDDER, ROWS)
        with _system(servers) as responder, Asker(settings) as asker:
            for _ in range(rounds):
                for texts, seconds in LOADS.items():
                    before = _histogram(responder)
                    Stream(asker, settings).run(_events(texts, seconds), found[texts])
                    found[texts].histogram += _histogram(responder) - before
    return _report(found, parts)


@contextmanager
def _system(servers: Bench) -> Iterator[WorkerProcess]:
    """All three workers; the responder, once it has weights."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(servers.worker(kind, NAME, EMBEDDER))
            for kind in ("ingest", "solver", "responder")
        ]
        wait_for(lambda: workers[0].ready() and has_weights(workers[2]), workers)
        yield workers[2]


def _events(rate: int, seconds: float) -> list[Event]:
    """Texts evenly spread, every so many a probe, and between two probes a plain query."""
    every = max(1, rate // PROBES_PER_S)
    count = int(rate * seconds)
    texts = [Event(i / rate, "probe" if i % every == 0 else "text") for i in range(count)]
    plain = [Event((i + 0.5) / rate, "plain") for i in range(every // 2, count, every)]
    return sorted(texts + plain, key=lambda event: event.due)


def _histogram(responder: WorkerProcess) -> Counter[float]:
    """Texts by the upper edge of the bucket that their freshness fell into, seconds."""
    cumulative = {
        float(sample.labels["le"]): int(sample.value)
        for family in text_string_to_metric_families(responder.page("/metrics"))
        for sample in family.samples
        if sample.name == "hurnet_freshness_seconds_bucket"
    }
    edges = [-1.0, *sorted(cumulative)]
    return Counter({edge: cumulative[edge] - cumulative.get(below, 0) for below, edge in pairwise(edges)})


def _parts(servers: Bench, settings: KafkaSettings) -> dict[str, float]:
    """Seconds that one text takes in each part on its way, alone."""
    embedder, texts = load(EMBEDDER), [pair.text for pair in pairs(TEXTS)]
    one_each = [[text] for text in texts]
    with Asker(settings) as asker, servers.store(f"{NAME}-alone") as store:
        hops = asker.on_schedule([Ask(i / 50, settings.answers, b"-") for i in range(100)])
        return {
            "broker hop": quantile([hop.seconds for hop in hops], 0.5),
            "embedding": 1 / embedder_alone(embedder, one_each, PART_S),
            "append, synced": 1 / append_alone(store, embedder, one_each, embedder.embed(texts[:1]), PART_S),
        }


def _report(found: dict[int, Found], parts: dict[str, float]) -> Report:
    report = Report()
    alone = sum(parts.values())
    rows: list[Sequence[object]] = []
    for texts, mine in found.items():
        figures = _figures(mine, alone)
        report.figures |= {f"{texts}/s {name}": value for name, value in figures.items()}
        rows.append((f"{texts}/s", len(mine.probes), *(f"{value:,.1f}" for value in figures.values())))
    report.figures |= {f"{part} alone ms": seconds * 1e3 for part, seconds in parts.items()}
    names = [f">{name.removesuffix(' ms')}" for name in _figures(next(iter(found.values())), alone)]
    report.table(f"freshness, {EMBEDDER}, milliseconds", ("texts", ">probes", *names), rows)
    report.table(
        "",
        ("parts of a text's way, each alone", ">ms"),
        [(part, f"{seconds * 1e3:.2f}") for part, seconds in {**parts, "together": alone}.items()],
    )
    return report


def _figures(found: Found, alone: float) -> dict[str, float]:
    """In the order of the table; those of the histogram are the upper edges of buckets."""
    probe, plain = quantile(found.probes, 0.5), quantile(found.plain, 0.5)
    every = list(found.histogram.elements())
    return {
        "text to answer p50 ms": probe * 1e3,
        "text to answer p99 ms": quantile(found.probes, 0.99) * 1e3,
        "plain query p50 ms": plain * 1e3,
        "plain query p99 ms": quantile(found.plain, 0.99) * 1e3,
        "difference ms": (probe - plain) * 1e3,
        "/ parts alone": (probe - plain) / alone,
        "histogram p50 ≤ ms": quantile(every, 0.5) * 1e3,
        "histogram p99 ≤ ms": quantile(every, 0.99) * 1e3,
    }


if __name__ == "__main__":
    main(measure, rounds=2)
