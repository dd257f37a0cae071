"""Traces: off, unless somebody collects them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Duration, Unit


class TracesSettings(Section):
    """Traces by OpenTelemetry, for which the extra `traces` is needed."""

    enabled: bool = Field(
        False, description="Whether spans are recorded and sent. Without it no message becomes slower."
    )
    endpoint: str = Field(
        "http://127.0.0.1:4318/v1/traces",
        max_length=2_000,
        pattern=r"^https?://[^\s@/]+(/[^\s@]*)?$",
        description="Where a collector takes spans: the whole URL of its OTLP over HTTP. A password does not "
        "belong into it, but into OTEL_EXPORTER_OTLP_HEADERS, which OpenTelemetry reads itself.",
    )
    ratio: Annotated[float, Unit("share")] = Field(
        1.0,
        ge=0,
        le=1,
        description="The share of the messages without a traceparent whose work is recorded. With one, the "
        "sender has decided.",
    )
    queue: Annotated[int, Unit("spans")] = Field(
        4_096, ge=16, le=100_000, description="Ended spans that wait to be sent. More push out the oldest."
    )
    timeout: Duration = Field(
        3.0,
        ge=0.1,
        le=60,
        description="Longest time in seconds that sending spans may take, and that a process which ends "
        "waits for it.",
    )
