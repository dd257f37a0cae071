"""What `hurnet plan` predicts, beside what is measured at sizes that its figures were not taken at.

    rows and dimensions of the figures    65,536 and 245,760 of 256 and 1,024; 131,072 of 512
    of the comparison                     180,224 of 768; questions through Kafka over 200,000 of 512

A prediction is a span: all figures at their least, and at their most. `--fit` measures at the sizes of the
figures instead, and prints the constants that fit best by least squares: what to write into figures.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import numpy as np
import redis

from hurnet_schemas import Query
from hurnet_stream.adapters.embedders import load
from hurnet_stream.adapters.redis import RedisEntryStore, connect
from hurnet_stream.adapters.segments import segments_at
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import NOTHING, Batch, Entry, key_digest
from hurnet_stream.core.stored.segments import Sealing
from hurnet_stream.local import ValkeyServer
from hurnet_stream.operations.planning import formulas
from hurnet_stream.operations.planning.figures import WHICH, Numbers, numbers
from hurnet_stream.operations.planning.model import plan_of
from hurnet_stream.operations.planning.shapes import Asked, Load, Machine, Shape
from hurnet_stream.settings.segments import SegmentSettings
from hurnet_stream.settings.settings import RedisSettings
from tests.benchmarks._asker import Asker, evenly
from tests.benchmarks._fill import Taught, appended
from tests.benchmarks._holding import BLOCK, measured
from tests.benchmarks._report import Report, main, quantile, say
from tests.benchmarks._slicing import sliced
from tests.benchmarks._system import PARTITIONS, Bench, bench, pairs, produce, questions, text_event, wait_for
from tests.contract.sealed import seal_all

FITTED: Final = tuple(
    (blocks * BLOCK, d) for blocks, d in ((4, 256), (15, 256), (4, 1_024), (15, 1_024), (8, 512))
)
HELD: Final = (11 * BLOCK, 768)
SLICED: Final = (3, 768)
ASKED: Final = (200_000, 512)
RATES: Final = (5, 20)
ASKED_S: Final = 10.0
STORED: Final = 40_960
AT_ONCE: Final = 256
SEALING: Final = Sealing(rows=10_240, keep_rows=0, keep_bytes=1 << 50)
PAIR_BYTES: Final = 80.0
"""Of a text of the demo and its answer, on average."""
OPTIONS = argparse.Namespace(fit=False)


class Check(NamedTuple):
    """One number: as it was measured, and how the model has it from figures."""

    name: str
    found: float
    predicted: Callable[[Numbers], float]


def measure(rounds: int) -> Report:
    report = Report()
    if OPTIONS.fit:
        _fit(report, rounds)
        return report
    checks = [*_holding(rounds), *_slicing(), *_storing(), *_folding(), *_asking()]
    shown = []
    for name, found, predicted in checks:
        least, value, most = sorted(predicted(numbers(which)) for which in WHICH)
        report.figures |= {f"{name}, measured": found, f"{name}, predicted": value}
        inside = "yes" if least <= found <= most else f"{found / value:.2f} times"
        shown.append((name, f"{found:,.4g}", f"{value:,.4g}", f"{least:,.4g} to {most:,.4g}", inside))
    columns = ("", ">measured", ">predicted", ">its span", "within it")
    report.table("what a plan predicts, and what is measured", columns, shown)
    return report


def _load(rows: int, dimensions: int, rate: float = 0.0) -> Load:
    return Load(rows, dimensions, 0.0, rate, 0.0, text_bytes=PAIR_BYTES, replicas=1)


def _holding(rounds: int) -> Iterator[Check]:
    rows, d = HELD
    where = f"{rows:,} rows, d = {d}"
    say(f"a responder over {where}")
    found = [measured(rows, d) for _ in range(rounds)]
    tiers = measured(rows, d, tiers=True)

    def least(name: str) -> float:
        return min(each[name] for each in found)

    yield Check(
        f"{where}: bytes a row", least("bytes_a_row"), lambda n: formulas.held_bytes(_load(rows, d), n, False)
    )
    yield Check(
        f"{where}, in tiers: bytes a row",
        tiers["bytes_a_row"],
        lambda n: formulas.held_bytes(_load(rows, d), n, True),
    )
    for how in ("alone", "together"):
        yield Check(
            f"{where}: a question {how}, µs",
            least(f"{how}_us"),
            lambda n, how=how: formulas.question_us(rows, d, n, how),  # type: ignore[misc]
        )


def _slicing() -> Iterator[Check]:
    slices, d = SLICED
    say(f"{slices} slices of a block each, of {d} dimensions")
    found, asked = sliced(slices, d), _load(slices * BLOCK, d)
    for how in ("alone", "together"):
        where = f"{slices} slices of {BLOCK:,} rows, d = {d}: a question {how}, µs of"
        yield Check(
            f"{where} a slice",
            found[f"slice_{how}_us"],
            lambda n, how=how: formulas.slice_us(asked, Shape(slices), n, how),  # type: ignore[misc]
        )
        yield Check(
            f"{where} the coordinator",
            found[f"coordinator_{how}_us"],
            lambda n, how=how: formulas.gather_us(Shape(slices), n, how),  # type: ignore[misc]
        )


def _storing() -> Iterator[Check]:
    d = HELD[1]
    say("rows in Redis")
    with ValkeyServer() as server:
        for keyed in (False, True):
            name = f"Redis, d = {d}{', keyed' if keyed else ''}"
            found = _stored(server.url, d, keyed)
            asked = replace(_load(1, d), keyed=keyed, texts_s=1.0)
            yield Check(
                f"{name}: bytes a row",
                found.row_bytes,
                lambda n, asked=asked: formulas.store_bytes(asked, n),  # type: ignore[misc]
            )
            yield Check(
                f"{name}: an append, µs a text",
                found.append_us,
                lambda n, asked=asked: 1e6 * formulas.store_cores(asked, n),  # type: ignore[misc]
            )
            yield Check(
                f"{name}, sealed: bytes a row",
                found.sealed_bytes,
                lambda n, asked=asked: formulas.sealed_bytes(asked, n),  # type: ignore[misc]
            )


class Stored(NamedTuple):
    """Bytes of Redis a row, its processor time to append one in µs, and the bytes once it is sealed."""

    row_bytes: float
    append_us: float
    sealed_bytes: float


def _stored(url: str, dimension: int, keyed: bool) -> Stored:
    client, embedder, taught = redis.Redis.from_url(url), load(f"hash{dimension}"), pairs(STORED)
    client.flushall(asynchronous=False)
    (before, cpu_s), at = _used(client), NOTHING
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(_store(url, folder)) as store,
    ):
        store.open(embedder.identity)
        for first in range(0, STORED, AT_ONCE):
            part = taught[first : first + AT_ONCE]
            entries = [Entry(first + i, 0, "default", pair.text, pair.answer) for i, pair in enumerate(part)]
            keys = [key_digest(str(entry.offset).encode()) if keyed else None for entry in entries]
            vectors = embedder.embed([pair.text for pair in part])
            store.append(Batch(0, first + len(part) - 1, entries, vectors, keys=keys), at)
            at = first + len(part) - 1
        held, cpu_then_s = _used(client)
        seal_all(store, SEALING)
        sealed, _ = _used(client)
    spent_us = (cpu_then_s - cpu_s) / STORED * 1e6
    return Stored((held - before) / STORED, spent_us, (sealed - before) / STORED)


def _store(url: str, folder: str) -> RedisEntryStore:
    segments = segments_at(SegmentSettings(url=folder))
    return RedisEntryStore(connect(RedisSettings(url=url), segments))


def _used(client: redis.Redis) -> tuple[float, float]:
    """Bytes of memory, and seconds of processor time."""
    cpu = client.info("cpu")
    return client.info("memory")["used_memory"], cpu["used_cpu_user"] + cpu["used_cpu_sys"]


def _folding() -> Iterator[Check]:
    d, rng = HELD[1], np.random.default_rng(0)
    statistics, vectors = Statistics(d), rng.integers(-1_000, 1_000, (AT_ONCE, d)).astype(np.int16)
    answers, seconds = [f"answer {i % 100}" for i in range(AT_ONCE)], list[float]()
    for _ in range(40):
        began = time.process_time()
        statistics.add(vectors, answers)
        seconds.append(time.process_time() - began)
    yield Check(
        f"a solver, d = {d}: a pair, µs",
        median(seconds) / AT_ONCE * 1e6,
        lambda n: n["fold_us"] + n["fold_us_a_dimension"] * d,
    )


def _asking() -> Iterator[Check]:
    rows, d = ASKED
    say(f"questions through Kafka over {rows:,} rows of {d} dimensions")
    with bench() as servers:
        settings = servers.create_topics("plan")
        produce(settings, values := [text_event(pair) for pair in pairs(STORED)])
        said = sum(len(pair.text.encode()) + len((pair.answer or "").encode()) for pair in pairs(STORED))
        yield Check(
            "Kafka: bytes of a record beside text and answer",
            (_log_bytes(servers, settings.texts) - said) / len(values),
            lambda n: n["log_bytes"],
        )
        with servers.store("plan") as store:
            _fill(store, rows, d)
        with servers.worker("responder", "plan", f"hash{d}") as worker, Asker(settings) as asker:
            wait_for(worker.ready, [worker], every_s=0.5)
            asks = [Query(text=text).encode() for text in questions()]
            asker.flat_out(settings.queries, asks, 8, 1.0)
            for rate in RATES:
                replies = asker.on_schedule(evenly([settings.queries], asks, rate, ASKED_S))
                times = [reply.seconds * 1e3 for reply in replies]
                yield from _answered(rate, times)


def _answered(rate: int, times_ms: list[float]) -> Iterator[Check]:
    rows, d = ASKED
    asked = _load(rows, d, rate)

    def predicted(numbers_: Numbers) -> Asked:
        return plan_of(asked, Shape(), Machine(), numbers_).asked

    where = f"{rows:,} rows, d = {d}, {rate} questions a second"
    yield Check(f"{where}: p50, ms", quantile(times_ms, 0.5), lambda n: predicted(n).p50_ms)
    yield Check(f"{where}: p99, ms", quantile(times_ms, 0.99), lambda n: predicted(n).p99_ms)


def _log_bytes(servers: Bench, topic: str) -> float:
    folders = Path(servers.folder, "kafka").rglob(f"{topic}-*/*.log")
    return sum(file.stat().st_size for file in folders)


def _fill(store: RedisEntryStore, rows: int, dimension: int) -> None:
    embedder = load(f"hash{dimension}")
    store.open(embedder.identity)
    store.admit(frozenset({"default"}), 1)
    taught = pairs(rows)
    parts = (taught[first : first + 1_000] for first in range(0, rows, 1_000))
    batches = (
        Taught([p.text for p in part], [p.answer for p in part], embedder.embed([p.text for p in part]))
        for part in parts
    )
    for _ in appended(store, batches, PARTITIONS):
        pass


def _fit(report: Report, rounds: int) -> None:
    """Constants by least squares over all sizes and rounds, with the largest error of the fit."""
    sizes = [size for _ in range(rounds) for size in FITTED]
    found = []
    for rows, dimension in sizes:
        say(f"{rows:,} rows of {dimension} dimensions")
        tier = measured(rows, dimension, tiers=True)["bytes_a_row"]
        found.append(measured(rows, dimension) | {"tier_bytes_a_row": tier})
    n, d = np.array(sizes, np.float64).T
    one = np.ones_like(n)
    forms = {
        "bytes_a_row": ((one, d), ("bytes", "bytes a dimension")),
        "tier_bytes_a_row": ((one, d), ("bytes", "bytes a dimension")),
        "take_in_us": ((one, d), ("us", "us a dimension")),
        "alone_us": (
            (one, d, n / 1e3, n * d / 1e3),
            ("us", "us a dimension", "ns a row", "ns a row and dimension"),
        ),
        "together_us": (
            (one, d, n / 1e3, n * d / 1e3),
            ("us", "us a dimension", "ns a row", "ns a row and dimension"),
        ),
    }
    shown = []
    for name, (columns, units) in forms.items():
        values = np.array([each[name] for each in found])
        matrix = np.stack(columns, axis=1)
        # Relative errors count, so that the small sizes have their say.
        fitted = np.linalg.lstsq(matrix / values[:, None], np.ones_like(values), rcond=None)[0]
        error = float(np.abs(matrix @ fitted / values - 1).max())
        for unit, constant in zip(units, fitted.tolist(), strict=True):
            report.figures[f"{name}: {unit}"] = constant
            shown.append((name, unit, f"{constant:.4g}", f"{error:.0%}"))
    report.table("constants of figures.json", ("of", "unit", ">", ">largest error"), shown)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--fit", action="store_true", help="print the constants of figures.json instead")
    main(measure, rounds=2, parser=options, into=OPTIONS)
