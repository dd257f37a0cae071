"""Traces of real work in the in-memory worlds: whose child a span is, what it is linked with, and what the
receipt says."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from hurnet_schemas import Query, TextEvent
from hurnet_stream.adapters.traces import ExportingTracer, OtelTracer
from hurnet_stream.commands.produce import spanned
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Headers, Outgoing, TraceContext, Work, new_trace, parse_traceparent
from hurnet_stream.settings.settings import TracesSettings
from hurnet_stream.wiring.tracing import traced
from tests.acceptance.system import system_is_busy
from tests.memory.exchange import MemoryExchange
from tests.memory.sink import MemorySink
from tests.worlds import ingest, responder

SHARED = ["embed", "search", "rank", "deliver"]


@dataclass
class Recorded:
    """A tracer, and the spans that it has recorded."""

    ratio: float = 1.0
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def __post_init__(self) -> None:
        processor = SimpleSpanProcessor(self.exporter)
        self.tracer = OtelTracer(processor, {"service.name": "hurnet-test"}, self.ratio)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def below(self, parent: ReadableSpan) -> list[ReadableSpan]:
        return [span for span in self.spans if span.parent and span.parent.span_id == parent.context.span_id]


def trace_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def linked(span: ReadableSpan) -> set[int]:
    return {link.context.span_id for link in span.links}


def within(inner: ReadableSpan, outer: ReadableSpan) -> bool:
    """To the millisecond: each time is converted from the monotonic clock by itself."""
    (a, b), (c, d) = ((span.start_time or 0, span.end_time or 0) for span in (inner, outer))
    return 0 < c - 10**6 <= a <= b <= d + 10**6


def asked(recorded: Recorded, *headers: Headers) -> responder.World:
    """A world in which a responder has answered one question for each of the headers, in one turn."""
    world = responder.World()
    world.teach(*responder.PAIRS)
    now_ms = int(time.time() * 1000)
    for i, each in enumerate(headers):
        query = Query(text="turn on the light", id=str(i)).encode()
        world.kafka.append([Outgoing("queries", query, None, each, 0, now_ms)])
    responder.turn(world.responder().traced_by(recorded.tracer))
    return world


def test_one_question_is_one_trace_from_its_poll_to_its_delivery() -> None:
    recorded, asker = Recorded(), new_trace()
    world = asked(recorded, (asker.header,))
    (question,) = recorded.named("process queries")
    assert question.kind == SpanKind.CONSUMER
    assert question.parent
    assert question.parent.is_remote
    assert f"{question.parent.span_id:016x}" == asker.span_id
    parts = recorded.below(question)
    assert [span.name for span in parts] == ["poll", *SHARED]
    assert {trace_of(span) for span in recorded.spans} == {asker.trace_id}
    assert all(within(part, question) for part in parts)
    assert question.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "queries",
        "messaging.destination.partition.id": "0",
        "messaging.consumer.group.name": world.responder()._traces._group,
        "messaging.kafka.offset": 0,
        "hurnet.outcome": "answered",
    }


def test_receipt_exemplar_and_the_answers_header_name_the_same_trace() -> None:
    recorded, asker = Recorded(), new_trace()
    world = responder.World()
    world.teach(*responder.PAIRS)
    value, now_ms = Query(text="turn on the light").encode(), int(time.time() * 1000)
    world.kafka.append([Outgoing("queries", value, None, (asker.header,), 0, now_ms)])
    worker = world.responder().traced_by(recorded.tracer)
    responder.turn(worker)
    (answer,) = world.answers()
    assert answer.receipt
    assert answer.receipt.trace_id == asker.trace_id
    (record,) = world.kafka.records("answers")
    sent = parse_traceparent(record.header("traceparent"))
    (question,) = recorded.named("process queries")
    assert sent == TraceContext(asker.trace_id, f"{question.context.span_id:016x}", True)
    slow = [line for line in worker._metrics.openmetrics().decode().splitlines() if " # " in line]
    assert {line.split("_bucket")[0] for line in slow} == {
        "hurnet_answer_seconds",
        "hurnet_query_age_seconds",
    }
    assert all(f'# {{trace_id="{asker.trace_id}"}}' in line for line in slow)


@pytest.mark.parametrize("tracer", [None, Recorded(ratio=0).tracer])
def test_without_a_record_the_askers_trace_still_goes_with_the_answer(tracer: OtelTracer | None) -> None:
    asker = TraceContext("ab" * 16, "cd" * 8, sampled=False)
    world = responder.World()
    world.teach(*responder.PAIRS)
    world.ask(Query(text="turn on the light"), headers=(asker.header,))
    responder.turn(world.responder().traced_by(tracer))
    (record,) = world.kafka.records("answers")
    assert record.header("traceparent") == asker.header[1]
    assert responder.only(world.answers()).receipt.trace_id == asker.trace_id  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "header", [b"", b"\xff\xfe", b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01", b"x" * 9999]
)
def test_a_hostile_traceparent_changes_nothing(header: bytes) -> None:
    recorded = Recorded(ratio=0)
    world = asked(recorded, (("traceparent", header),))
    (answer,) = world.answers()
    assert answer.outcome == "answered"
    assert answer.receipt
    assert answer.receipt.trace_id is None
    assert b"trace_id" not in (world.kafka.records("answers")[0].value or b"")
    assert world.kafka.records("answers")[0].header("traceparent") is None
    assert recorded.spans == ()


def test_questions_of_one_turn_share_a_span_that_is_linked_with_theirs() -> None:
    recorded, askers = Recorded(), [new_trace() for _ in range(3)]
    asked(recorded, *((asker.header,) for asker in askers), ())
    spans = recorded.named("process queries")
    (turn,) = (span for span in spans if "messaging.batch.message_count" in (span.attributes or {}))
    questions = [span for span in spans if span is not turn]
    assert {trace_of(span) for span in questions} >= {asker.trace_id for asker in askers}
    assert len(questions) == 4  # the one without a header begins a trace, since all are to be recorded
    assert turn.attributes
    assert turn.attributes["messaging.batch.message_count"] == 4
    assert turn.parent is None
    assert linked(turn) == {span.context.span_id for span in questions}
    assert all(linked(span) == {turn.context.span_id} for span in questions)
    assert [span.name for span in recorded.below(turn)] == SHARED
    assert all([part.name for part in recorded.below(span)] == ["poll"] for span in questions)


def test_of_a_turn_with_one_recorded_question_the_shared_work_is_its_own() -> None:
    recorded, asker = Recorded(ratio=0), new_trace()
    asked(recorded, (), (asker.header,), ())
    (question,) = recorded.named("process queries")
    assert [span.name for span in recorded.below(question)] == ["poll", *SHARED]


def test_a_delivery_that_is_rolled_back_is_an_error_and_the_next_try_a_span_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deliver, refusals = MemoryExchange.deliver, iter([True, False])

    def sometimes(self: MemoryExchange, *arguments: object) -> bool:
        if next(refusals):
            self.rewind()
            return False
        return deliver(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryExchange, "deliver", sometimes)
    recorded, asker = Recorded(), new_trace()
    asked(recorded, (asker.header,))
    first, second = recorded.named("process queries")
    assert (first.status.status_code, (first.attributes or {})["error.type"]) == (
        StatusCode.ERROR,
        "rolled-back",
    )
    assert second.status.status_code == StatusCode.UNSET
    assert trace_of(first) == trace_of(second) == asker.trace_id


def test_a_turn_of_ingest_is_one_span_linked_with_those_who_sent_its_texts() -> None:
    recorded, senders = Recorded(ratio=0), [new_trace(), new_trace()]
    world = ingest.World()
    world.kafka.append(
        [
            Outgoing("texts", TextEvent(text=f"text {i}").encode(), None, headers, 0)
            for i, headers in enumerate(
                [(senders[0].header,), (senders[1].header,), (senders[0].header,), ()]
            )
        ]
    )
    ingest.turn(world.worker().traced_by(recorded.tracer))
    (turn,) = recorded.named("process texts")
    assert linked(turn) == {int(sender.span_id, 16) for sender in senders}
    assert turn.attributes
    assert turn.attributes["messaging.batch.message_count"] == 4
    assert [span.name for span in recorded.below(turn)] == ["embed", "append"]
    assert world.texts() == [f"text {i}" for i in range(4)]


def test_nothing_that_people_wrote_is_recorded() -> None:
    recorded, asker = Recorded(), new_trace()
    asked(recorded, (asker.header, ("correlation-id", b"secret")))
    told = "".join(span.to_json() for span in recorded.spans)
    assert "light" not in told
    assert "secret" not in told


def test_texts_of_a_batch_name_the_span_that_sent_them() -> None:
    recorded, world = Recorded(), ingest.World()
    sink = MemorySink(world.kafka)

    def block(headers: Headers) -> None:
        sink.send([Outgoing("texts", TextEvent(text=f"text {i}").encode(), None, headers) for i in range(3)])

    spanned(recorded.tracer, "texts")(block, 3)
    (span,) = recorded.named("send texts")
    assert span.kind == SpanKind.PRODUCER
    sent = {record.header("traceparent") for record in world.kafka.records("texts")}
    assert sent == {TraceContext(trace_of(span), f"{span.context.span_id:016x}").header[1]}
    spanned(None, "texts")(block, 3)
    assert world.kafka.records("texts")[-1].headers == ()


def test_traces_that_begin_here_are_recorded_as_often_as_the_ratio_says() -> None:
    recorded = Recorded(ratio=0.25)
    begun = [recorded.tracer.begin(Work("process", "texts"), 0.0) for _ in range(2_000)]
    assert 400 < sum(span is not None for span in begun) < 600


def test_a_collector_that_is_away_holds_up_nobody() -> None:
    settings = TracesSettings(enabled=True, endpoint="http://127.0.0.1:9/v1/traces", queue=16, timeout=0.3)
    tracer = ExportingTracer(settings, "test", "one")
    began = time.monotonic()
    for _ in range(2_000):
        span = tracer.begin(Work("process", "queries"), began)
        assert span
        span.end(began)
    assert time.monotonic() - began < 5
    before_close = time.monotonic()
    tracer.close()
    assert time.monotonic() - before_close < 2 or system_is_busy()


def test_without_the_extra_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hurnet_stream.adapters.traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with (
        pytest.raises(ConfigurationError, match=r"hurnet-stream\[traces\]"),
        traced(TracesSettings(enabled=True), "ingest"),
    ):
        pass


def test_while_traces_are_off_nothing_of_opentelemetry_is_loaded() -> None:
    program = """
import sys

class NoTraces:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, NoTraces())
from hurnet_schemas import Query
from hurnet_stream.ports import new_trace
from hurnet_stream.settings.settings import load
from hurnet_stream.wiring import running
from hurnet_stream.wiring.tracing import traced
import hurnet_stream.commands.ask, hurnet_stream.commands.produce, hurnet_stream.client.over_kafka
from tests.worlds import ingest, responder

with traced(load().traces, "responder") as tracer:
    assert tracer is None
    world = responder.World()
    world.teach(*responder.PAIRS)
    world.ask(Query(text="turn on the light"), headers=(new_trace().header,))
    responder.turn(world.responder().traced_by(tracer))
    assert world.answers()[0].receipt.trace_id
    texts = ingest.World()
    texts.send(*ingest.numbered(0, 3))
    ingest.turn(texts.worker().traced_by(tracer))
assert not any(name.startswith("opentelemetry") for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
