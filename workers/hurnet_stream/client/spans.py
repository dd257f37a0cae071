"""Sending as a span of a trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hurnet_stream.ports import TraceContext, Tracer, Work


@contextmanager
def sent(tracer: Tracer | None, work: Work) -> Iterator[TraceContext | None]:
    """A block that sends messages: gives the span that it is, for their headers; None if nothing records."""
    span = tracer.begin(work, time.monotonic()) if tracer else None
    try:
        yield span.context if span else None
    finally:
        if span:
            span.end(time.monotonic())
