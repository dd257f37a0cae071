"""Traces: which programs worked on a message, on what, and for how long.

A message carries its place in a trace in the header `traceparent` (W3C Trace Context):

    00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
    version    trace id (16 bytes)        span id (8)    flags: 1, it is recorded

Whoever works on the message makes a span, a child of the one that the header names, and sends its own id on.
Work on several messages at once is a span of its own, which is linked with theirs.

Workers speak of messages and phases here. An adapter knows what a tracing system calls them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

TRACEPARENT = "traceparent"
"""The name of the header."""
_FORMAT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[ -~]{0,200})?")
_VERSION = b"00"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span of a trace. The ids are 32 and 16 lower-case hexadecimal digits, and neither is 0 alone.
    `sampled`: whoever made the span records it."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @property
    def header(self) -> tuple[str, bytes]:
        """The header of a message whose work goes on from this span."""
        return TRACEPARENT, f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}".encode()


def parse_traceparent(value: bytes | None) -> TraceContext | None:
    """What a header `traceparent` says; None if it is not one. Whatever its bytes are, nothing is raised."""
    match = _FORMAT.fullmatch(value) if value else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    # Later versions may add fields behind the fourth. Version ff never is one.
    if version == b"ff" or (version == _VERSION and more is not None):
        return None
    if not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    return TraceContext(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & 1))


def new_trace() -> TraceContext:
    """A trace that begins here, for a client that records no spans: its question can be found by the id."""
    return TraceContext(secrets.token_hex(16), secrets.token_hex(8))


class Interval(NamedTuple):
    """A phase of a turn, in monotonic seconds."""

    phase: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Work:
    """What a span is about: messages of one topic, never their texts. `partition` and `offset` are those of
    a single one."""

    operation: Literal["send", "process"]
    topic: str
    messages: int = 1
    partition: int | None = None
    offset: int | None = None
    group: str | None = None


class Span(Protocol):
    """Work that is being recorded."""

    @property
    def context(self) -> TraceContext:
        """What goes into the messages that come of this work."""

    def part(self, interval: Interval) -> None:
        """A phase of this work, as a span below this one."""

    def link(self, other: TraceContext) -> None:
        """This work belongs with that span, which is not above it."""

    def end(self, ended: float, outcome: str | None = None, error: str | None = None) -> None:
        """The work has ended (monotonic seconds), with an error or an outcome. Called once, at last."""


class Tracer(Protocol):
    """Records spans. No call waits, and none raises because of where spans are sent."""

    def begin(
        self, work: Work, began: float, parent: TraceContext | None = None, links: Sequence[TraceContext] = ()
    ) -> Span | None:
        """A span of `work`, which began at `began` (monotonic seconds); None if it is not to be recorded.

        It is recorded if its parent is. Without a parent it is if one of `links` is, or by chance, as often
        as the settings say.
        """

    def close(self) -> None:
        """Send what is recorded, within a bounded time."""
