"""Ingest end to end, from texts waiting in Kafka to rows in the context, beside each of its parts alone.

Every round measures everything once, one after the other, so that a slow moment of the machine meets whole
and parts alike; the figures are medians over the rounds. A machine that does other things at the same time
still slows the whole more than a part, because Kafka and Redis need processors too. So the embedder's share
is also given in processor time: what it takes for a text alone, of what the worker takes for a text.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

from hurnet_stream.adapters.embedders import DEFAULT, load
from hurnet_stream.local.worker import WorkerProcess
from hurnet_stream.ports import Embedder, EntryStore
from tests.benchmarks._parts import (
    BATCH,
    append_alone,
    chunks,
    consumer_alone,
    embedder_alone,
    shares,
    validation_alone,
)
from tests.benchmarks._report import Report, main
from tests.benchmarks._system import Bench, bench, counted, pairs, produce, stored, text_event, wait_for

EMBEDDERS = ("hash512", DEFAULT)
TEXTS = 100_000
TOPICS = "bench"
ROWS, CPU_S = "hurnet_rows_total", "process_cpu_seconds_total"
WHOLE_S, PART_S, SHARES_S = 3.0, 1.0, 3.0
PARTS = ("consumer", "validation", "embedding", "append")
Samples = defaultdict[str, list[float]]


def measure(rounds: int) -> Report:
    rates: Samples = defaultdict(list)
    taught = pairs(TEXTS)
    texts, values = [pair.text for pair in taught], [text_event(pair) for pair in taught]
    embedders = {name: load(name) for name in EMBEDDERS}
    with bench() as system:
        settings = system.create_topics(TOPICS)
        produce(settings, values)
        for number in range(rounds):
            rates["consumer"].append(consumer_alone(settings, f"alone-{number}", PART_S))
            rates["validation"].append(validation_alone(values, PART_S))
            for name, embedder in embedders.items():
                _round(system, number, name, embedder, texts, rates)
        parted = {
            name: shares(system, TOPICS, f"shares-{_plain(name)}", embedder, SHARES_S)
            for name, embedder in embedders.items()
        }
    return _report({name: median(values) for name, values in rates.items()}, parted)


def _round(
    system: Bench, number: int, name: str, embedder: Embedder, texts: Sequence[str], rates: Samples
) -> None:
    prefix = f"{_plain(name)}-{number}"
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    embedding = embedder_alone(embedder, chunks(texts), PART_S)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    rates[f"{name} embedding"].append(embedding)
    whole, worker_cpu_s = _end_to_end(system, f"{prefix}-1", name, 1)
    rates[f"{name} 1"].append(whole)
    rates[f"{name} share of cpu"].append(cpu_s / wall_s / embedding / worker_cpu_s)
    with system.store(f"{prefix}-alone") as store:
        vectors = embedder.embed(texts[:BATCH])
        rates[f"{name} append"].append(append_alone(store, embedder, chunks(texts), vectors, PART_S))
    rates[f"{name} 2"].append(_end_to_end(system, f"{prefix}-2", name, 2)[0])


def _end_to_end(system: Bench, prefix: str, embedder: str, processes: int) -> tuple[float, float]:
    """Texts a second into a new context, from all that is in the topic, by worker processes; and the seconds
    of processor time that these take for a text."""
    own = {"HURNET_REDIS_PREFIX": prefix, "HURNET_INGEST_GROUP": prefix}
    with ExitStack() as stack:
        store = stack.enter_context(system.store(prefix))
        started = [
            stack.enter_context(system.worker("ingest", TOPICS, embedder, number, own))
            for number in range(1, processes + 1)
        ]
        wait_for(lambda: all(counted(process, ROWS) >= BATCH for process in started), started)
        before, cpu_s = stored(store), _cpu_s(started)
        speed = _speed(store)
        return speed, (_cpu_s(started) - cpu_s) / (stored(store) - before)


def _cpu_s(workers: Sequence[WorkerProcess]) -> float:
    return sum(counted(worker, CPU_S) for worker in workers)


def _speed(store: EntryStore) -> float:
    """Rows a second for a while, or until all texts are in."""
    began, before = time.perf_counter(), stored(store)
    after, ended = before, began
    while after < TEXTS and ended - began < WHOLE_S:
        time.sleep(0.01)
        after, ended = stored(store), time.perf_counter()
    if ended - began < WHOLE_S / 10:
        raise RuntimeError(f"this machine needs more than {TEXTS} texts for a figure worth anything")
    return (after - before) / (ended - began)


def _plain(name: str) -> str:
    return name.replace("+", "-")


def _report(rates: dict[str, float], spent: dict[str, dict[str, float]]) -> Report:
    """The share of "validation" is what of the worker's time no port accounts for: all of its own code."""
    report = Report()
    for name in EMBEDDERS:
        alone = {part: rates.get(f"{name} {part}") or rates[part] for part in PARTS}
        _figures(report, name, rates, alone, spent[name])
        _table(report, name, rates, alone, spent[name])
    report.figures |= {
        "ingest_end_to_end_texts_per_s": report.figures[f"{DEFAULT} texts/s"],
        "ingest_share_of_slowest": report.figures[f"{DEFAULT} of slowest part alone"],
        "ingest_embedding_share_of_cpu": report.figures[f"{DEFAULT} embedding share of cpu"],
    }
    return report


def _figures(
    report: Report, name: str, rates: dict[str, float], alone: dict[str, float], spent: dict[str, float]
) -> None:
    whole = rates[f"{name} 1"]
    report.figures |= {
        f"{name} texts/s": whole,
        f"{name} texts/s, two processes": rates[f"{name} 2"],
        f"{name} of slowest part alone": whole / min(alone.values()),
        f"{name} embedding share of cpu": rates[f"{name} share of cpu"],
        f"{name} of parts in sequence": whole * sum(1 / rate for rate in alone.values()),
        **{f"{name} {part} alone texts/s": rate for part, rate in alone.items()},
        **{f"{name} {part} share": spent.get(part, 0.0) for part in (*PARTS, "admission")},
    }


def _table(
    report: Report, name: str, rates: dict[str, float], alone: dict[str, float], spent: dict[str, float]
) -> None:
    whole, slowest = rates[f"{name} 1"], min(alone, key=lambda part: alone[part])
    in_sequence = 1 / sum(1 / rate for rate in alone.values())

    def row(what: str, rate: float, share: str = "") -> tuple[str, ...]:
        return what, f"{rate:,.0f}", f"{1e6 / rate:,.1f}", share, f"{whole / rate:.2f}"

    parts = [
        row(f"{part} alone" + (" (slowest)" if part == slowest else ""), rate, f"{spent.get(part, 0):.0%}")
        for part, rate in alone.items()
    ]
    report.table(
        f"ingest, {name}, batches of {BATCH}",
        ("", ">texts/s", ">µs a text", ">share of the worker's time", ">one process / this"),
        [
            row("one process, end to end", whole, "100%"),
            row("two processes, end to end", rates[f"{name} 2"]),
            *parts,
            ("admission of context names", "", "", f"{spent.get('admission', 0):.0%}", ""),
            row("all parts in sequence", in_sequence),
            ("embedding, of the worker's processor time", "", "", f"{rates[f'{name} share of cpu']:.0%}", ""),
        ],
    )


if __name__ == "__main__":
    main(measure, rounds=2)
