"""The client library over real sockets: TLS, and servers that never end."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from hurnet_schemas import Reply
from hurnet_stream.client import Client, NoReply, Unreachable

REPLY = Reply(id="a", outcome="answered", answer="hi", question="hello").encode()


class Answering(BaseHTTPRequestHandler):
    """Gives the same reply to every request."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(REPLY)))
        self.end_headers()
        self.wfile.write(REPLY)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


class Endless(Answering):
    """Sends spaces for ever."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b" " * 65_536)
        except OSError:
            return


@contextmanager
def serving(kind: type[Answering], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context_of(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


def test_a_server_of_an_authority_of_ones_own_is_believed_once_that_is_named(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with serving(Answering, context_of(authority)) as port:
        with Client(f"https://127.0.0.1:{port}") as client, pytest.raises(Unreachable, match="SSL_CERT_FILE"):
            client.ask("hello")
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        for name in ("127.0.0.1", "localhost"):
            with Client(f"https://{name}:{port}") as client:
                assert client.ask("hello").answer == "hi"


def test_tls_with_a_port_that_speaks_none_is_told() -> None:
    with (
        serving(Answering) as port,
        Client(f"https://127.0.0.1:{port}") as client,
        pytest.raises(Unreachable, match="speak TLS"),
    ):
        client.ask("hello")


def test_no_tls_with_a_port_that_speaks_it_ends_in_time(authority: trustme.CA) -> None:
    with (
        serving(Answering, context_of(authority)) as port,
        Client(f"http://127.0.0.1:{port}", timeout=1) as client,
        pytest.raises((Unreachable, NoReply)),
    ):
        client.ask("hello")


def test_a_response_without_an_end_is_given_up_and_takes_no_memory() -> None:
    with (
        serving(Endless) as port,
        Client(f"http://127.0.0.1:{port}") as client,
        pytest.raises(Unreachable, match="more than 8,388,608 bytes"),
    ):
        client.ask("hello")
