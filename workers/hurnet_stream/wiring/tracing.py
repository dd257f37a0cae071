"""The tracer of a process, if the settings ask for one. Otherwise nothing of OpenTelemetry is loaded."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Tracer
from hurnet_stream.settings.settings import TracesSettings


@contextmanager
def traced(settings: TracesSettings, role: str, instance: str = "") -> Iterator[Tracer | None]:
    """A block with a tracer; None if traces are off. What is recorded is sent at its end, or given up after
    the setting's time-out."""
    if not settings.enabled:
        yield None
        return
    try:
        from hurnet_stream.adapters.traces import ExportingTracer
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"HURNET_TRACES_ENABLED needs the extra `traces`: pip install 'hurnet-stream[traces]' ({error})"
        ) from None
    tracer = ExportingTracer(settings, role, instance or f"{socket.gethostname()}:{os.getpid()}")
    try:
        yield tracer
    finally:
        tracer.close()
