"""Marked words go in wherever a user's text, answer or key can: none comes out where it has no place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import get_args

import pytest
import structlog

from hurnet_schemas import Feedback, Query, TextEvent
from hurnet_schemas.dead_letter import Reason
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.dead_letters import UNQUOTED
from hurnet_stream.feedback.feedback import FeedbackWorker
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.metrics.feedback import FeedbackMetrics
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.metrics.registry import Registry
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import CORRELATION_ID, REPLY_TO, Headers, Outgoing
from hurnet_stream.responder.responder import Responder
from hurnet_stream.runtime.logs import configure
from hurnet_stream.settings.feedback import FeedbackSettings
from hurnet_stream.settings.privacy import PrivacySettings
from hurnet_stream.settings.settings import IngestSettings, LogSettings, ResponderSettings, Settings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.kafka import MemoryKafka
from tests.memory.redis import MemoryRedis
from tests.memory.sink import MemorySink
from tests.memory.source import MemorySource
from tests.memory.weights_store import MemoryWeightsStore
from tests.unit.test_traces import Recorded

MARK = "kanarienwort"
"""In every text, key, header, field and context name that these tests send."""
POISON = "gift"
"""The embedder fails on it, and its exception quotes the text."""
TURNS = 12


class Quoting(HashedText):
    """An embedder whose exceptions quote what they were given."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self._refusing(texts, super().embed)

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return self._refusing(texts, super().embed_questions)

    @staticmethod
    def _refusing(texts: Sequence[str], embed: Callable[[Sequence[str]], Vectors]) -> Vectors:
        for text in texts:
            if POISON in text:
                raise ValueError(f"can't embed {text!r}")
        return embed(texts)


def said(**fields: object) -> bytes:
    return json.dumps(fields).encode()


BAD: tuple[bytes, ...] = (
    f"{MARK} is no JSON".encode(),
    MARK.encode() + b"\xff",
    said(text=f"a {MARK}", **{MARK: 1}),
    said(text=f"a {MARK}", v=MARK),
    said(text=f"{MARK} {POISON}"),
    said(text=MARK, context=f"{MARK.upper()}!"),
    said(text=MARK, metadata={MARK: "\x00"}),
    said(text=MARK * 5_000),
    said(text=[MARK]),
    said(question=MARK, verdict=MARK),
    said(question=MARK, verdict="wrong"),
    b'["%s"]' % MARK.encode(),
)
TOMBSTONES: tuple[Headers, ...] = (
    (("forget", MARK.encode()),),
    (("drop-context", MARK.upper().encode()),),
    (("forget", b"1"), ("drop-context", MARK.encode())),
    (("context", MARK.upper().encode()),),
    (("forget", b"999999"),),
)
HEADERS: tuple[Headers, ...] = (
    ((REPLY_TO, f"refused-{MARK}".encode()),),
    ((REPLY_TO, f"answers-{MARK}".encode()),),
    ((CORRELATION_ID, MARK.encode() * 100),),
    (("traceparent", MARK.encode()), ("x", MARK.encode())),
)


class Everything:
    """Ingest, responder and feedback on one broker and one store, traced, and what they write down."""

    def __init__(self, excerpts: bool) -> None:
        self.kafka, self.redis, self.traced = MemoryKafka(), MemoryRedis(), Recorded()
        for topic in ("texts", "queries", "answers", "feedback", "dead-letters"):
            self.kafka.create(topic)
        self.settings = Settings(
            ingest=IngestSettings(poll=0),
            responder=ResponderSettings(poll=0, instance="one"),
            feedback=FeedbackSettings(poll=0),
            privacy=PrivacySettings(excerpts=excerpts),
        )
        self.metrics: list[Registry] = []

    def run(self) -> None:
        embedder = Quoting(32)
        store, weights = MemoryEntryStore(self.redis), MemoryWeightsStore(self.redis)
        of_ingest, of_responder, of_feedback = IngestMetrics(), ResponderMetrics(), FeedbackMetrics()
        self.metrics += [of_ingest, of_responder, of_feedback]
        source, sink = MemorySource(self.kafka, "texts", "ingest"), MemorySink(self.kafka)
        ingest = Ingest(source, store, sink, embedder, self.settings, of_ingest)
        ingest.traced_by(self.traced.tracer)
        queries = MemoryExchange(self.kafka, "queries", "responder", "one")
        responder = Responder(queries, store, weights, embedder, self.settings, of_responder)
        responder.traced_by(self.traced.tracer)
        said_of = MemoryExchange(self.kafka, "feedback", "feedback", "two")
        feedback = FeedbackWorker(said_of, self.settings, of_feedback)
        for _ in range(TURNS):
            for worker in (feedback, ingest, responder):
                worker.step()

    def send(self, topic: str, value: bytes | None, headers: Headers = ()) -> None:
        self.kafka.append([Outgoing(topic, value, MARK.encode(), headers)])

    def letters(self) -> list[bytes]:
        return [record.value or b"" for record in self.kafka.records("dead-letters")]

    def spans(self) -> str:
        return "".join(span.to_json() for span in self.traced.spans)

    def shown(self) -> str:
        return "".join(metrics.exposition().decode() for metrics in self.metrics)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def poured_into(everything: Everything) -> None:
    for topic in ("texts", "queries", "feedback"):
        for value in BAD:
            everything.send(topic, value)
    for headers in TOMBSTONES:
        everything.send("texts", None, headers)
    everything.send("texts", TextEvent(text=f"what is {MARK}", answer=f"it is {MARK}").encode())
    for headers in HEADERS:
        everything.send("queries", Query(text=f"what is {MARK}").encode(), headers)
    everything.send("feedback", Feedback(question=MARK, verdict="wrong", answer=MARK).encode())


def test_without_excerpts_nothing_of_a_record_is_in_dead_letters_logs_metrics_or_traces(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(LogSettings(format="json", level="debug"), "test", discreet=True)
    everything = Everything(excerpts=False)
    poured_into(everything)
    everything.run()
    letters = everything.letters()
    assert len(letters) > 30  # they were there, and not merely quiet
    assert everything.traced.spans
    assert {json.loads(letter)["worker"] for letter in letters} == {"ingest", "responder", "feedback"}
    encoded = MARK.encode()
    assert not [letter for letter in letters if encoded in letter.lower()]
    assert not [letter for letter in letters if b'"excerpt"' in letter or b'"key"' in letter]
    log = capsys.readouterr().err
    assert "ValueError" in log
    assert MARK not in log.lower()
    assert MARK not in everything.spans().lower()
    assert MARK not in everything.shown().lower()


def test_with_excerpts_logs_metrics_and_traces_have_none_either(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json", level="debug"), "test")
    everything = Everything(excerpts=True)
    poured_into(everything)
    everything.run()
    assert any(b'"excerpt"' in letter for letter in everything.letters())
    log = capsys.readouterr().err
    assert "ValueError" in log
    assert MARK not in log.lower()
    assert MARK not in everything.spans().lower()
    assert MARK not in everything.shown().lower()


def test_a_discreet_log_shows_no_message_of_an_exception(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json"), "test", discreet=True)
    try:
        raise ValueError(MARK) from KeyError(MARK)
    except ValueError:
        structlog.get_logger().exception("crashed")
    log = capsys.readouterr().err
    assert MARK not in log
    assert "ValueError" in log


def test_every_reason_has_words_that_quote_nothing() -> None:
    def reasons(kind: object) -> set[str]:
        found = get_args(kind)
        return {kind} if isinstance(kind, str) else set[str]().union(*map(reasons, found))

    assert set(UNQUOTED) == reasons(Reason)
