"""The demo's second half: the held-out questions through Kafka, and what their answers are worth."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import TypeVar

from hurnet.adapters.redis import RedisEntryStore, connect
from hurnet.demo.data import Pair
from hurnet.demo.stream import EntryId, Stuck
from hurnet.local.system import LocalSystem
from hurnet.terminal.client import CORRELATION, Client, reader
from hurnet_schemas import Answer, Candidate, Query

T = TypeVar("T", bound=Hashable)

RATE, TIMED = 20.0, 120
"""Questions a second, and how many, while latency is measured: traffic, not a flood."""
AT_ONCE = 1e6
ALL_CANDIDATES = 100
PATIENCE = 90.0

PARTS: Mapping[str, str] = {
    "rule": "combined",
    "nearest neighbour": "memory",
    "weights": "weights",
    "local": "local",
    "words": "words",
}
"""What an answer can be chosen by: the rule, or one part of it alone."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its answer, and the seconds from sending the one to having read the other."""

    pair: Pair
    answer: Answer
    seconds: float


def ask_all(
    client: Client, system: LocalSystem, name: str, pairs: Sequence[Pair], top_k: int, rate: float
) -> list[Asked]:
    """Ask every question at `rate` a second, whether answers to earlier ones are there or not; in order.

    Raises `Stuck` when answers are missing after `PATIENCE` seconds, and `ProcessDied`.
    """
    began = time.monotonic()
    sent: dict[str, float] = {}
    asked: dict[str, Asked] = {}
    deadline = began + len(pairs) / rate + PATIENCE
    while len(asked) < len(pairs):
        now = time.monotonic()
        due = min(len(pairs), 1 + int((now - began) * rate))
        fresh = range(len(sent), due)
        queries = {f"{name}-{i}": Query(text=pairs[i].text, top_k=top_k) for i in fresh}
        sent |= dict.fromkeys(queries, now)
        client.send(queries)
        wait = began + due / rate - time.monotonic() if due < len(pairs) else 0.25
        for reply in client.replies(max(0.001, wait)):
            if (at := sent.get(reply.correlation)) is not None and reply.correlation not in asked:
                pair = pairs[int(reply.correlation.rpartition("-")[2])]
                asked[reply.correlation] = Asked(pair, reply.answer, reply.received - at)
        system.check()
        if now > deadline:
            raise Stuck(f"{len(pairs) - len(asked)} of {len(pairs)} questions were not answered")
    return [asked[correlation] for correlation in sent]


def chosen(answer: Answer, part: str) -> Candidate | None:
    """The candidate that `part` of the score alone puts first; the rule's own order breaks ties."""

    def score(candidate: Candidate) -> float:
        value = getattr(candidate.scores, part)
        return float("-inf") if value is None else float(value)

    return max(answer.candidates, key=score, default=None)


def accuracy(asked: Sequence[Asked], part: str) -> float:
    """Share of questions whose answer is right when chosen by `part`, whatever the threshold."""
    return sum(is_right(item, part) for item in asked) / max(1, len(asked))


def is_right(asked: Asked, part: str = "combined") -> bool:
    candidate = chosen(asked.answer, part)
    return candidate is not None and candidate.answer == asked.pair.answer


def latencies(asked: Sequence[Asked]) -> tuple[float, float]:
    """Seconds: the median, and what 99 in 100 stay below."""
    cuts = quantiles((item.seconds for item in asked), n=100, method="inclusive")
    return cuts[49], cuts[98]


def lost_texts(system: LocalSystem, placed: Mapping[EntryId, Pair]) -> list[str]:
    """What differs between Kafka's acknowledgements and the context, in words; empty when nothing does."""
    store = RedisEntryStore(connect(system.redis))
    found: Counter[tuple[int, int, str]] = Counter()
    positions: dict[int, int] = {}
    try:
        while batches := store.tail(positions, 1_000).batches:
            for batch in batches:
                found.update((batch.partition, entry.offset, entry.text) for entry in batch.entries)
                positions[batch.partition] = batch.watermark
    finally:
        store.close()
    expected = Counter((*at, pair.text) for at, pair in placed.items())
    return _differences("texts", found, expected)


def lost_answers(system: LocalSystem, correlations: Sequence[str]) -> list[str]:
    """What differs between the questions asked and the whole topic of answers, in words."""
    consumer = reader(system.kafka, system.kafka.answers, from_end=False)
    found: Counter[str] = Counter()
    try:
        ends = consumer.end_offsets(list(consumer.assignment()))
        while any(consumer.position(at) < end for at, end in ends.items()):
            for batch in consumer.poll(timeout_ms=500).values():
                found.update(str(dict(record.headers).get(CORRELATION, b""), "utf-8") for record in batch)
    finally:
        consumer.close()
    return _differences("answers", found, Counter(correlations))


def _differences(what: str, found: Counter[T], expected: Counter[T]) -> list[str]:
    missing, extra = (expected - found).total(), (found - expected).total()
    sides = {"missing": missing, "too many": extra}
    return [f"{count:,} {what} {side}" for side, count in sides.items() if count]
