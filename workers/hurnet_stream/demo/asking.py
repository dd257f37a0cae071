"""The demo's second half: questions through Kafka, and how many of the answers are right."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import TypeVar

from hurnet_schemas import Answer, Candidate, Query
from hurnet_stream.adapters.kafka.reading.apart import reader
from hurnet_stream.adapters.redis import RedisEntryStore, connect
from hurnet_stream.demo.data import Pair
from hurnet_stream.demo.stream import EntryId, Stuck
from hurnet_stream.local.system import LocalSystem
from hurnet_stream.ports import CORRELATION_ID
from hurnet_stream.terminal.client import Client

T = TypeVar("T", bound=Hashable)

RATE, TIMED = 20.0, 120
"""While latency is measured: questions a second, and how many of them. That is traffic, not a flood."""
AT_ONCE = 1e6
"""Questions a second, if they are not to wait for each other."""
ALL_CANDIDATES = 100
PATIENCE_S = 90.0

SIGNALS: Mapping[str, str] = {
    "rule": "combined",
    "nearest neighbour": "memory",
    "meaning": "meaning",
    "spelling": "spelling",
    "rare words": "lexical",
    "weights": "weights",
}
"""What an answer can be chosen by: the whole rule, or one of its parts: heading -> field of `Scores`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its answer, and the seconds from sending the one until the other was read."""

    pair: Pair
    answer: Answer
    seconds: float


def ask_all(
    client: Client, system: LocalSystem, name: str, pairs: Sequence[Pair], top_k: int, rate: float
) -> list[Asked]:
    """Ask the questions in order, `rate` a second, without waiting for the answers to earlier ones.

    Raises `ProcessDied`, and `Stuck` if answers are missing after `PATIENCE_S` seconds.
    """
    began = time.monotonic()
    sent: dict[str, float] = {}
    asked: dict[str, Asked] = {}
    deadline = began + len(pairs) / rate + PATIENCE_S
    while len(asked) < len(pairs):
        now = time.monotonic()
        due = min(len(pairs), 1 + int((now - began) * rate))
        fresh = range(len(sent), due)
        queries = {f"{name}-{i}": Query(text=pairs[i].text, top_k=top_k) for i in fresh}
        sent |= dict.fromkeys(queries, now)
        client.send(queries)
        wait = began + due / rate - time.monotonic() if due < len(pairs) else 0.25
        for reply in client.replies(max(0.001, wait)):
            if (sent_at := sent.get(reply.correlation)) is not None and reply.correlation not in asked:
                pair = pairs[int(reply.correlation.rpartition("-")[2])]
                asked[reply.correlation] = Asked(pair, reply.answer, reply.received - sent_at)
        system.check()
        if now > deadline:
            raise Stuck(f"{len(pairs) - len(asked)} of {len(pairs)} questions were not answered")
    return [asked[correlation] for correlation in sent]


def chosen(answer: Answer, signal: str) -> Candidate | None:
    """The candidate that one signal alone puts first. If several score the same, the rule's order decides."""

    def score(candidate: Candidate) -> float:
        value = getattr(candidate.scores, signal)
        return float("-inf") if value is None else float(value)

    return max(answer.candidates, key=score, default=None)


def accuracy(asked: Sequence[Asked], signal: str) -> float:
    """The share of questions that one signal alone answers right. The threshold plays no part."""
    return sum(is_right(item, signal) for item in asked) / max(1, len(asked))


def is_right(asked: Asked, signal: str = "combined") -> bool:
    candidate = chosen(asked.answer, signal)
    return candidate is not None and candidate.answer == asked.pair.answer


def latencies(asked: Sequence[Asked]) -> tuple[float, float]:
    """In seconds: the median, and what 99 of 100 stay below."""
    cuts = quantiles((item.seconds for item in asked), n=100, method="inclusive")
    return cuts[49], cuts[98]


def lost_texts(system: LocalSystem, placed: Mapping[EntryId, Pair]) -> list[str]:
    """In words, how the store differs from the texts that Kafka acknowledged. Empty if it does not."""
    store = RedisEntryStore(connect(system.redis))
    stored: Counter[tuple[int, int, str]] = Counter()
    positions: dict[int, int] = {}
    try:
        while batches := store.tail(positions, 1_000).batches:
            for batch in batches:
                stored.update((batch.partition, entry.offset, entry.text) for entry in batch.entries)
                positions[batch.partition] = batch.watermark
    finally:
        store.close()
    expected = Counter((*entry_id, pair.text) for entry_id, pair in placed.items())
    return _differences("texts", stored, expected)


def lost_answers(system: LocalSystem, correlations: Sequence[str]) -> list[str]:
    """In words, how the topic of answers differs from the questions. Empty if it does not."""
    consumer = reader(system.kafka, system.kafka.answers, from_end=False)
    answered: Counter[str] = Counter()
    try:
        ends = consumer.end_offsets(list(consumer.assignment()))
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for batch in consumer.poll(timeout_ms=500).values():
                answered.update(
                    str(dict(record.headers).get(CORRELATION_ID, b""), "utf-8") for record in batch
                )
    finally:
        consumer.close()
    return _differences("answers", answered, Counter(correlations))


def _differences(what: str, there: Counter[T], expected: Counter[T]) -> list[str]:
    missing, extra = (expected - there).total(), (there - expected).total()
    sides = {"missing": missing, "too many": extra}
    return [f"{count:,} {what} {side}" for side, count in sides.items() if count]
