"""Queries through Kafka and back at several rates, beside the bare broker's round trip at the same rates.

A query's time runs from when it was due to when its answer was read as committed. Every round gives each
system its turn at each rate, so that a slow moment of the machine meets all of them alike; at one query a
second they take turns within the second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from statistics import median

from hurnet_schemas import Answer, Query
from hurnet_stream.adapters.kafka import ensure_topics
from hurnet_stream.local.worker import WorkerProcess
from hurnet_stream.settings.settings import EmbedderSettings, KafkaSettings, ResponderSettings
from tests.benchmarks._asker import Asker, Reply, evenly
from tests.benchmarks._report import Report, main, milliseconds, quantile
from tests.benchmarks._scoring import Scoring
from tests.benchmarks._system import Bench, bench, fill, has_weights, questions, wait_for

ROWS = 10_000
EMBEDDER = EmbedderSettings().name
CONTEXT = "latency"
BATCH = ResponderSettings().batch
OUTSTANDING = 4 * BATCH
SECONDS = {1: 5.0, 10: 2.0, 100: 2.0}
LEVELS = ("1/s", "10/s", "100/s", "saturation")
FLAT_OUT_S, PART_S = 2.0, 1.0
PEER = {"exactly once": "bare, transactions", "at least once": "bare"}
ONE_BY_ONE, TOGETHER = "scoring alone, one by one", f"scoring alone, {BATCH} together"
SYSTEMS = ("bare", "bare, transactions", "at least once", "exactly once")
COLUMNS = (
    *("rate", "system", ">n", ">p50 ms", ">p99 ms"),
    *(">bare peer's p50", ">difference", ">/ bare", ">/ (bare + scoring alone)", ">of it scoring ms"),
)
Times = defaultdict[tuple[str, str], list[Reply]]


def measure(rounds: int) -> Report:
    replies: Times = defaultdict(list)
    rates: defaultdict[str, list[float]] = defaultdict(list)
    with bench() as servers, _systems(servers) as (topics, settings), Asker(settings) as asker:
        asks = [Query(text=text).encode() for text in questions()]
        scoring = Scoring(servers, CONTEXT, EMBEDDER)
        for topic in topics.values():
            asker.flat_out(topic, asks, OUTSTANDING, 0.5)
        for _ in range(rounds):
            rates[ONE_BY_ONE].append(scoring.alone(asks, 1, PART_S))
            rates[TOGETHER].append(scoring.alone(asks, BATCH, PART_S))
            _in_turns(asker, topics, asks, replies)
            for rate in (10, 100):
                for system, topic in topics.items():
                    schedule = evenly([topic], asks, rate, SECONDS[rate])
                    replies[system, f"{rate}/s"] += asker.on_schedule(schedule)
            for system, topic in topics.items():
                throughput, done = asker.flat_out(topic, asks, OUTSTANDING, FLAT_OUT_S)
                rates[system].append(throughput)
                replies[system, "saturation"] += done
    return _report(replies, {what: median(found) for what, found in rates.items()})


def _in_turns(asker: Asker, topics: dict[str, str], asks: Sequence[bytes], replies: Times) -> None:
    systems = {topic: system for system, topic in topics.items()}
    for reply in asker.on_schedule(evenly(list(topics.values()), asks, 1, SECONDS[1])):
        replies[systems[reply.topic], "1/s"].append(reply)


@contextmanager
def _systems(servers: Bench) -> Iterator[tuple[dict[str, str], KafkaSettings]]:
    """Each system's topic to ask in, and the settings with the one topic of answers."""
    settings = servers.create_topics(CONTEXT)
    topics = {system: f"{CONTEXT}-{system.replace(', ', '-').replace(' ', '-')}" for system in SYSTEMS}
    for topic in topics.values():
        ensure_topics(settings.model_copy(update={"queries": topic}), create=True)
    with ExitStack() as stack:
        fill(servers, settings, CONTEXT, EMBEDDER, ROWS)
        solver = stack.enter_context(servers.worker("solver", CONTEXT, EMBEDDER))
        responders = [
            stack.enter_context(_responder(servers, topics[system], system == "exactly once"))
            for system in PEER
        ]
        for system, mode in (("bare", "plain"), ("bare, transactions", "transactions")):
            topic = topics[system]
            stack.enter_context(servers.program("tests.benchmarks._echo", topic, settings.answers, mode))
        wait_for(lambda: all(has_weights(responder) for responder in responders), [solver, *responders])
        yield topics, settings


