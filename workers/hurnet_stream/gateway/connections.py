"""What uvicorn leaves open about connections: how many there may be, how slow and how long-winded they.

    silent      owes the head of a request, its first or its next     ended after HEAD_S
    stuck       does not read its response, which waits in memory     ended after WRITE_S
    closing     has its last response, and does not close             ended after CLOSE_S

A body that comes slowly is watched where it is read (`bodies`). If all places are taken, the connection that
has been silent longest gives its own to the new one: whoever talks is never shut out by those who only hold
a line. If none is silent, the new one is told so (503) as soon as its head is there.
"""

from __future__ import annotations

import time
from asyncio import Transport
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import structlog
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from hurnet_stream.gateway.headers import ALWAYS, NO_STORE, REQUEST_ID, request_id
from hurnet_stream.gateway.lingering import Lingering
from hurnet_stream.gateway.problems import Problem, busy
from hurnet_stream.metrics.gateway import OTHER, GatewayMetrics

log = structlog.get_logger()

HEAD_S: Final = 15.0
WRITE_S: Final = 20.0
CLOSE_S: Final = 5.0
SWEEP_S: Final = 1.0
HEAD_BYTES: Final = 16 << 10
"""The most of a request line and its headers together."""
HEADERS_MOST: Final = 100
SURPLUS: Final = 64
"""Connections beyond the limit that are told so. Further ones are ended without a word."""
PIPELINED_MOST: Final = 16
"""Requests that one connection may send before the first is answered."""


