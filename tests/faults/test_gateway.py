"""The gateway on a real system, of which parts are taken away: it says so, and goes on by itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from hurnet_stream.local import KafkaServer
from tests.acceptance.system import Running, System, wait_for
from tests.lone import with_lone_system

ASK = {"text": "how do I get my password back?", "context": "support"}
TEXT = {"text": "I forgot my password", "answer": "reset-password", "context": "support", "key": "faq-1"}
READ = (
    *("/v1/contexts", "/v1/contexts/support", "/v1/contexts/support/entries", "/v1/contexts/support/answers"),
    *("/v1/status", "/v1/dead-letters", "/v1/me", "/v1/schemas", "/v1/openapi.json", "/v1/asyncapi.json"),
)


def client_of(gateway: Running) -> httpx.Client:
    found = wait_for(lambda: re.findall(r'"address": ?"(http://[^"]+)"', gateway.said()))
    return httpx.Client(base_url=found[-1], timeout=120)


def asked(client: httpx.Client, **headers: str) -> httpx.Response:
    return client.post("/v1/ask", json=ASK, headers=headers)


def answers(client: httpx.Client) -> bool:
    response = asked(client)
    return response.status_code == 200 and response.json().get("answer") == "reset-password"


@pytest.mark.timeout(900)
def test_parts_go_and_come_back(valkey_url: str, tmp_path: Path) -> None:
    variables = {"HURNET_GATEWAY_PORT": "0", "HURNET_GATEWAY_TIMEOUT": "3"}
    with_lone_system(valkey_url, tmp_path, _go_and_come_back, **variables)


def _go_and_come_back(system: System, kafka: KafkaServer) -> None:
    gateway = system.start("gateway").wait_ready()
    with client_of(gateway) as client:
        away = asked(client)
        assert (away.status_code, "does a responder run?" in away.json()["detail"]) == (504, True)
        for worker in [system.start(name) for name in ("ingest", "solver", "responder", "feedback")]:
            worker.wait_ready()
        wait_for(lambda: asked(client).status_code == 200, what="a responder")
        _teach_and_read(client, system)
        _allowed_and_forbidden(client)
        kafka.kill()
        refused = wait_for(lambda: _refused(client), what="503 while Kafka is away")
        assert refused.headers["retry-after"]
        assert "no replies can be read" in refused.json()["detail"] or "Kafka" in refused.json()["detail"]
        kafka.start()
        wait_for(lambda: answers(client), what="answers again, by itself")
    gateway.kill()
    again = system.start("gateway").wait_ready()
    with client_of(again) as client:
        wait_for(lambda: answers(client), what="the next gateway answers")
    assert again.terminate() == 0
    assert "this is a bug" not in gateway.said() + again.said()


def _teach_and_read(client: httpx.Client, system: System) -> None:
    written = client.post("/v1/texts", json=TEXT)
    assert written.status_code == 202, written.text
    after = {"Hurnet-After": written.headers["hurnet-watermarks"]}

    def in_time() -> httpx.Response | None:
        """A reply that has seen the text: it has a second and a half, which a busy machine may miss."""
        response = asked(client, **after)
        late = response.status_code == 504 or response.json().get("outcome") == "timed-out"
        return None if late else response

    reply = wait_for(in_time, what="a reply that has seen the text")
    assert reply.json()["answer"] == "reset-password", reply.text
    for path in READ:
        read = client.get(path)
        assert read.status_code == 200, (path, read.text)
    (entry,) = client.get("/v1/contexts/support/entries").json()["entries"]
    assert (entry["text"], entry["answer"]) == (TEXT["text"], TEXT["answer"])
    receipt = client.get(f"/v1/receipts/{reply.json()['record']}")
    assert (receipt.status_code, receipt.json()["question"]) == (200, ASK["text"])
    assert client.get(f"/v1/receipts/{system.settings.kafka.texts}/0/0").status_code == 404
    replayed = client.post(f"/v1/receipts/{reply.json()['record']}/replay", timeout=120)
    assert replayed.status_code == 200, replayed.text
    assert replayed.json()["same"] is True, replayed.text


def _refused(client: httpx.Client) -> httpx.Response | None:
    response = asked(client)
    return response if response.status_code == 503 else None


def _allowed_and_forbidden(client: httpx.Client) -> None:
    """Schemathesis over the running gateway: no fault, whatever is asked."""
    schema = schemathesis.openapi.from_url(f"{client.base_url}/v1/openapi.json")
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr] # the document is sound
        if operation.path in ("/v1/events", "/v1/rehearsals") or operation.path.endswith("replay"):
            continue

        @given(operation.as_strategy())
        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def check(case: Any) -> None:
            if case.operation.path == "/v1/corrections":
                case.query["wait_ms"] = 0
            response = case.call(timeout=120)
            assert response.status_code < 500 or response.status_code in (503, 504), response.text

        check()
