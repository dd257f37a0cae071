"""What it costs that a text takes the place of the one under its key: in Redis, ingest, solver, responder.

The same keys are taken in twice with other texts, first appended and then replaced: in the order in which
they came, as a table does that is sent anew, and in a random order, as changes come. In the latter nearly
each text replaces one of another batch, so that a batch of the store is read for each.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from random import Random
from typing import Any, Final

import numpy as np

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.embedders import load
from hurnet_stream.adapters.kafka import KafkaSink
from hurnet_stream.adapters.redis import RedisEntryStore
from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.rule.halves import undivided
from hurnet_stream.core.stored.batch import NOTHING, Batch, Entry, key_digest
from hurnet_stream.ports import Appended, Checkpoint, Outgoing
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.settings.settings import KafkaSettings
from hurnet_stream.solver.learning import learn
from hurnet_stream.solver.unlearning import unlearn
from tests.benchmarks._report import Report, main
from tests.benchmarks._system import PARTITIONS, Bench, bench, counted, pairs, stored, wait_for

ROWS: Final = 20_000
BATCH: Final = 256
EMBEDDERS: Final = ("hash512", "use+hash512")
ORDERS: Final = ("in order", "at random")


def measure(rounds: int) -> Report:
    report = Report()
    with bench() as servers:
        for number in range(rounds):
            rows = [row for order in ORDERS for row in _inside(servers, report, order, number)]
            report.table(
                "a text that replaces another, inside", ("order", "what", ">appended", ">replaced"), rows
            )
        report.table(
            "end to end, one ingest, texts/s",
            ("embedder", ">new keys", ">changed", ">unchanged", ">reused"),
            [_whole(servers, report, name) for name in EMBEDDERS],
        )
    return report


def _inside(servers: Bench, report: Report, order: str, number: int) -> Iterator[Sequence[object]]:
    """Without Kafka and embedder: batches of one shard, whose vectors are given."""
    embedder = load("hash512")
    with servers.store(f"inside-{number}-{order.replace(' ', '-')}") as store:
        store.open(embedder.identity, writing=True)
        keys = list(range(ROWS))
        redis: dict[str, float] = {}
        rates: dict[str, float] = {}
        for round_of, upsert in (("appended", False), ("replaced", True)):
            if upsert and order == "at random":
                Random(1).shuffle(keys)
            cpu, began = _cpu_s(store), time.perf_counter()
            for batch in _batches(keys, ROWS if upsert else 0, embedder.identity.dimension):
                assert isinstance(store.append(batch, int(batch.columns.offsets[0]) - 1), Appended)
            rates[round_of] = ROWS / (time.perf_counter() - began)
            redis[round_of] = 1e6 * (_cpu_s(store) - cpu) / ROWS
        yield order, "rows/s into Redis", *(f"{rates[name]:,.0f}" for name in rates)
        yield order, "Redis, us a row", *(f"{redis[name]:,.1f}" for name in redis)
        batches = list(_read(store))
        solver, responder = _folded(store, batches, embedder.identity.dimension)
        yield order, "solver, us a row", *(f"{us:,.0f}" for us in solver)
        yield order, "responder, us a row", *(f"{us:,.0f}" for us in responder)
        began = time.perf_counter()
        wanted = [(key_digest(b"%d" % key), "default") for key in keys[:1_024]]
        for first in range(0, 1_024, BATCH):
            store.under_keys(0, wanted[first : first + BATCH])
        look_up_us = 1e6 * (time.perf_counter() - began) / 1_024
        yield order, "looking a vector up, us a text", "", f"{look_up_us:,.0f}"
        name = order.replace(" ", "_")
        figures = {"rate": rates, "redis_us": redis}
        for what, each in figures.items():
            for kind, value in each.items():
                report.figures[f"{name}_{kind}_{what}"] = value
        report.figures[f"{name}_look_up_us"] = look_up_us
        report.figures[f"{name}_solver_us"], report.figures[f"{name}_responder_us"] = solver[1], responder[1]


def _batches(keys: Sequence[int], first: int, dimension: int) -> Iterator[Batch]:
    random = np.random.default_rng(first)
    for begin in range(0, len(keys), BATCH):
        some = keys[begin : begin + BATCH]
        offsets = range(first + begin, first + begin + len(some))
        entries = [
            Entry(o, o, "default", f"text number {k} at {o}", f"answer {k % 500}")
            for o, k in zip(offsets, some, strict=True)
        ]
        vectors = random.integers(-900, 900, (len(some), dimension), np.int16)
        digests = [key_digest(b"%d" % key) for key in some]
        yield Batch(0, offsets[-1], entries, vectors, keys=digests, replaces=[bool(first)] * len(some))


def _read(store: RedisEntryStore) -> Iterator[Batch]:
    position = NOTHING
    while found := store.tail({0: position}, 32).batches:
        yield from found
        position = found[-1].watermark


def _folded(
    store: RedisEntryStore, batches: Sequence[Batch], dimension: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Microseconds a row of the solver and of a responder, for what is appended and for what replaces."""
    checkpoint, kernel_map = Checkpoint(), KernelMap("none", dimension)
    memory = LoadedContexts(undivided(dimension))
    solver, responder = [], []
    for replaces in (False, True):
        chosen = [batch for batch in batches if bool(batch.deletion) == replaces]
        began = time.perf_counter()
        for first in range(0, len(chosen), 16):
            portion = chosen[first : first + 16]
            learn(checkpoint.statistics, portion, kernel_map)
            for _ in unlearn(store, checkpoint, portion, kernel_map):
                pass
        solver.append(1e6 * (time.perf_counter() - began) / ROWS)
        began = time.perf_counter()
        for batch in chosen:
            memory.append(batch)
        responder.append(1e6 * (time.perf_counter() - began) / ROWS)
    assert memory.rows() == {"default": ROWS}
    return (solver[0], solver[1]), (responder[0], responder[1])


