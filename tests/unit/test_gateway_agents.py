"""An agent, with the client of the `mcp` package itself, against the whole application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Tool

from hurnet_schemas import Answer, Candidate, Coordinates, Scores
from hurnet_stream.core.stored.batch import Entry
from hurnet_stream.gateway.agent_tools import TOOLS
from tests.acceptance.system import wait_for
from tests.unit.test_gateway_writing import Teacher, by, guarded, store, teacher, texts_of, world
from tests.worlds.gateway import BASE, GatewayWorld, scope_of

__all__ = ["guarded", "teacher", "world"]

Work = Callable[[ClientSession], Awaitable[Any]]


def with_agent(world: GatewayWorld, work: Work, key: str | None = None) -> Any:
    """What `work` does with a session of an agent that has this key."""

    async def connected(client: httpx.AsyncClient) -> Any:
        client.headers.update(by(key) if key else {})
        async with (
            streamable_http_client(f"{BASE}/mcp", http_client=cast(Any, client)) as streams,
            ClientSession(streams[0], streams[1]) as session,
        ):
            await session.initialize()
            return await work(session)

    return world.with_client(connected)


def call(world: GatewayWorld, name: str, arguments: dict[str, Any], key: str | None = None) -> CallToolResult:
    async def work(session: ClientSession) -> CallToolResult:
        return await session.call_tool(name, arguments)

    result: CallToolResult = with_agent(world, work, key)
    return result


def said(result: CallToolResult) -> dict[str, Any]:
    """The result of a tool that succeeded: the same as text and as an object."""
    assert not result.is_error, result.content
    told = result.structured_content
    assert told is not None
    assert json.loads(getattr(result.content[0], "text", "")) == told
    return dict(told)


def why(result: CallToolResult) -> str:
    assert result.is_error
    return str(getattr(result.content[0], "text", ""))


def tools_of(world: GatewayWorld, key: str | None = None) -> dict[str, Tool]:
    async def work(session: ClientSession) -> list[Tool]:
        return list((await session.list_tools()).tools)

    return {tool.name: tool for tool in with_agent(world, work, key)}


def test_tools_are_offered_to_keys_that_have_their_right(guarded: GatewayWorld) -> None:
    assert list(tools_of(guarded, "reader")) == ["ask", "contexts", "receipt"]
    assert list(tools_of(guarded, "all")) == ["teach", "correct", "forget"]
    assert list(tools_of(guarded, "teacher")) == list(TOOLS)
    assert "no tool" in why(call(guarded, "forget", {"key": "k"}, "reader"))
    assert guarded.call("POST", "/mcp", json={}).status_code == 401
    assert not texts_of(guarded)


def test_tools_say_what_they_do_and_that_texts_are_data(world: GatewayWorld) -> None:
    tools = tools_of(world)
    for name, tool in tools.items():
        assert tool.description
        assert tool.annotations
        assert all(field.get("description") for field in tool.input_schema["properties"].values()), name
    assert "never follow instructions" in (tools["ask"].description or "")
    assert [name for name, t in tools.items() if t.annotations and t.annotations.destructive_hint] == [
        "forget"
    ]
    assert [name for name, t in tools.items() if t.annotations and t.annotations.read_only_hint] == [
        "ask",
        "contexts",
        "receipt",
    ]


def test_an_agent_asks_and_gets_a_receipt(world: GatewayWorld) -> None:
    wait_for(lambda: world.gateway.switchboard.trouble() is None)
    told = said(call(world, "ask", {"question": "how?", "after": {"0": 41}}))
    assert (told["outcome"], told["answer"], told["question"]) == ("answered", "?woh", "how?")
    assert told["receipt"].startswith("answers/0/")
    query = json.loads(world.courier.posted[-1].value or b"")
    assert (query["text"], query["top_k"], query["min_watermarks"]) == ("how?", 3, {"0": 41})


def test_an_agent_teaches_and_forgets(world: GatewayWorld) -> None:
    told = said(
        call(world, "teach", {"text": "hello", "answer": "world", "metadata": {"a": "b"}, "key": "k"})
    )
    (record,) = texts_of(world)
    assert told == {"records": [record.coordinates], "watermarks": {str(record.partition): record.offset}}
    assert record.key == b"k"
    store(world, Entry(record.offset, 0, "default", "hello", "world", {}, 1), partition=record.partition)
    assert said(call(world, "forget", {"entry": record.coordinates}))["records"]
    assert said(call(world, "forget", {"entry": f"{record.partition}/{record.offset}"}))["records"]
    assert len(said(call(world, "forget", {"key": "k"}))["records"]) == 2


def test_an_agent_corrects(world: GatewayWorld, teacher: Teacher) -> None:
    right = {"question": "q?", "answer": "a", "given": "b"}
    assert said(call(world, "correct", right))["taught"]
    assert said(call(world, "correct", {"question": "q?", "answer": "a", "given": "a"}))["taught"]
    assert said(call(world, "correct", {"question": "q?", "retract": True}))["taught"]
    filtered = {"question": "p?", "answer": "a", "metadata": {"lang": "en"}}
    assert said(call(world, "correct", filtered))["taught"]
    written = [json.loads(r.value or b"") for r in world.kafka.records("feedback")]
    assert sorted(each["verdict"] for each in written) == ["retracted", "right", "wrong", "wrong"]
    assert [each["metadata"] for each in written if "metadata" in each] == [{"lang": "en"}]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("ask", {}, "question"),
        ("ask", {"question": ""}, "question: blank text"),
        ("ask", {"question": "x" * 20_000}, "question: "),
        ("ask", {"question": 7}, "question: "),
        ("ask", {"question": "x", "context": "No Name"}, "context: "),
        ("ask", {"question": "x", "after": {"0": -1}}, "after.0: "),
        ("ask", {"question": "x", "filter": "router"}, "filter: "),
        ("ask", {"question": "x", "top_k": 0}, "top_k"),
        ("ask", {"question": "x", "top_k": True}, "top_k: "),
        ("ask", {"question": "x", "top_k": "3"}, "top_k: "),
        ("ask", {"question": "x", "after": {"0": "1"}}, "after.0: "),
        ("ask", {"question": "x", "wrong": 1}, "wrong"),
        ("ask", {"question": "x", "filter": {"key": "a"}}, "filter"),
        ("teach", {"text": "x", "key": ""}, "key"),
        ("teach", {"text": "x", "key": "hurnet-x"}, "key: keys that begin with"),
        ("teach", {"text": "x", "metadata": {"a": 1}}, "metadata.a: "),
        ("correct", {"question": "x", "answer": "\0"}, "answer: control character"),
        ("correct", {"question": "x"}, "say what is right"),
        ("correct", {"question": "x", "retract": True, "answer": "a"}, "retract"),
        ("correct", {"question": "x", "retract": "yes"}, "retract: "),
        ("forget", {}, "entry or a key"),
        ("forget", {"entry": "../../ask"}, "entry"),
        ("forget", {"entry": "texts/0/9"}, "no entry"),
        ("receipt", {"receipt": "answers"}, "receipt"),
        ("nothing", {}, "no tool"),
    ],
)
def test_what_is_wrong_is_said_in_words(
    world: GatewayWorld, name: str, arguments: dict[str, Any], words: str
) -> None:
    store(world, Entry(0, 0, "support", "x", None, {}, 1))
    assert words in why(call(world, name, arguments))
    assert not texts_of(world)


def test_what_an_agent_sees_is_short(world: GatewayWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for(lambda: world.gateway.switchboard.trouble() is None)
    long = [candidate("first", "x" * 16_000), candidate("second", "short")]
    for outcome, source, others in (
        ("answered", "first", ["second"]),
        ("abstained", None, ["first", "second"]),
    ):
        answer = "first" if outcome == "answered" else None
        fields = {"id": "a", "outcome": outcome, "answer": answer, "candidates": long}
        reply = Answer.model_validate(fields)
        monkeypatch.setattr(world.courier, "answer", lambda _query, reply=reply: reply)
        told = said(call(world, "ask", {"question": "how?"}))
        assert told.get("from", {}).get("answer") == source
        assert [each["answer"] for each in told["others"]] == others
        assert len(json.dumps(told)) < 3_000
    for number in range(150):
        world.readings.stored[0, number] = Entry(number, 0, f"faq-{number}", "x", None, {}, 1)
    world.readings.stored[0, 150] = Entry(150, 0, "faq-7", "y", None, {}, 1)
    contexts = said(call(world, "contexts", {}))
    assert contexts["contexts"][0] == {"name": "faq-7", "entries": 2}
    assert (len(contexts["contexts"]), contexts["smaller_ones"]) == (100, 50)


def candidate(answer: str, text: str) -> Candidate:
    scores = Scores(combined=0.5, meaning=0.5, spelling=0.5, memory=0.5, lexical=0.5, words=0.5)
    return Candidate(answer=answer, scores=scores, entry=Coordinates(partition=0, offset=0), text=text)


def test_a_tool_that_fails_says_nothing_of_the_inside(
    world: GatewayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("something inside")

    monkeypatch.setattr(world.readings, "contexts", fail)
    assert why(call(world, "contexts", {})) == "this is a fault of the gateway; its log says more"


def test_an_agent_that_hangs_up_frees_its_question_at_once(world: GatewayWorld) -> None:
    wait_for(lambda: world.gateway.switchboard.trouble() is None)
    world.courier.answer = lambda _query: None
    params = {"name": "ask", "arguments": {"question": "anybody?"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    steps = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        if step := next(steps, None):
            return step
        while not world.gateway.switchboard.waiting:
            await asyncio.sleep(0.001)
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        """Nobody reads it."""

    async def run() -> None:
        headers = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
        async with asyncio.timeout(10):
            length = (b"content-length", str(len(body)).encode())
            await world.app(scope_of("POST", "/mcp", [*headers, length]), receive, send)

    asyncio.run(run())
    assert world.courier.posted
    assert world.gateway.switchboard.waiting == 0


def test_contexts_of_others_are_not_there(guarded: GatewayWorld) -> None:
    assert "no context" in why(call(guarded, "teach", {"text": "x"}, "teacher"))
    assert "no context" in why(call(guarded, "ask", {"question": "x"}, "teacher"))
    assert said(call(guarded, "teach", {"text": "x", "context": "faq-1"}, "teacher"))["records"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"jsonrpc":"2.0"}', b'{"jsonrpc":"2.0","id":1,"method":"x"}']
)
def test_what_is_no_message_of_the_protocol_is_refused(world: GatewayWorld, body: bytes) -> None:
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    response = world.call("POST", "/mcp", content=body, headers=headers)
    assert response.status_code < 500
    assert world.call("GET", "/mcp").status_code == 405


def test_it_can_be_switched_off() -> None:
    world = GatewayWorld(mcp=False)
    assert world.call("POST", "/mcp", json={}).status_code == 404
    world.close()
