"""A collector of traces for tests: takes OTLP over HTTP, and keeps the spans."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True, slots=True)
class Received:
    """A span as a collector has it. `service` and `instance` say which process sent it."""

    name: str
    service: str
    instance: str
    trace_id: str
    span_id: str
    parent_id: str
    began_ns: int
    ended_ns: int
    linked: frozenset[str]
    attributes: dict[str, str]


class Collector:
    """Listens on a free port. What is no OTLP is answered with 400, and counted in `refused`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Received] = []
        self.refused = 0
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = 200 if self.path == "/v1/traces" and collector._take(body) else 400
                self.send_response(status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()
                self.wfile.write(ExportTraceServiceResponse().SerializeToString())

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def spans(self) -> list[Received]:
        with self._lock:
            return list(self._spans)

    def trace(self, trace_id: str) -> list[Received]:
        """The spans of one trace, in the order in which they began."""
        return sorted(
            (s for s in self.spans if s.trace_id == trace_id), key=lambda s: (s.began_ns, s.ended_ns)
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, body: bytes) -> bool:
        request = ExportTraceServiceRequest()
        try:
            request.ParseFromString(body)
        except ValueError:  # protobuf's DecodeError is one
            self.refused += 1
            return False
        with self._lock:
            self._spans += _received(request)
        return True


def _received(request: ExportTraceServiceRequest) -> list[Received]:
    spans = []
    for of_process in request.resource_spans:
        resource = {each.key: each.value.string_value for each in of_process.resource.attributes}
        for span in (span for scope in of_process.scope_spans for span in scope.spans):
            spans.append(
                Received(
                    span.name,
                    resource["service.name"],
                    resource["service.instance.id"],
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    frozenset(link.span_id.hex() for link in span.links),
                    {each.key: each.value.string_value for each in span.attributes},
                )
            )
    return spans