def _whole(servers: Bench, report: Report, embedder: str) -> Sequence[object]:
    """Through Kafka and the real worker: new keys, the same with other texts, and these once more."""
    name = f"whole-{embedder.replace('+', '-')}"
    settings = servers.create_topics(name)
    count = ROWS if embedder == "hash512" else ROWS // 4
    texts, rates = pairs(2 * count), []
    with servers.store(name) as store, servers.worker("ingest", name, embedder) as worker:
        for part, first in enumerate((0, count, count)):
            values = [
                TextEvent(text=pair.text, answer=pair.answer).encode()
                for pair in texts[first : first + count]
            ]
            if not part:  # the worker is up
                _send(settings, values[:1], "warm")
                wait_for(lambda: counted(worker, "hurnet_records_total") >= 1, [worker])
            before = stored(store)
            began = time.perf_counter()
            _send(settings, values, "key")
            wait_for(lambda before=before: stored(store) >= before + count, [worker])  # type: ignore[misc]
            rates.append(count / (time.perf_counter() - began))
        reused = counted(worker, "hurnet_vectors_reused_total")
    for kind, rate in zip(("new", "changed", "unchanged"), rates, strict=True):
        report.figures[f"{name}_{kind}_rate"] = rate
    report.figures[f"{name}_reused"] = reused
    return (embedder, *(f"{rate:,.0f}" for rate in rates), f"{reused:,.0f}")


def _send(settings: KafkaSettings, values: Sequence[bytes], key: str) -> None:
    with closing(KafkaSink(settings)) as sink:
        for first in range(0, len(values), 1_000):
            sink.send(
                [
                    Outgoing(settings.texts, value, f"{key} {number}".encode(), partition=number % PARTITIONS)
                    for number, value in enumerate(values[first : first + 1_000], first)
                ]
            )


def _cpu_s(store: RedisEntryStore) -> float:
    client: Any = store.connection.client
    info = client.info("cpu")
    return float(info["used_cpu_user"] + info["used_cpu_sys"])


if __name__ == "__main__":
    main(measure, rounds=1)
