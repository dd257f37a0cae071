"""Where a slice is asked: each request waits in a thread of gRPC until the slice's own thread answers it.

    gRPC's threads      request ─▶ queue ─▶ wait ...................... ─▶ reply
    the slice's thread              take ─▶ search, count, ... ─▶ reply(bytes)

One thread searches and takes entries in (decision 0135), so requests are answered one after the other. A
request whose asker has given up is not answered any more. More than `WAITING_MOST` are refused at once.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
import structlog

from hurnet_stream.adapters.grpc import credentials
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings.slices import SliceSettings

log = structlog.get_logger()

WAITING_MOST: Final = 64
"""Requests in hand at once: one for each of so many coordinators."""
WAIT_MOST_S: Final = 60.0
"""Of a request, whatever its asker allows."""
CLOSING_S: Final = 1.0


class _Call:
    """`SliceCall`: one request, and what its thread waits for."""

    def __init__(self, payload: bytes, context: Any) -> None:
        self.payload = payload
        self._context = context
        self._done = threading.Event()
        self._reply: bytes | None = None
        self._reason = "the slice ends"
        self._failed = False

    @property
    def is_awaited(self) -> bool:
        return not self._done.is_set() and bool(self._context.is_active())

    def reply(self, payload: bytes) -> None:
        self._reply = payload
        self._done.set()

    def refuse(self, reason: str, failed: bool = False) -> None:
        self._reason, self._failed = reason, failed
        self._done.set()

    def outcome(self) -> bytes:
        """Waits for the slice's thread. Ends the call of gRPC if there is no reply."""
        left_s = self._context.time_remaining()
        wait_s = WAIT_MOST_S if left_s is None else min(left_s, WAIT_MOST_S)
        if not self._done.wait(wait_s):
            self._reason = "the slice has not come to it in time"
            self._done.set()
        if self._reply is None:
            code = grpc.StatusCode.INTERNAL if self._failed else grpc.StatusCode.FAILED_PRECONDITION
            self._context.abort(code, self._reason)
        return self._reply or b""


class GrpcSliceDoor:
    """`SliceDoor` (see hurnet_stream/ports/slices.py) over gRPC."""

    def __init__(self, settings: SliceSettings) -> None:
        self._settings = settings
        self._waiting: queue.Queue[_Call] = queue.Queue(WAITING_MOST)
        self._server = grpc.server(
            ThreadPoolExecutor(WAITING_MOST, thread_name_prefix="slice"),
            options=credentials.OPTIONS,
            maximum_concurrent_rpcs=WAITING_MOST,
        )
        handler = grpc.unary_unary_rpc_method_handler(self._asked)  # bytes as they are: no serialiser
        service, method = credentials.METHOD.strip("/").split("/")
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        self.address = _reached_at(settings, self._listen())
        self._server.start()

    def take(self, wait_s: float) -> _Call | None:
        with contextlib.suppress(queue.Empty):
            return self._waiting.get(timeout=wait_s) if wait_s > 0 else self._waiting.get_nowait()
        return None

    def close(self) -> None:
        stopped = self._server.stop(CLOSING_S)
        while call := self.take(0):
            call.refuse("the slice ends")
        stopped.wait(CLOSING_S)

    def _listen(self) -> int:
        address = self._settings.listen
        try:
            if tls := credentials.of_server(self._settings):
                return int(self._server.add_secure_port(address, tls))
            return int(self._server.add_insecure_port(address))
        except (RuntimeError, OSError) as error:
            raise ConfigurationError(
                f"can't listen at HURNET_SLICES_LISTEN {address}: is another process there? ({error})"
            ) from error

    def _asked(self, payload: bytes, context: Any) -> bytes:
        """In a thread of gRPC."""
        if not credentials.is_admitted(self._settings, context.invocation_metadata()):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "HURNET_SLICES_SECRET is another one here")
        call = _Call(payload, context)
        try:
            self._waiting.put_nowait(call)
        except queue.Full:
            context.abort(grpc.StatusCode.ABORTED, "too many requests wait already")
        return call.outcome()


def _reached_at(settings: SliceSettings, port: int) -> str:
    """HOST:PORT for others: as set, or where it listens."""
    if settings.address:
        return settings.address
    host = settings.listen.rpartition(":")[0]
    if host.strip("[]") in ("0.0.0.0", "::"):  # noqa: S104 - compared, not listened at
        host = socket.gethostname()
    return f"{host}:{port}"