def _responder(servers: Bench, topic: str, exactly_once: bool) -> AbstractContextManager[WorkerProcess]:
    own = {
        "HURNET_KAFKA_QUERIES": topic,
        "HURNET_RESPONDER_GROUP": topic,
        "HURNET_RESPONDER_INSTANCE": topic,
        "HURNET_RESPONDER_EXACTLY_ONCE": str(exactly_once),
    }
    return servers.worker("responder", CONTEXT, EMBEDDER, variables=own)


def _report(replies: Times, rates: dict[str, float]) -> Report:
    report = Report()
    rows: list[Sequence[object]] = []
    for level in LEVELS:
        for system in SYSTEMS:
            found = [reply.seconds for reply in replies[system, level]]
            p50, p99 = quantile(found, 0.5), quantile(found, 0.99)
            report.figures |= {f"{system} {level} p50 ms": p50 * 1e3, f"{system} {level} p99 ms": p99 * 1e3}
            own = (level, system, len(found), milliseconds(p50), milliseconds(p99))
            rows.append((*own, *_beside(report, replies, level, system, 1 / rates[ONE_BY_ONE])))
    report.table(f"query latency, {EMBEDDER}, {ROWS:,} rows", COLUMNS, rows)
    _throughput(report, rates)
    return report


def _beside(report: Report, replies: Times, level: str, system: str, scoring: float) -> Sequence[str]:
    """What the query's bare peer takes, and what of the query's time is scoring, as its receipt says."""
    if system not in PEER:
        return [""] * 5
    whole = quantile([reply.seconds for reply in replies[system, level]], 0.5)
    bare = quantile([reply.seconds for reply in replies[PEER[system], level]], 0.5)
    scored = quantile([_scoring_s(reply) for reply in replies[system, level]], 0.5)
    report.figures |= {
        f"{system} {level} of bare": whole / bare,
        f"{system} {level} of bare and scoring alone": whole / (bare + scoring),
        f"{system} {level} scoring p50 ms": scored * 1e3,
    }
    ratios = f"{whole / bare:.1f}", f"{whole / (bare + scoring):.1f}"
    return milliseconds(bare), milliseconds(whole - bare), *ratios, milliseconds(scored)


def _scoring_s(reply: Reply) -> float:
    """Seconds from polling the query to having scored it."""
    answer = Answer.decode(reply.value)
    if answer.outcome not in ("answered", "abstained") or answer.receipt is None:
        raise RuntimeError(f"not an answer: {answer}")
    return answer.receipt.seconds


def _throughput(report: Report, rates: dict[str, float]) -> None:
    report.figures |= {f"{what} per s": rate for what, rate in rates.items()}
    for system, peer in PEER.items():
        report.figures[f"{system} per s of bare"] = rates[system] / rates[peer]
        report.figures[f"{system} per s of scoring alone"] = rates[system] / rates[TOGETHER]

    def beside(what: str) -> Sequence[str]:
        others = (PEER[what], TOGETHER) if what in PEER else ()
        return [f"{rates[what] / rates[other]:.2f}" for other in others] or ["", ""]

    report.table(
        f"saturation: {OUTSTANDING} always under way",
        ("", ">queries/s", ">of the bare peer's", ">of scoring alone"),
        [(what, f"{rate:,.0f}", *beside(what)) for what, rate in rates.items()],
    )


if __name__ == "__main__":
    main(measure, rounds=2)
