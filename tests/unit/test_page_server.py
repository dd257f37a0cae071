"""The server of pages: those it is given, on the address it is given, and nothing else."""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from hurnet_stream.adapters import page_server
from hurnet_stream.adapters.page_server import TEXT, PageServer
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.settings.settings import MetricsSettings
from tests.acceptance.system import system_is_busy
from tests.stand_ins import LOOPBACKS


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_serves_its_pages_and_no_others() -> None:
    pages = {"/ok": lambda _: (200, TEXT, b"fine"), "/bad": lambda _: (503, TEXT, b"reasons")}
    server = PageServer("127.0.0.1", 0, pages)
    try:
        assert get(server.url + "/ok?x=1") == (200, "fine")
        assert get(server.url + "/bad") == (503, "reasons")
        assert get(server.url + "/../etc/passwd")[0] == 404
    finally:
        server.close()
    with pytest.raises(OSError, match="refused"):
        get(server.url + "/ok")


def test_an_address_that_is_taken_is_told() -> None:
    server = PageServer("127.0.0.1", 0, {})
    port = int(server.url.rpartition(":")[2])
    try:
        with pytest.raises(ConfigurationError, match=f"can't serve metrics on 127.0.0.1:{port}"):
            PageServer("127.0.0.1", port, {})
    finally:
        server.close()


@pytest.fixture
def server() -> Iterator[PageServer]:
    def broken(_accept: str) -> tuple[int, str, bytes]:
        raise ZeroDivisionError("secret")

    server = PageServer("127.0.0.1", 0, {"/ok": lambda _: (200, TEXT, b"fine" * 100_000), "/broken": broken})
    yield server
    server.close()


def said(server: PageServer, request: bytes, wait: float = 10.0) -> bytes:
    """All that comes back for raw bytes."""
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), wait) as client:
        client.sendall(request)
        reply = b""
        while part := client.recv(1 << 16):
            reply += part
    return reply


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost", *(["::1", "[::1]", "::"] if LOOPBACKS[1:] else [])])  # noqa: S104
def test_it_binds_to_addresses_of_both_kinds(host: str) -> None:
    settings = MetricsSettings(host=host)
    server = PageServer(settings.host, settings.port, {"/ok": lambda _: (200, TEXT, b"fine")})
    try:
        port = server.url.rpartition(":")[2]
        reached = {"::": ["127.0.0.1", "[::1]"], "0.0.0.0": ["127.0.0.1"]}  # noqa: S104
        for name in reached.get(host, [host if host == "localhost" else "[::1]"]):
            assert get(f"http://{name}:{port}/ok") == (200, "fine")
        assert server.url.startswith("http://[::") == (":" in host)
    finally:
        server.close()


def test_a_head_request_gets_the_head_alone(server: PageServer) -> None:
    head, _, body = said(server, b"HEAD /ok HTTP/1.1\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    assert b"Content-Length: 400000" in head
    assert body == b""
    assert said(server, b"HEAD /no HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 404")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW", "<script>"])
def test_other_methods_get_a_short_no(method: str, server: PageServer) -> None:
    reply = said(server, f"{method} /ok HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello".encode())
    assert reply.startswith(b"HTTP/1.0 405")
    assert b"Allow: GET, HEAD" in reply
    assert reply.endswith(b"\r\n\r\nmethod not allowed\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /ok HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n", b"431"),
        (b"GET /ok HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"\x16\x03\x01\x02\x00 \xff \xfe\r\n\r\n", b""),
        (b"GET /ok HTTP/9.9.9\r\n\r\n", b"bad request"),
        (b"\r\n\r\n", b""),
        (b"GET /broken HTTP/1.1\r\n\r\n", b"500"),
    ],
)
def test_whatever_is_asked_is_answered_shortly(request_: bytes, status: bytes, server: PageServer) -> None:
    reply = said(server, request_)
    assert len(reply) < 1_000
    assert status in reply[:20]
    assert b"secret" not in reply
    assert get(server.url + "/ok")[0] == 200


def test_clients_that_hang_up_leave_no_traceback(
    server: PageServer, capfd: pytest.CaptureFixture[str]
) -> None:
    port = int(server.url.rpartition(":")[2])
    for request in (b"", b"GET", b"GET /ok HTTP/1.1\r\n\r\n"):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
                client.sendall(request)
    assert get(server.url + "/ok")[0] == 200
    assert "".join(capfd.readouterr()) == ""


def test_silent_and_slow_clients_do_not_keep_others_out(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_server, "REQUEST_S", 0.5)
    before = threading.active_count()
    port = int(server.url.rpartition(":")[2])
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(3 * page_server.CONNECTIONS_MAX)
        ]
        assert get(server.url + "/ok")[0] == 200
        assert threading.active_count() - before <= page_server.CONNECTIONS_MAX + 2
        began = time.monotonic()
        silent[-1].settimeout(5)
        with suppress(OSError):
            while time.monotonic() - began < 5:  # a byte each tenth of a second, without an end
                silent[-1].sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - began < 3 or system_is_busy()
    while threading.active_count() > before:
        time.sleep(0.01)


def test_metrics_have_a_meaning_and_moved_partitions_leave_no_series() -> None:
    metrics = ResponderMetrics()
    metrics.set_by_partition(metrics.lag_rows, {0: 5, 1: 7})
    metrics.set_by_partition(metrics.lag_rows, {1: 6})
    metrics.weights_in_force("default", 3, 0.0, {"residual": 0.5, "method": "cholesky", "gcv": None})
    text = metrics.exposition().decode()
    assert 'hurnet_lag_rows{partition="1"} 6.0' in text
    assert 'partition="0"' not in text
    assert 'hurnet_certificate{context="default",figure="residual"} 0.5' in text
    assert 'figure="method"' not in text
    assert not sys.platform.startswith("linux") or "process_resident_memory_bytes" in text
    helps = [line for line in text.splitlines() if line.startswith("# HELP hurnet_")]
    assert len(helps) > 20
    assert all(len(line.split(maxsplit=3)) == 4 for line in helps)
