"""/metrics, /startz, /livez and /readyz over HTTP, on threads of their own: GET and HEAD, one request a
connection.

A client may do what it likes and costs little. A request has a limit in bytes and one in seconds. There are
at most `CONNECTIONS_MAX` connections, of which the oldest makes room for a new one: clients that connect and
stay silent can't keep others out.
"""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from threading import Lock, Thread
from typing import Any, Final

import structlog
from typing_extensions import override

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings.addresses import shown

log = structlog.get_logger()

Page = Callable[[str], tuple[int, str, bytes]]
"""Given the header Accept, or "", returns (status, content type, body)."""

TEXT = "text/plain; charset=utf-8"
REQUEST_BYTES: Final = 8 << 10
"""The most of a request line and its headers together."""
READ_AWAY_BYTES: Final = 1 << 20
"""The most that is read and dropped of what follows a request that was refused."""
REQUEST_S: Final = 5.0
"""For a request to come in, and again for its answer to go out."""
CONNECTIONS_MAX: Final = 32


class PageServer:
    """Serves the given pages by path until closed. Raises `ConfigurationError` if it can't bind."""

    def __init__(self, host: str, port: int, pages: dict[str, Page]) -> None:
        try:
            self._server = _Server(host, port, type("Handler", (_Handler,), {"pages": pages}))
        except OSError as error:
            raise ConfigurationError(
                f"can't serve metrics on {shown(host, port)} (HURNET_METRICS_HOST, _PORT): {error.strerror}"
            ) from error
        self.url = f"http://{shown(*self._server.socket.getsockname()[:2])}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="pages", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 2 * CONNECTIONS_MAX

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: dict[socket.socket, None] = {}  # in the order of their coming, the oldest first
        self._lock = Lock()
        self.address_family, address = _address(host, port)
        super().__init__(address, handler)

    @override
    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6 and self.server_address[0] == "::":
            # "::" also serves IPv4: "all addresses" means both kinds.
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._open) >= CONNECTIONS_MAX:
                oldest = next(iter(self._open))
                del self._open[oldest]
                _end(oldest)
            self._open[request] = None
        super().process_request(request, client_address)

    @override
    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what is a bug. A client that hangs up or is too slow is none."""
        if not isinstance(sys.exception(), OSError):
            log.exception("answering a request failed")


def _address(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """(family, address) to bind to: IPv4 if a name has both kinds. An IPv6 address keeps its scope."""
    candidates = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(candidates, key=lambda entry: entry[0] != socket.AF_INET)
    return family, address


def _end(connection: socket.socket) -> None:
    """Wake the thread that waits for this connection, which then closes it."""
    with contextlib.suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    pages: Mapping[str, Page]
    server_version = "hurnet"
    sys_version = ""

    @override
    def setup(self) -> None:
        super().setup()
        head, too_long = _head(self.connection)
        self.connection.settimeout(REQUEST_S)
        # The base class reads from here: the head only, since no page of ours wants a body.
        self.rfile = io.BytesIO(head)
        if too_long:
            self.requestline = self.request_version = self.command = ""
            self.send_error(too_long)
            _read_away(self.connection)

    def do_GET(self) -> None:
        self._answer(*self._page())

    do_HEAD = do_GET

    def _page(self) -> tuple[int, str, bytes]:
        page = self.pages.get(self.path.partition("?")[0])
        if page is None:
            return HTTPStatus.NOT_FOUND, TEXT, b"not found\n"
        try:
            return page(self.headers.get("Accept", ""))
        except Exception:
            log.exception("a page failed", path=self.path)
            return HTTPStatus.INTERNAL_SERVER_ERROR, TEXT, b"failed; see the log\n"

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @override
    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with one line that repeats nothing of the request."""
        # The base class says "not implemented" of a method for which it finds no function here.
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._answer(status, TEXT, f"{status.phrase.lower()}\n".encode())

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: such requests come every few seconds."""


def _head(connection: socket.socket) -> tuple[bytes, HTTPStatus | None]:
    """(request line and headers as far as they came, None), or (b"", a status that says what is too long)."""
    deadline, read = time.monotonic() + REQUEST_S, bytearray()
    while len(read) <= REQUEST_BYTES:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        part = connection.recv(REQUEST_BYTES)
        read += part
        if not part or b"\r\n\r\n" in read or b"\n\n" in read:
            return bytes(read), None
    if b"\n" in read:  # the request line is complete, so it is the headers
        return b"", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return b"", HTTPStatus.REQUEST_URI_TOO_LONG


def _read_away(connection: socket.socket) -> None:
    """Read and drop some of what follows. If a connection is closed with bytes unread, the kernel resets it,
    and the client may lose the answer."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(0.2)
    for _ in range(READ_AWAY_BYTES // REQUEST_BYTES):
        if not connection.recv(REQUEST_BYTES):
            return
