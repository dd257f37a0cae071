"""A first fill in bulk: 1, 2, 4 ingest processes over the partitions of a topic, to the machine's limit.

The limit is written first. One process is measured, and what it, the broker and the store take of the
processors for a text:

    one process      texts a second, and 260 µs of ingest + 6 µs of Kafka + 14 µs of Valkey for a text
    the limit        cores / 280 µs: no number of processes can do more on this machine
    2, 4 processes   texts a second, what a text takes then, and their share of the limit

Texts a second depend on what else the machine does, processor time hardly. So the share of the limit is also
given over the cores that the fill had in fact: the processor time that was spent over the time that went by.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from hurnet_stream.local import KafkaServer, ValkeyServer
from hurnet_stream.local.worker import WorkerProcess
from hurnet_stream.ports import EntryStore
from tests.benchmarks._report import Report, main, say
from tests.benchmarks._system import Bench, counted, pairs, produce, stored, text_event, wait_for

PROCESSES = (1, 2, 4)
EMBEDDERS = ("hash512", "use+hash512")
TOPICS = "bulk"
WARM = 512
"""Rows of each process before the clock starts: a model is loaded then, and memory is touched."""
TICKS_S = os.sysconf("SC_CLK_TCK")
WORKER_CPU_S = "process_cpu_seconds_total"


class Filled(NamedTuple):
    """What one fill took. The three parts are processor time for a text, in µs."""

    texts_s: float
    ingest_us: float
    kafka_us: float
    store_us: float

    @property
    def all_us(self) -> float:
        return self.ingest_us + self.kafka_us + self.store_us

    @property
    def cores(self) -> float:
        """How many it had."""
        return self.texts_s * self.all_us / 1e6


class Servers(NamedTuple):
    system: Bench
    kafka: KafkaServer
    valkey: ValkeyServer


def measure(rounds: int) -> Report:
    report = Report()
    with tempfile.TemporaryDirectory(prefix="hurnet-bulk-", ignore_cleanup_errors=True) as folder:
        data = Path(folder)
        with ValkeyServer(data / "valkey") as valkey, KafkaServer(data / "kafka") as kafka:
            servers = Servers(Bench(kafka.bootstrap, valkey.url, data), kafka, valkey)
            settings = servers.system.create_topics(TOPICS)
            produce(settings, [text_event(pair) for pair in pairs(CHOSEN.texts)])
            for embedder in EMBEDDERS:
                _measure(report, servers, embedder, rounds)
    return report


def _measure(report: Report, servers: Servers, embedder: str, rounds: int) -> None:
    filled: dict[int, list[Filled]] = {number: [] for number in PROCESSES}
    for at in range(rounds):
        for number in PROCESSES:
            filled[number].append(
                _fill(servers, f"{embedder}-{at}-{number}".replace("+", "-"), embedder, number)
            )
            say(f"{embedder}, {number} processes: {filled[number][-1].texts_s:,.0f} texts/s")
    _show(report, embedder, {number: _middle(several) for number, several in filled.items()})


def _fill(servers: Servers, prefix: str, embedder: str, processes: int) -> Filled:
    """A new store from all that is in the topic, for as long as `CHOSEN.seconds`, or until all is in."""
    own = {"HURNET_REDIS_PREFIX": prefix, "HURNET_INGEST_GROUP": prefix}
    with ExitStack() as stack:
        store = stack.enter_context(servers.system.store(prefix))
        workers = [
            stack.enter_context(servers.system.worker("ingest", TOPICS, embedder, number, own))
            for number in range(processes)
        ]
        wait_for(lambda: all(counted(worker, "hurnet_rows_total") >= WARM for worker in workers), workers)
        began, before, spent = time.perf_counter(), stored(store), _spent(servers, workers)
        rows = _until(store, began)
        seconds, now = time.perf_counter() - began, _spent(servers, workers)
    texts = rows - before
    parts = [(after - first) / texts * 1e6 for first, after in zip(spent, now, strict=True)]
    return Filled(texts / seconds, *parts)


def _until(store: EntryStore, began: float) -> int:
    """Rows once all texts are in, or time is up."""
    while (rows := stored(store)) < CHOSEN.texts and time.perf_counter() - began < CHOSEN.seconds:
        time.sleep(0.02)
    return rows


def _spent(servers: Servers, workers: Sequence[WorkerProcess]) -> tuple[float, float, float]:
    """Processor time until now in seconds: of the workers, of Kafka, of the store."""
    ingest = sum(counted(worker, WORKER_CPU_S) for worker in workers)
    return ingest, _of_process(servers.kafka.pid), _of_process(servers.valkey.pid)


def _of_process(pid: int) -> float:
    # The name stands in parentheses and may have blanks: what is counted comes behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


def _middle(several: Sequence[Filled]) -> Filled:
    return Filled(*(median(values) for values in zip(*several, strict=True)))


def _show(report: Report, embedder: str, filled: dict[int, Filled]) -> None:
    cores, one = os.cpu_count() or 1, filled[PROCESSES[0]]
    limit = cores / one.all_us * 1e6
    report.figures[f"{embedder} limit of {cores} cores texts/s"] = limit
    rows = []
    for number, each in filled.items():
        had = each.texts_s / (each.cores / one.all_us * 1e6)
        report.figures |= {
            f"{embedder} {number} texts/s": each.texts_s,
            f"{embedder} {number} ingest cpu us": each.ingest_us,
            f"{embedder} {number} kafka cpu us": each.kafka_us,
            f"{embedder} {number} store cpu us": each.store_us,
        }
        shares = f"{each.texts_s / limit:.2f}", f"{had:.2f}"
        parts = (f"{us:,.1f}" for us in (each.ingest_us, each.kafka_us, each.store_us))
        rows.append((number, f"{each.texts_s:,.0f}", *parts, f"{each.cores:.2f}", *shares))
    report.table(
        f"{embedder}: the limit of {cores} cores is {limit:,.0f} texts/s",
        (
            *("processes", ">texts/s", ">ingest µs", ">Kafka µs", ">store µs"),
            *(">cores it had", ">of the limit", ">of the limit of these"),
        ),
        rows,
    )


CHOSEN = argparse.Namespace(texts=300_000, seconds=8.0)

if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--texts", type=int, help="in the topic (default: %(default)s)")
    options.add_argument("--seconds", type=float, help="of each fill at most (default: %(default)s)")
    options.set_defaults(**vars(CHOSEN))
    main(measure, rounds=3, parser=options, into=CHOSEN)