class Connections:
    """All connections of a server, at most `most`. `clock_s` never goes back."""

    def __init__(
        self, most: int, metrics: GatewayMetrics, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._metrics = metrics
        self._clock_s = clock_s
        self._open: set[BoundedProtocol] = set()
        self._silent: dict[BoundedProtocol, float] = {}  # and since when, the longest first
        self._stuck: dict[BoundedProtocol, float] = {}
        self._closing: dict[BoundedProtocol, float] = {}

    def __len__(self) -> int:
        return len(self._open)

    def protocol(self, **given: Any) -> BoundedProtocol:
        """A new connection's protocol, as uvicorn makes one."""
        return BoundedProtocol(self, **given)

    def opened(self, new: BoundedProtocol) -> bool:
        """Whether there is a place for it. Its own place is noted either way."""
        room = len(self._open) < self._most
        if not room and self._silent:
            longest = next(iter(self._silent))
            self.closed(longest)
            longest.abort()
            room = True
        self._open.add(new)
        self.silent(new)
        self._metrics.connections.set(len(self._open))
        return room

    @property
    def overrun(self) -> bool:
        """Whether even those are too many that are only told so."""
        return len(self._open) > self._most + SURPLUS

    def closed(self, old: BoundedProtocol) -> None:
        self._open.discard(old)
        for state in (self._silent, self._stuck, self._closing):
            state.pop(old, None)
        self._metrics.connections.set(len(self._open))

    def silent(self, one: BoundedProtocol) -> None:
        """It owes the head of a request."""
        self._silent.setdefault(one, self._clock_s())

    def spoke(self, one: BoundedProtocol) -> None:
        self._silent.pop(one, None)

    def stuck(self, one: BoundedProtocol) -> None:
        """It does not read."""
        self._stuck.setdefault(one, self._clock_s())

    def reads(self, one: BoundedProtocol) -> None:
        self._stuck.pop(one, None)

    def refused(self, problem: Problem, told: str) -> None:
        """Count a request that the application has never seen, and write its line."""
        self._metrics.requests.labels(OTHER, OTHER, str(problem.status.value)).inc()
        if problem.refused:
            self._metrics.refused.labels(problem.refused).inc()
        log.info("request", status=problem.status.value, method=OTHER, route=OTHER, key=None, request_id=told)

    def overran(self) -> None:
        """Count a connection that is ended without a word."""
        self._metrics.refused.labels("connections").inc()

    def sweep(self) -> None:
        """End those that have taken too long."""
        now = self._clock_s()
        for one in self._open:
            if one.transport.is_closing():
                self._closing.setdefault(one, now)
        for state, longest_s in (
            (self._silent, HEAD_S),
            (self._stuck, WRITE_S),
            (self._closing, CLOSE_S),
        ):
            for late in [one for one, since in state.items() if since <= now - longest_s]:
                if late.is_slow:
                    self._metrics.refused.labels("slow").inc()
                self.closed(late)
                late.abort()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol over httptools, with bounds."""

    def __init__(self, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._connections = connections
        self._room = True
        self._in_head = False
        self._head_bytes = 0
        """Received since the head began: it may be cut anywhere."""
        self._parsed_bytes = 0

    def abort(self) -> None:
        """End the connection at once, whatever waits to be sent."""
        self.transport.abort()

    @property
    def is_slow(self) -> bool:
        """Whether it is in the middle of a request or of a response, and not only idle."""
        return self._in_head or self.flow.write_paused

    @property
    def _answering(self) -> bool:
        """Whether a request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    @override
    def connection_made(self, transport: Any) -> None:
        super().connection_made(cast(Transport, Lingering(transport)))
        self._room = self._connections.opened(self)
        if self._connections.overrun:
            self._connections.overran()
            self.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.closed(self)
        self.pipeline.clear()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._refuse(_too_long())
        elif len(self.pipeline) > PIPELINED_MOST:
            self._refuse(
                busy(
                    429, f"more than {PIPELINED_MOST} requests before the first was answered", refused="rate"
                )
            )
        elif not self._answering:  # it may also send nothing but empty lines
            self._connections.silent(self)

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes, self._parsed_bytes = True, 0, 0
        self._connections.silent(self)

    @override
    def on_url(self, url: bytes) -> None:
        self._parsed_bytes += len(url)
        super().on_url(url)

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        self._parsed_bytes += len(name) + len(value) + 4
        super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        self._in_head = False
        self._connections.spoke(self)
        if self._parsed_bytes > HEAD_BYTES or len(self.headers) > HEADERS_MOST:
            self._refuse(_too_long())
        elif not self._room:
            self._refuse(busy(503, "all connections are taken", refused="connections"))
        else:
            super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        if self._answering:
            super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        if self._answering:
            super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._answering and not self.pipeline:
            self._connections.silent(self)

    @override
    def pause_writing(self) -> None:
        self._connections.stuck(self)
        super().pause_writing()

    @override
    def resume_writing(self) -> None:
        self._connections.reads(self)
        super().resume_writing()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem(400, "this is not HTTP/1.1 as it should be"))

    @override
    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: a client that asks for another protocol is answered in this one."""

    def _refuse(self, problem: Problem) -> None:
        """Answer without the application, and close. Only the first refusal counts."""
        if self.transport.is_closing():
            return
        if self._answering and self.cycle.response_started:  # no place within another response
            self.abort()
            return
        if self._answering:  # the application must not answer as well
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        given = dict(self.headers) if self.headers else {}  # None before the first head
        told = request_id(given.get(REQUEST_ID.encode(), b"").decode("latin-1"))
        self._connections.refused(problem, told)
        response = problem.response()
        head = [f"HTTP/1.1 {problem.status.value} {problem.status.phrase}\r\n".encode()]
        for name, value in (*response.raw_headers, *self._always(told)):
            head.append(name + b": " + value + b"\r\n")
        self.transport.write(b"".join(head) + b"\r\n" + bytes(response.body))
        self.transport.close()

    def _always(self, told: str) -> Iterable[tuple[bytes, bytes]]:
        """What the application's responses have, too."""
        yield from self.server_state.default_headers
        yield from (*ALWAYS, NO_STORE, (REQUEST_ID.encode(), told.encode()), (b"connection", b"close"))


def _too_long() -> Problem:
    return Problem(
        431, f"a request's line and headers may have {HEAD_BYTES:,} bytes and {HEADERS_MOST} headers at most"
    )
