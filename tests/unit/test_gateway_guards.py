"""What every request passes, and what every response has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from hurnet_schemas import Query
from hurnet_stream.gateway import bodies
from hurnet_stream.gateway.headers import CONTENT_POLICY
from hurnet_stream.gateway.limits import Rates, TooMuch
from hurnet_stream.ports import Outgoing
from hurnet_stream.settings.settings import KafkaSettings
from tests.worlds.gateway import AnsweringCourier, GatewayWorld, answered, scope_of

ASK = {"text": "how do I turn on the light?"}
SHOP = "https://shop.example.org"


class SilentCourier(AnsweringCourier):
    """Kafka neither takes nor refuses what it posts."""

    def post(self, ticket: str, message: Outgoing) -> None:
        self.posted.append(message)


@pytest.fixture
def world() -> Iterator[GatewayWorld]:
    made = GatewayWorld(hosts="ask.example.org", origins=SHOP, body=40_960)
    yield made
    made.close()


def test_a_question_is_answered_through_kafka_with_its_receipt(world: GatewayWorld) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    response = world.call(
        "POST", "/v1/ask", json=ASK, headers={"traceparent": trace, "Hurnet-After": "0=41, 1=39"}
    )
    assert response.status_code == 200
    reply = response.json()
    assert reply["question"] == ASK["text"]
    assert reply["record"] == "answers/0/0"
    (sent,) = world.courier.posted
    assert dict(sent.headers)["traceparent"] == trace.encode()
    query = Query.decode(sent.value)
    assert query.min_watermarks == {0: 41, 1: 39}
    assert query.timeout_ms == 8_000


def test_many_questions_are_answered_in_order(world: GatewayWorld) -> None:
    questions = [{"text": f"question {n}"} for n in range(5)]
    replies = world.call("POST", "/v1/ask", json={"questions": questions}).json()["replies"]
    assert [reply["question"] for reply in replies] == [q["text"] for q in questions]


def test_each_wrong_question_is_named_and_none_is_asked(world: GatewayWorld) -> None:
    questions = [{"text": "fine"}, {"text": " "}, {"txt": "x"}, 7]
    response = world.call("POST", "/v1/ask", json={"questions": questions})
    assert response.status_code == 422
    named = {error["where"] for error in response.json()["errors"]}
    assert named == {"questions.1.text", "questions.2.text", "questions.2.txt", "questions.3"}
    assert not world.courier.posted


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"text": "hi"}', "text/plain", 415),
        (b'{"text": "hi"}', "application/x-www-form-urlencoded", 415),
        (b'{"text": "hi"}', "", 415),
        (b'{"text": "hi"', "application/json", 422),
        (b"\xff\xfe", "application/json", 422),
        (b"[" * 4_000, "application/json", 422),
        (b'{"a":' * 600 + b"1" + b"}" * 600, "application/json", 422),
        (b"[]", "application/json", 422),
        (b"", "application/json", 422),
        (b'{"text": "hi", "top_k": ' + b"9" * 3_000 + b"}", "application/json", 422),
        (b'{"text": "hi", "top_k": 1e999}', "application/json", 422),
        (b'{"text": "\\ud800"}', "application/json", 422),
        (b'{"text": "a\\u0000b"}', "application/json", 422),
        (b'{"v": 2, "text": "hi"}', "application/json", 422),
        (b'{"questions": []}', "application/json", 422),
        (b'{"questions": [{"text": "hi"}], "top_k": 1}', "application/json", 422),
        (b'{"questions": ' + json.dumps([{"text": "x"}] * 65).encode() + b"}", "application/json", 422),
        (b'{"text": "' + b"x" * 50_000 + b'"}', "application/json", 413),
    ],
)  # fmt: skip
def test_a_wrong_body_is_a_problem(world: GatewayWorld, body: bytes, kind: str, status: int) -> None:
    response = world.call("POST", "/v1/ask", content=body, headers={"content-type": kind})
    assert response.status_code == status
    problem = response.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert response.headers["content-type"] == "application/problem+json"
    assert not world.courier.posted


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b'\xef\xbb\xbf{"text": "hi"}', "byte order mark"),
        ('{"text": "hi"}'.encode("utf-16"), "is not UTF-8"),
        (b'[{"text": "hi"}]', "expected a JSON object, got list"),
        (b'{"text": "hi", "text": "yo"}', "'text' is there twice"),
        (b'{"text": "hi", "filter": {"key": "a", "is": "b", "is": "c"}}', "'is' is there twice"),
        (b'{"text": "hi", "txt": "yo"}', "txt: there is no such field: the fields are text, id, context"),
        (b'{"text": " "}', "text: blank text"),
        (b'{"text": "hi", "v": 2}', "schema version 2; this side speaks 1"),
        (b'{"questions": [' + b"{}," * 10_000 + b"{}]}", "10,000 objects"),
        (b'{"text": "hi", "top_k": NaN}', "top_k: Input should be a valid integer"),
    ],
)
def test_a_wrong_body_is_told_what_would_be_right(world: GatewayWorld, body: bytes, says: str) -> None:
    response = world.call("POST", "/v1/ask", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert says in response.json()["detail"]
    assert not world.courier.posted


@pytest.mark.parametrize(
    ("field", "where"),
    [
        *(
            ({name: given}, name)
            for name in ("top_k", "timeout_ms", "neighbours")
            for given in (True, "3", 1.5)
        ),
        ({"min_watermarks": {"0": "3"}}, "min_watermarks.0"),
        ({"min_watermarks": {"tickets/3": True}}, "min_watermarks.tickets/3"),
        *(
            ({"exclude": {"partition": 0, "offset": 0, "chunk": 0} | {name: "1"}}, f"exclude.{name}")
            for name in ("partition", "offset", "chunk")
        ),
        ({"filter": {"key": "lang", "exists": 1}}, "filter.exists"),
    ],
)
def test_a_text_is_no_number_and_a_boolean_neither(
    world: GatewayWorld, field: dict[str, object], where: str
) -> None:
    response = world.call("POST", "/v1/ask", json={"text": "hi", **field})
    assert (response.status_code, response.json()["errors"][0]["where"]) == (422, where)
    response = world.call("POST", "/v1/ask", json={"questions": [{"text": "hi"}, {"text": "hi", **field}]})
    assert (response.status_code, response.json()["errors"][0]["where"]) == (422, f"questions.1.{where}")
    assert not world.courier.posted


def test_a_whole_number_may_be_written_with_a_point(world: GatewayWorld) -> None:
    numbers = {"top_k": 3.0, "timeout_ms": 500.0, "min_watermarks": {"0": 41.0}, "neighbours": 2.0}
    excluded = {"partition": 0.0, "offset": 7.0, "chunk": 1.0}
    response = world.call("POST", "/v1/ask", json={"text": "hi", "exclude": excluded, **numbers})
    assert response.status_code == 200
    (sent,) = world.courier.posted
    said = json.loads(sent.value or b"")
    assert {name: said[name] for name in numbers} == numbers
    assert said["exclude"] == excluded


def test_a_packed_body_is_refused_by_its_header(world: GatewayWorld) -> None:
    for path in ("/v1/ask", "/v1/files"):
        response = world.call("POST", path, content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
        assert (response.status_code, response.headers["accept-encoding"]) == (415, "identity")
        assert "Content-Encoding" in response.json()["detail"]


def test_watermarks_may_come_in_several_headers(world: GatewayWorld) -> None:
    headers = [("Hurnet-After", "0=41"), ("Hurnet-After", "1=39,0=7")]
    assert world.call("POST", "/v1/ask", json=ASK, headers=headers).status_code == 200
    (sent,) = world.courier.posted
    assert Query.decode(sent.value).min_watermarks == {0: 41, 1: 39}


@pytest.mark.parametrize(
    ("method", "path", "where", "says"),
    [
        ("DELETE", "/v1/texts?key=k&contxt=support", "contxt", "there is context, key"),
        ("DELETE", "/v1/texts?key=a&key=b", "key", "2 times"),
        ("DELETE", "/v1/texts?key=k&context=A%20B", "context", "1 to 64 of a-z"),
        ("DELETE", "/v1/texts", "key", "the record key of the texts to forget"),
        ("POST", "/v1/ask?context=support", "context", "there is none"),
        ("POST", "/v1/files?context=A", "context", "1 to 64 of a-z"),
        ("POST", "/v1/rehearsals?context=", "context", "1 to 64 of a-z"),
        ("POST", "/v1/corrections?wait=1", "wait", "there is wait_ms"),
        ("POST", "/v1/corrections?wait_ms=1s", "wait_ms", "from 0 to 60,000"),
        ("POST", "/v1/receipts/answers/0/0/replay?now=yes", "now", "1 for as of now"),
        ("GET", "/v1/contexts/support/entries?limit=0", "limit", "from 1 to 500"),
        ("HEAD", "/v1/status?x", "x", ""),
    ],
)  # fmt: skip
def test_a_parameter_that_is_wrong_or_unknown_is_named(
    world: GatewayWorld, method: str, path: str, where: str, says: str
) -> None:
    response = world.call(method, path)
    assert response.status_code == 422
    if method != "HEAD":
        assert response.json()["where"] == where
        assert says in response.json()["detail"]


def test_a_reply_of_a_newer_responder_is_no_fault_of_the_gateway(
    world: GatewayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = answered(Query(text="x"))
    monkeypatch.setattr(type(newer), "encode", lambda _: b'{"v": 2}')
    response = world.call("POST", "/v1/ask", json=ASK)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert "upgrade" in response.json()["detail"]


@pytest.mark.parametrize("given", ["0", "0=", "=1", "0=1;1=2", "a=b", "0=-1", "99999999999=1"])
def test_a_wrong_header_of_watermarks_is_named(world: GatewayWorld, given: str) -> None:
    response = world.call("POST", "/v1/ask", json=ASK, headers={"Hurnet-After": given})
    assert response.status_code == 422
    assert response.json()["where"] == "hurnet-after"


def test_a_chunked_body_is_cut_off_where_it_is_too_long(world: GatewayWorld) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1 << 20:
            sent += 1_024
            yield b" " * 1_024

    response = world.call("POST", "/v1/ask", content=endless(), headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert response.headers["connection"] == "close"
    assert world.gateway.bodies.taken == 0


def test_a_body_that_does_not_come_ends_the_request(
    world: GatewayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "PIECE_S", 0.05)
    monkeypatch.setattr(bodies, "READ_AWAY_S", 0.05)

    messages: list[dict[str, Any]] = []
    scope = scope_of("POST", "/v1/ask", [(b"content-type", b"application/json"), (b"content-length", b"9")])
    pieces = iter([b"{"])

    async def receive() -> dict[str, Any]:
        if (piece := next(pieces, None)) is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Any) -> None:
        messages.append(message)

    asyncio.run(world.app(scope, receive, send))
    assert messages[0]["status"] == 408
    assert (b"connection", b"close") in messages[0]["headers"]
    assert world.refused("slow") == 1


def test_a_client_that_hangs_up_frees_its_question_at_once(world: GatewayWorld) -> None:
    world.courier.answer = lambda _query: None
    asked = asyncio.Event()

    async def run() -> float:
        steps = iter([{"type": "http.request", "body": json.dumps(ASK).encode(), "more_body": False}])

        async def receive() -> dict[str, Any]:
            if step := next(steps, None):
                return step
            while not world.gateway.switchboard.waiting:
                await asyncio.sleep(0.001)
            asked.set()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            raise AssertionError(message)

        length = str(len(json.dumps(ASK))).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        began = asyncio.get_running_loop().time()
        await world.app(scope_of("POST", "/v1/ask", headers), receive, send)
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(run()) < 5
    assert asked.is_set()
    assert world.gateway.switchboard.waiting == 0


def test_too_many_questions_are_refused_and_told_when_to_come_back() -> None:
    world = GatewayWorld(in_flight=2, timeout=4)
    world.courier.answer = lambda _query: None

    async def crowd(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/v1/ask", json=ASK) for _ in range(10)))

    responses = world.with_client(crowd)
    world.close()
    statuses = sorted(response.status_code for response in responses)
    assert statuses == [503] * 8 + [504] * 2
    assert all(r.headers["retry-after"] == "1" for r in responses if r.status_code == 503)
    assert world.refused("in-flight") == 8


def test_if_kafka_takes_no_question_that_is_said_and_others_are_refused_at_once() -> None:
    world = GatewayWorld(SilentCourier(), timeout=0.5)
    kafka = KafkaSettings(request_timeout=0.1)
    world.gateway.settings = world.settings.model_copy(update={"kafka": kafka})
    responses = [world.call("POST", "/v1/ask", json=body) for body in (ASK, ASK, {"questions": [ASK]})]
    world.close()
    for response in responses:
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert "Kafka is away" in response.json()["detail"]
    assert len(world.courier.posted) == 1


def test_kafka_away_is_said_and_passes(world: GatewayWorld) -> None:
    world.courier.away = "no broker answers"
    response = world.call("POST", "/v1/ask", json=ASK)
    assert response.status_code == 503
    assert "no broker answers" in response.json()["detail"]
    assert response.headers["retry-after"] == "1"
    assert world.gateway.unready()
    world.courier.away = None
    assert world.call("POST", "/v1/ask", json=ASK).status_code == 200


def test_a_rate_is_kept_by_each_key() -> None:
    world = GatewayWorld(rate=2)
    statuses = [world.call("POST", "/v1/ask", json=ASK) for _ in range(4)]
    world.close()
    assert [response.status_code for response in statuses][:3] == [200, 200, 429]
    assert int(statuses[2].headers["retry-after"]) >= 1


def test_a_batch_is_taken_once_and_paid_for_afterwards() -> None:
    now = [0.0]
    rates = Rates(lambda: now[0])
    rates.take("a", 2.0)
    rates.charge("a", 2.0, 63)
    with pytest.raises(TooMuch) as refused:
        rates.take("a", 2.0)
    assert refused.value.again_s == pytest.approx(31.5)
    rates.take("b", 2.0)
    now[0] = 31.5
    rates.take("a", 2.0)


def test_whoever_keeps_to_the_rate_is_never_refused() -> None:
    now = [0.0]
    rates = Rates(lambda: now[0])
    for _ in range(10_000):
        rates.take("a", 3.0)
        now[0] += 1 / 3


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 405), ("localhost", 405), ("[::1]:8080", 405), ("10.1.2.3:9", 405),
        ("ask.example.org", 405), ("ASK.example.org.:443", 405), ("attacker.example", 421),
        ("127.0.0.1.attacker.example", 421), ("localhost.attacker.example:8080", 421), ("", 400),
        ("a@127.0.0.1", 400), ("127.0.0.1/x", 400), ("127.0.0.1:99999", 400), ("[::1", 400),
    ],
)  # fmt: skip
def test_only_names_of_its_own_are_answered(world: GatewayWorld, host: str, status: int) -> None:
    assert world.call("GET", "/v1/ask", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:8080"}, 200),
        ({"origin": "https://127.0.0.1:8080"}, 200),
        ({"origin": SHOP}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:8081"}, 403),
        ({"origin": f"{SHOP}.evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
    ],
)  # fmt: skip
def test_pages_of_other_origins_are_refused(
    world: GatewayWorld, headers: dict[str, str], status: int
) -> None:
    response = world.call("POST", "/v1/ask", json=ASK, headers=headers)
    assert response.status_code == status
    assert world.refused("origin") == (status == 403)
    if status == 403:
        assert not world.courier.posted
    allowed = response.headers.get("access-control-allow-origin")
    assert allowed == (SHOP if headers.get("origin") == SHOP else None)


def test_a_page_that_may_use_it_is_told_so_before_it_asks(world: GatewayWorld) -> None:
    asks = {"origin": SHOP, "access-control-request-method": "POST"}
    told = world.call("OPTIONS", "/v1/ask", headers=asks)
    assert told.status_code == 204
    assert told.headers["access-control-allow-origin"] == SHOP
    assert "authorization" in told.headers["access-control-allow-headers"]
    asks["origin"] = "https://evil.example"
    assert world.call("OPTIONS", "/v1/ask", headers=asks).status_code == 403


def test_paths_and_methods_that_there_are_not_are_problems(world: GatewayWorld) -> None:
    unknown = world.call("GET", "/v1/nothing")
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")
    wrong = world.call("PUT", "/v1/ask")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "OPTIONS, POST")
    of_two_routes = world.call("GET", "/v1/texts")
    assert (of_two_routes.status_code, of_two_routes.headers["allow"]) == (405, "DELETE, OPTIONS, POST")
    assert world.call("HEAD", "/v1/events").content == b""  # a stream that nobody would see the end of
    assert world.call("OPTIONS", "/v1/ask").headers["allow"] == "OPTIONS, POST"
    assert world.call("OPTIONS", "/v1/nothing").status_code == 404
    slash = world.call("POST", "/v1/ask/", json=ASK)
    assert slash.status_code == 404


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/nothing"), ("POST", "/v1/ask"), ("GET", "/nothing")]
)
def test_every_response_has_the_strict_headers(world: GatewayWorld, method: str, path: str) -> None:
    headers = world.call(method, path).headers
    assert headers["content-security-policy"] == CONTENT_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert len(headers["x-request-id"]) == 32


def test_a_request_id_is_repeated_if_it_is_fit_to_be(world: GatewayWorld) -> None:
    assert world.call("GET", "/x", headers={"x-request-id": "a-1"}).headers["x-request-id"] == "a-1"
    assert len(world.call("GET", "/x", headers={"x-request-id": "a b"}).headers["x-request-id"]) == 32


def test_the_log_has_a_line_without_what_was_said(
    world: GatewayWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world.call("POST", "/v1/ask?secret=1", json={"text": "a private question"})
    line = str(capsys.readouterr())
    assert "route=/v1/ask" in line
    assert "private" not in line
    assert "secret" not in line


def test_a_fault_of_ours_is_a_problem_with_the_id_under_which_the_log_has_it(
    world: GatewayWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(type(world.gateway.switchboard), "ask", lambda *_: 1 / 0)
    response = world.call("POST", "/v1/ask", json=ASK)
    assert response.status_code == 500
    assert response.headers["x-request-id"] in str(capsys.readouterr())
    assert "ZeroDivision" not in response.text
