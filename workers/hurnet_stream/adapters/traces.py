"""Spans by OpenTelemetry, sent by OTLP over HTTP (the extra `traces`).

What the port speaks of gets the names of OpenTelemetry's conventions for messaging:

    Work("process", "queries", ...)   span `process queries`, a consumer   messaging.operation.type = process
    Work("send", "texts", ...)        span `send texts`, a producer        messaging.operation.type = send
    Interval("embed", ...)            span `embed` below it, internal

Ended spans wait in a queue of bounded length for a thread of their own. If nobody takes them, the oldest are
dropped: a worker never waits for a collector. Of a message only its place is recorded, never what it says.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from hurnet_stream.ports import Interval, TraceContext, Work
from hurnet_stream.settings.settings import TracesSettings

_KINDS: Final = {"send": SpanKind.PRODUCER, "process": SpanKind.CONSUMER}
_SENT_TOGETHER: Final = 512
"""Spans of one request to the collector, at most."""
_SEND_EVERY_MS: Final = 1_000


class OtelSpan:
    """`Span` (see hurnet_stream/ports/tracing.py)."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        self._below = trace.set_span_in_context(span)

    @property
    def context(self) -> TraceContext:
        context = self._span.get_span_context()
        return TraceContext(f"{context.trace_id:032x}", f"{context.span_id:016x}", True)

    def part(self, interval: Interval) -> None:
        part = self._tracer.start_span(interval.phase, self._below, start_time=_unix_ns(interval.began))
        part.end(_unix_ns(interval.ended))

    def link(self, other: TraceContext) -> None:
        self._span.add_link(_remote(other))

    def end(self, ended: float, outcome: str | None = None, error: str | None = None) -> None:
        if outcome:
            self._span.set_attribute("hurnet.outcome", outcome)
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR, error)
        self._span.end(_unix_ns(ended))


class OtelTracer:
    """`Tracer` (see hurnet_stream/ports/tracing.py). `ratio` is the share of the traces that begin here and
    are recorded."""

    def __init__(self, processor: SpanProcessor, resource: Mapping[str, str], ratio: float) -> None:
        # Sampled is what this class asks for, and nothing else is handed on to OpenTelemetry.
        self._provider = TracerProvider(ALWAYS_ON, Resource.create(dict(resource)), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("hurnet_stream")
        self._ratio = ratio

    def begin(
        self, work: Work, began: float, parent: TraceContext | None = None, links: Sequence[TraceContext] = ()
    ) -> OtelSpan | None:
        if not self._is_recorded(parent, links):
            return None
        span = self._tracer.start_span(
            f"{work.operation} {work.topic}",
            trace.set_span_in_context(NonRecordingSpan(_remote(parent))) if parent else None,
            _KINDS[work.operation],
            _attributes(work),
            [Link(_remote(link)) for link in links],
            _unix_ns(began),
        )
        return OtelSpan(self._tracer, span) if span.is_recording() else None  # OTEL_SDK_DISABLED

    def flush(self) -> None:
        """Send what has ended by now, and wait for that."""
        self._provider.force_flush()

    def close(self) -> None:
        self._provider.shutdown()

    def _is_recorded(self, parent: TraceContext | None, links: Sequence[TraceContext]) -> bool:
        if parent:
            return parent.sampled
        return any(link.sampled for link in links) or random.random() < self._ratio  # noqa: S311


class ExportingTracer(OtelTracer):
    """A tracer that sends its spans to the collector of the settings. `role` is that of the process, and
    `instance` tells it from others of its role."""

    def __init__(self, settings: TracesSettings, role: str, instance: str) -> None:
        self._patience_s = settings.timeout
        self._exporter = OTLPSpanExporter(settings.endpoint, timeout=settings.timeout)
        together = min(_SENT_TOGETHER, settings.queue)
        processor = BatchSpanProcessor(self._exporter, settings.queue, _SEND_EVERY_MS, together)
        super().__init__(processor, _resource(role, instance), settings.ratio)

    def close(self) -> None:
        # Without a collector the provider would try for as long as all of the queue takes.
        closing = threading.Thread(target=super().close, name="closing traces", daemon=True)
        closing.start()
        closing.join(self._patience_s)
        if closing.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call] # the request in hand is given up, and so is the rest


def _resource(role: str, instance: str) -> dict[str, str]:
    return {
        "service.namespace": "hurnet",
        "service.name": f"hurnet-{role}",
        "service.instance.id": instance,
        "service.version": version("hurnet-stream"),
    }


def _attributes(work: Work) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "messaging.system": "kafka",
        "messaging.operation.name": work.operation,
        "messaging.operation.type": work.operation,
        "messaging.destination.name": work.topic,
    }
    if work.group:
        attributes["messaging.consumer.group.name"] = work.group
    if work.messages > 1:
        attributes["messaging.batch.message_count"] = work.messages
    if work.partition is not None:
        attributes["messaging.destination.partition.id"] = str(work.partition)
    if work.offset is not None:
        attributes["messaging.kafka.offset"] = work.offset
    return attributes


def _remote(context: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), True, flags)


def _unix_ns(monotonic_s: float) -> int:
    """Nanoseconds since 1970 of a moment on this process's monotonic clock."""
    return time.time_ns() - round((time.monotonic() - monotonic_s) * 1e9)
