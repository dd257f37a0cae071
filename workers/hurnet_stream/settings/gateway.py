"""HURNET_GATEWAY_*: the HTTP server for programs, agents and people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Address, Duration, Port, Topic, Unit


class GatewaySettings(Section):
    """The HTTP server for programs, agents and people."""

    host: Address = Field(
        "127.0.0.1",
        description="The address to listen at. Anything but loopback needs HURNET_GATEWAY_KEYS.",
    )
    port: Port = Field(8080, description="The port to listen at. 0 takes a free one; the log says which.")
    keys: Path | None = Field(
        None,
        description="The TOML file of API keys, for which `hurnet keys new` writes tables: digests, rights "
        "and contexts. It is read again when it changes. Without it everybody who reaches the port may do "
        "everything, which is allowed on loopback, or with HURNET_GATEWAY_OPEN.",
    )
    open: bool = Field(
        False,
        description="Whether it may serve without HURNET_GATEWAY_KEYS beyond loopback: only if nobody else "
        "reaches the port, such as that of a container which is published on loopback.",
    )
    hosts: str = Field(
        "",
        max_length=4_096,
        description="Names that requests may be addressed to, beside loopback's and HURNET_GATEWAY_HOST, "
        "with commas between them, as in ask.example.org. * takes any, which is wise only behind a proxy "
        "that checks them.",
    )
    origins: str = Field(
        "",
        max_length=4_096,
        description="Web pages of other origins that may use it (CORS), with commas between them, as in "
        "https://intranet.example.org. Default: none.",
    )
    replies: Topic | None = Field(
        None,
        description="The topic that answers to its questions go to. Default: HURNET_KAFKA_ANSWERS. Each "
        "gateway reads all of it, so many gateways want one each.",
    )
    timeout: Duration = Field(
        10.0, ge=0.1, le=60, description="Longest time in seconds that a request waits for its reply."
    )
    in_flight: Annotated[int, Unit("questions")] = Field(
        256,
        ge=1,
        le=100_000,
        description="Questions that wait for replies at once. One more is refused (503).",
    )
    clients: Annotated[int, Unit("connections")] = Field(
        2_000, ge=1, le=100_000, description="Connections that are open at once."
    )
    body: Annotated[int, Unit("bytes")] = Field(
        8 << 20, ge=1_024, le=1 << 30, description="The longest body of a request."
    )
    rate: Annotated[float, Unit("requests per second")] = Field(
        0.0,
        ge=0,
        le=1_000_000,
        description="Requests that each key may make in a second, unless its table says otherwise; one more "
        "is refused (429). 0: no limit.",
    )
    workers: str = Field(
        "",
        max_length=4_096,
        description="Where workers serve their metrics, HOST:PORT with commas between: the page then shows "
        "what only they know, such as how far responders have come. Default: none.",
    )
    idempotency: Duration = Field(
        86_400.0,
        ge=60,
        le=30 * 86_400,
        description="Seconds for which the Idempotency-Key of a request is remembered, so that it is not "
        "written again. Each takes about 400 bytes of Redis.",
    )
    console: bool = Field(True, description="Whether it serves the page for people at /.")
    mcp: bool = Field(True, description="Whether agents may use it at /mcp (Model Context Protocol).")
    replays: bool = Field(
        True,
        description="Whether receipts may be replayed over HTTP, each by a process of its own that loads "
        "their context, one at a time.",
    )
