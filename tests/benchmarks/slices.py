"""The same rows in one responder, and in 1, 2 and 4 slices: questions a second, their times, and processors.

Each way is started, asked evenly and then flat out, and ended before the next one: on one machine slices take
the processors from each other and from their coordinator, so the rate at saturation says less than the
processor time of each process for a question, which is what machines of their own would have to give.

    processor time = what coordinator, or all slices together, have used while it was asked flat out
                     / questions that were answered

Of the constants of `hurnet plan` this measures three: what a slice takes for a question beside its search,
what each slice costs the coordinator, and what the rounds take beside the work that the plan counts already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from hurnet_schemas import Answer, Query
from hurnet_stream.adapters.kafka import ensure_topics
from hurnet_stream.local.worker import WorkerProcess
from hurnet_stream.operations.planning.figures import numbers
from hurnet_stream.operations.planning.formulas import gather_us
from hurnet_stream.operations.planning.shapes import Shape
from hurnet_stream.settings.settings import EmbedderSettings
from tests.benchmarks._asker import Asker, Reply, evenly
from tests.benchmarks._report import Report, main, milliseconds, quantile
from tests.benchmarks._system import Bench, bench, counted, fill, has_weights, questions, wait_for

ROWS = 10_000
EMBEDDER = EmbedderSettings().name
DIMENSION = 1_024
"""Of this embedder's vectors."""
NAME = "slices"
COUNTS = (0, 1, 2, 4)
"""Slices; 0: one responder with everything."""
RATE, EVEN_S = 5, 3.0
FLAT_OUT_S = 3.0
OUTSTANDING = 64
COLUMNS = (
    *("slices", ">n", ">p50 ms", ">p99 ms", ">questions/s", ">coordinator CPU ms", ">slices CPU ms"),
    *(">coordinator MB", ">largest slice MB"),
)


@dataclass(slots=True)
class Measured:
    """One way of holding the rows. CPU times are seconds for a question, memory is bytes."""

    count: int
    evenly: list[Reply]
    per_s: float
    coordinator_s: float
    slices_s: float
    coordinator_bytes: float
    slice_bytes: float

    @property
    def p50_s(self) -> float:
        """Of the questions that were asked evenly."""
        return quantile([reply.seconds for reply in self.evenly], 0.5)


def measure(rounds: int) -> Report:
    asks = [Query(text=text).encode() for text in questions()]
    found: list[Measured] = []
    with bench() as servers:
        settings = servers.create_topics(NAME)
        for count in COUNTS:
            ensure_topics(settings.model_copy(update={"queries": _topic(count)}), create=True)
        with ExitStack() as stack:
            fill(servers, settings, NAME, EMBEDDER, ROWS)
            stack.enter_context(servers.worker("solver", NAME, EMBEDDER))
            asker = stack.enter_context(Asker(settings))
            for _ in range(rounds):
                found += [_of(servers, asker, asks, count) for count in COUNTS]
    return _report(found)


def _topic(count: int) -> str:
    return f"{NAME}-queries-{count}"


def _of(servers: Bench, asker: Asker, asks: Sequence[bytes], count: int) -> Measured:
    with _running(servers, count) as (coordinator, slices):
        asker.flat_out(_topic(count), asks, OUTSTANDING, 0.5)  # what the first questions warm up
        even = asker.on_schedule(evenly([_topic(count)], asks, RATE, EVEN_S))
        for reply in even:
            if Answer.decode(reply.value).outcome not in ("answered", "abstained"):
                raise RuntimeError("not an answer")
        before = _cpu(coordinator), sum(map(_cpu, slices))
        per_s, done = asker.flat_out(_topic(count), asks, OUTSTANDING, FLAT_OUT_S)
        used = _cpu(coordinator) - before[0], sum(map(_cpu, slices)) - before[1]
        held = max(map(_resident, slices), default=0.0)
        return Measured(
            count, even, per_s, used[0] / len(done), used[1] / len(done), _resident(coordinator), held
        )


@contextmanager
def _running(servers: Bench, count: int) -> Iterator[tuple[WorkerProcess, list[WorkerProcess]]]:
    """One responder that asks so many slices, once all are ready."""
    with ExitStack() as stack:
        own = {"HURNET_SLICES_COUNT": str(count)}
        slices = [
            stack.enter_context(
                servers.worker("slice", NAME, EMBEDDER, n, {**own, "HURNET_SLICES_NUMBER": str(n)})
            )
            for n in range(count)
        ]
        asked = {
            "HURNET_KAFKA_QUERIES": _topic(count),
            "HURNET_RESPONDER_GROUP": _topic(count),
            "HURNET_RESPONDER_INSTANCE": _topic(count),
            **own,
        }
        coordinator = stack.enter_context(servers.worker("responder", NAME, EMBEDDER, variables=asked))
        wait_for(lambda: has_weights(coordinator), [coordinator, *slices])
        wait_for(lambda: counted(coordinator, "hurnet_slices") == count, [coordinator, *slices])
        yield coordinator, slices


def _cpu(worker: WorkerProcess) -> float:
    return counted(worker, "process_cpu_seconds_total")


def _resident(worker: WorkerProcess) -> float:
    return counted(worker, "process_resident_memory_bytes")


def _p50_s(found: Sequence[Measured], count: int) -> float:
    return quantile([reply.seconds for each in found if each.count == count for reply in each.evenly], 0.5)


def _more_work_ms() -> float:
    """What a question that is asked alone takes more by one slice than by one responder, by the model: its
    search is the same."""
    said = numbers()
    alone_us = said["alone_us"] + said["alone_us_a_dimension"] * DIMENSION
    return (gather_us(Shape(slices=1), said, "alone") + said["slice_alone_us"] - alone_us) / 1e3


def _report(found: Sequence[Measured]) -> Report:
    report = Report()
    rows: list[Sequence[object]] = []
    best: dict[int, Measured] = {}
    for count in COUNTS:
        of_count = [each for each in found if each.count == count]
        least = best[count] = min(of_count, key=lambda each: each.coordinator_s + each.slices_s)
        times = [reply.seconds for each in of_count for reply in each.evenly]
        rows.append(
            (
                *(count or "none", len(times)),
                *(milliseconds(quantile(times, 0.5)), milliseconds(quantile(times, 0.99))),
                f"{max(each.per_s for each in of_count):,.0f}",
                *(milliseconds(least.coordinator_s), milliseconds(least.slices_s)),
                *(f"{each / 1e6:,.0f}" for each in (least.coordinator_bytes, least.slice_bytes)),
            )
        )
        report.figures |= {
            f"{count} slices p50 ms": quantile(times, 0.5) * 1e3,
            f"{count} slices p99 ms": quantile(times, 0.99) * 1e3,
            f"{count} slices coordinator ms": least.coordinator_s * 1e3,
            f"{count} slices all slices ms": least.slices_s * 1e3,
        }
    report.table(f"slices of the same {ROWS:,} rows, {EMBEDDER}", COLUMNS, rows)
    few, many = best[1], best[max(COUNTS)]
    steps = many.count - few.count
    constants = {
        "slice_own_us": (many.slices_s - few.slices_s) / steps * 1e6,
        "gather_us_a_slice": (many.coordinator_s - few.coordinator_s) / steps * 1e6,
        "slice_rounds_ms": (_p50_s(found, 1) - _p50_s(found, 0)) * 1e3 - _more_work_ms(),
    }
    report.figures |= constants
    report.table(
        "constants of hurnet plan",
        ("constant", ">measured"),
        [(n, f"{v:,.1f}") for n, v in constants.items()],
    )
    return report


if __name__ == "__main__":
    main(measure, rounds=1)
