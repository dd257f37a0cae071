"""Traces of a real system, taken by a collector: one from `hurnet ask` to the delivery of the answer; and a
collector that goes away holds up nobody."""

from __future__ import annotations

import json
import socket
import time
from functools import partial
from typing import Any

import pytest

from hurnet_schemas import Query
from hurnet_stream.local.loopback import free_ports
from tests.acceptance.system import System, lines, system_is_busy, wait_for
from tests.otlp import Collector, Received
from tests.prometheus import Prometheus

SHARED = ["poll", "embed", "search", "rank", "deliver"]


def traces_to(url: str, timeout: str) -> dict[str, str]:
    return {"HURNET_TRACES_ENABLED": "true", "HURNET_TRACES_ENDPOINT": url, "HURNET_TRACES_TIMEOUT": timeout}


def teach(system: System, **settings: str) -> str:
    """Teach a pair; returns where it stands, for --after."""
    produced = system.run("produce", stdin="turn on the light\tlight_on\n", **settings)
    assert produced.returncode == 0, produced.stderr
    return produced.stdout.split("watermarks ")[1].strip()


def ask(system: System, *arguments: str, **settings: str) -> dict[str, Any]:
    done = system.run("ask", "turn on the light", "--json", "--timeout", "60", *arguments, **settings)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def one(spans: list[Received], name: str) -> Received:
    (found,) = (span for span in spans if span.name == name)
    return found


def test_a_question_is_one_trace_from_the_client_to_the_delivery(system: System) -> None:
    kafka = system.settings.kafka
    with Collector() as collector:
        on = traces_to(collector.url, timeout="60")
        ingest, responder = system.start("ingest", **on), system.start("responder", **on)
        ingest.wait_ready()
        responder.wait_ready()
        answer = ask(system, "--after", teach(system, **on), **on)
        assert answer["answer"] == "light_on"
        trace_id = answer["receipt"]["trace_id"]
        wait_for(lambda: len(collector.trace(trace_id)) == 7, what="all spans of the question")

        spans = collector.trace(trace_id)
        sent, question = one(spans, f"send {kafka.queries}"), one(spans, f"process {kafka.queries}")
        assert (sent.service, question.service) == ("hurnet-ask", "hurnet-responder")
        assert question.instance == system.settings.responder.instance
        assert (sent.parent_id, question.parent_id) == ("", sent.span_id)
        assert sent.began_ns <= question.began_ns + 10**6
        assert question.attributes["hurnet.outcome"] == "answered"
        parts = [span for span in spans if span.parent_id == question.span_id]
        assert sorted(span.name for span in parts) == sorted(SHARED)
        assert [one(parts, name).began_ns for name in SHARED] == sorted(span.began_ns for span in parts)

        (record,) = system.read(kafka.answers)
        assert dict(record.headers)["traceparent"] == f"00-{trace_id}-{question.span_id}-01".encode()
        produced_by = one(collector.spans, f"send {kafka.texts}")
        wait_for(
            lambda: any(produced_by.span_id in span.linked for span in collector.spans), what="ingest's span"
        )
        (taken_in,) = (span for span in collector.spans if produced_by.span_id in span.linked)
        assert (taken_in.name, taken_in.service) == (f"process {kafka.texts}", "hurnet-ingest")
        assert collector.refused == 0
        assert responder.terminate() == 0
        assert ingest.terminate() == 0


def test_prometheus_names_the_trace_of_a_question_by_its_age(system: System) -> None:
    ingest, responder = system.start("ingest"), system.start("responder")
    ingest.wait_ready()
    url = responder.wait_ready().url
    with Prometheus() as prometheus:
        prometheus.scrape({"hurnet-responder": [url]})
        began = time.time() - 60
        trace_id = ask(system, "--after", teach(system))["receipt"]["trace_id"]
        for name in ("hurnet_query_age_seconds_bucket", "hurnet_answer_seconds_bucket"):
            found = partial(prometheus.exemplars, name, began, time.time() + 60)
            shown = wait_for(found, what=f"exemplars of {name}")
            assert {exemplar["labels"]["trace_id"] for exemplar in shown} == {trace_id}


@pytest.mark.parametrize("silent", [False, True])
def test_without_a_collector_questions_are_answered_and_workers_end_in_time(
    system: System, silent: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections, and never says a word
        port = listener.getsockname()[1] if silent else free_ports(1)[0]
        on = traces_to(f"http://127.0.0.1:{port}/v1/traces", timeout="2") | {"HURNET_TRACES_QUEUE": "16"}
        workers = [system.start(role, **on).wait_ready() for role in ("ingest", "responder")]
        answer = ask(system, "--after", teach(system, **on), **on)
        assert answer["answer"] == "light_on"
        for _ in range(20):  # more spans than wait
            system.ask([Query(text="turn on the light")] * 3)
        wait_for(lambda: len(system.read(system.settings.kafka.answers)) == 61, what="all answers")
        for worker in workers:
            began = time.monotonic()
            assert worker.terminate() == 0, worker.said()[-2000:]
            assert time.monotonic() - began < 10 or system_is_busy()
            told = [line for line in lines(worker.said()) if "opentelemetry" in line.get("logger", "")]
            assert 0 < len(told) < 20  # that spans go nowhere is told, and not once a span
