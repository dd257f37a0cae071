"""120,000 generated messages through the real decoders, dead letters and answers, over adapters in memory.

Each is a valid message that was spoilt: bytes changed, cut, repeated or moved, values replaced by odd ones,
with odd keys, headers and timestamps. What is expected follows from the wire format alone: a record is in the
context or has one dead letter, a query has one answer, feedback is taught once or has one dead letter, and
nothing raises.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from hurnet_schemas import Answer, DeadLetter
from hurnet_schemas.feedback import SOURCE
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.stored.batch import Batch
from hurnet_stream.feedback.feedback import FeedbackWorker
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.metrics.feedback import FeedbackMetrics
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import Outgoing
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import Settings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.kafka import MemoryKafka
from tests.memory.redis import MemoryRedis
from tests.memory.sink import MemorySink
from tests.memory.source import MemorySource
from tests.memory.weights_store import MemoryWeightsStore

RECORDS = 80_000
QUERIES = 20_000
FEEDBACK = 20_000
LARGEST_MESSAGE = 900_000
EMBEDDER = HashedText(32)
TOPICS = ("texts", "queries", "answers", "feedback", "dead-letters")

ODD_VALUES: list[object] = [
    *(None, True, False, 0, -1, 1, 0.5, 1e308, 2**31, 2**63, 2**64, -(2**63), 10**40),
    *(
        "",
        " ",
        "\t\n",
        "\0",
        "\x1b[2J",
        "\u202e",
        "\ud800",
        "\ufeff",
        "\u0301",
        "\u200b",
        "🦄",
        "é",
        "e\u0301",
    ),
    *("שָׁלוֹם", "नमस्ते", "你好", "ﷺ", "ǅ", "İ", "ß", "\U0010ffff", "default", "a" * 300, "x y " * 50),
    *([], {}, [[]], {"": ""}, ["a"] * 20, {"partition": 0, "offset": 0}, {"0": 0}, {"9": 2**62}),
]
ODD_BYTES = [
    b"",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xef\xbb\xbf",
    b"{",
    b"}",
    b'"',
    b"\\",
    b"[" * 300,
]
ODD_HEADERS = ("correlation-id", "reply-to", "forget", "context", "traceparent", "", "x" * 300, "\u202e")
ODD_TIMES = (None, 0, -1, 1, 10**9, 10**12, 10**15, 2**63 - 1, -(2**63))
TEXT = {
    "text": "turn on the light",
    "answer": "on",
    "context": "home",
    "metadata": {"k": "v"},
    "weight": 3,
    "v": 1,
}
QUERY = {
    **{"text": "turn on the light", "context": "home", "id": "q", "top_k": 3, "timeout_ms": 1, "v": 1},
    **{"min_watermarks": {"0": 1}, "exclude": {"partition": 0, "offset": 1}},
}
SAID = {
    **{"question": "lights pls", "verdict": "wrong", "answer": "on", "given": "off", "context": "home"},
    **{"query": "queries/0/1", "v": 1},
}


def spoilt(valid: dict[str, object], r: random.Random) -> bytes | None:
    """A valid message with one to three things wrong, or nothing wrong."""
    if r.random() < 0.02:
        return None
    message = dict(valid)
    for name in r.sample(sorted(valid), r.randrange(len(valid))):
        del message[name]
    for _ in range(r.randrange(3)):
        name = r.choice([*valid, *valid, "txet", "", "\u202e", "x" * 1_000])
        message[name] = r.choice(ODD_VALUES)
    raw = json.dumps(message, ensure_ascii=r.random() < 0.5).encode("utf-8", "surrogatepass")
    for _ in range(r.choice((0, 0, 0, 1, 2))):
        raw = r.choice(SPOILERS)(raw, r)
    return raw


def _insert(raw: bytes, r: random.Random) -> bytes:
    at = r.randrange(len(raw) + 1)
    return raw[:at] + r.choice(ODD_BYTES) + raw[at:]


def _cut(raw: bytes, r: random.Random) -> bytes:
    return raw[: r.randrange(len(raw) + 1)]


def _flip(raw: bytes, r: random.Random) -> bytes:
    at = r.randrange(len(raw)) if raw else 0
    return raw[:at] + bytes([r.randrange(256)]) + raw[at + 1 :]


def _repeat(raw: bytes, r: random.Random) -> bytes:
    first, last = sorted((r.randrange(len(raw) + 1), r.randrange(len(raw) + 1)))
    return raw[:last] + raw[first:last] * r.randrange(4) + raw[last:]


SPOILERS: list[Callable[[bytes, random.Random], bytes]] = [_insert, _cut, _flip, _repeat]


def hostile(topic: str, valid: dict[str, object], count: int, r: random.Random) -> Iterator[Outgoing]:
    for _ in range(count):
        names = r.sample(ODD_HEADERS, r.choice((0, 0, 0, 1, 2)))
        headers = tuple((name, r.choice([*ODD_BYTES, b"1", b"answers", b"a" * 2_000])) for name in names)
        key = r.choice([None, b"k", b"k", *ODD_BYTES, b"k" * 2_000])
        yield Outgoing(topic, spoilt(valid, r), key, headers, partition=0, timestamp_ms=r.choice(ODD_TIMES))


def log_of(*messages: Outgoing) -> MemoryKafka:
    log = MemoryKafka()
    for topic in TOPICS:
        log.create(topic)
    log.append(messages)
    return log


def letters(kafka: MemoryKafka) -> list[DeadLetter]:
    """All dead letters, each small."""
    raw = [record.value for record in kafka.records("dead-letters")]
    assert max(map(len, filter(None, raw)), default=0) < 20_000
    return [DeadLetter.decode(value) for value in raw]


def whole(store: MemoryEntryStore) -> Iterator[Batch]:
    positions: dict[int, int] = {}
    while batches := store.tail(positions, 64).batches:
        yield from batches
        positions |= {batch.partition: batch.watermark for batch in batches}


@pytest.mark.parametrize("seed", range(4))
def test_every_record_is_in_the_context_or_has_one_dead_letter(seed: int) -> None:
    log = log_of(*hostile("texts", TEXT, RECORDS // 4, random.Random(seed)))
    store = MemoryEntryStore(MemoryRedis())
    settings = Settings.model_validate(
        {"ingest": {"poll": 0.0, "dead_letters_in_a_row": 10**6, "dead_letters_share": 1}}
    )
    ingest = Ingest(
        MemorySource(log, "texts", "g"), store, MemorySink(log), EMBEDDER, settings, IngestMetrics()
    )
    while store.state(0).watermark < RECORDS // 4 - 1:
        ingest.step()
    dead = Counter(letter.offset for letter in letters(log))
    batches = list(whole(store))
    held = [entry.offset for batch in batches for entry in batch.entries]
    deletions = [batch.deletion for batch in batches if batch.deletion]
    deletes = [deletion.offset for deletion in deletions if not deletion.replaces]
    # A later text of the same batch took their place before they got into the store.
    named = {target for deletion in deletions if deletion.replaces for target in deletion.targets}
    overtaken = named - {*held}
    assert max(dead.values()) == 1
    assert len(held) > RECORDS // 40, "the generator spoils everything: it tries only the way out"
    assert len(dead) > RECORDS // 40
    assert sorted([*held, *deletes, *dead, *overtaken]) == list(range(RECORDS // 4))


@pytest.mark.parametrize("seed", range(4))
def test_every_query_has_one_answer(seed: int) -> None:
    taught = [
        Outgoing("texts", json.dumps({**TEXT, "text": f"turn on light {i}"}).encode()) for i in range(50)
    ]
    log = log_of(*taught, *hostile("queries", QUERY, QUERIES // 4, random.Random(seed)))
    server, settings = (
        MemoryRedis(),
        Settings.model_validate({"ingest": {"poll": 0.0}, "responder": {"poll": 0.0, "wait": 0.001}}),
    )
    store = MemoryEntryStore(server)
    ingest = Ingest(
        MemorySource(log, "texts", "g"), store, MemorySink(log), EMBEDDER, settings, IngestMetrics()
    )
    while store.state(0).watermark < len(taught) - 1:
        ingest.step()
    exchange = MemoryExchange(log, "queries", "r", "one")
    responder = Responder(exchange, store, MemoryWeightsStore(server), EMBEDDER, settings, ResponderMetrics())
    while log.group("queries", "r").committed.get(0, 0) < QUERIES // 4:
        responder.step()
    records = log.records("answers")
    answers = [Answer.decode(record.value) for record in records]
    outcomes = Counter(answer.outcome for answer in answers)
    assert len(answers) == QUERIES // 4
    assert max(len(record.value or b"") for record in records) <= LARGEST_MESSAGE
    assert outcomes["rejected"] == len(letters(log))
    assert outcomes["answered"] > QUERIES // 100
    assert outcomes["rejected"] > QUERIES // 40


@pytest.mark.parametrize("seed", range(2))
def test_feedback_is_taught_once_or_has_one_dead_letter(seed: int) -> None:
    log = log_of(*hostile("feedback", SAID, FEEDBACK // 2, random.Random(seed)))
    settings = Settings.model_validate({"feedback": {"poll": 0.0}})
    worker = FeedbackWorker(MemoryExchange(log, "feedback", "f", "one"), settings, FeedbackMetrics())
    while log.group("feedback", "f").committed.get(0, 0) < FEEDBACK // 2:
        worker.step()
    dead = [letter.offset for letter in letters(log)]
    taught = log.records("texts")
    lessons = [
        int((record.header(SOURCE) or b"").rpartition(b"/")[2]) for record in taught if not record.value
    ]
    assert sorted([*dead, *lessons]) == list(range(FEEDBACK // 2))
    assert len(lessons) > FEEDBACK // 40
    store = MemoryEntryStore(MemoryRedis())
    ingest = Ingest(
        *(MemorySource(log, "texts", "g"), store, MemorySink(log), EMBEDDER),
        *(Settings.model_validate({"ingest": {"poll": 0.0}}), IngestMetrics()),
    )
    end = log.partition("texts", 0).end
    while store.state(0).watermark < taught[-1].offset < end:
        ingest.step()
    # A question that embeds to zero can't be taught. All else is valid for those who read texts.
    assert {letter.reason for letter in letters(log)[len(dead) :]} <= {"zero-vector"}
