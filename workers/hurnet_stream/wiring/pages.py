"""What a worker serves over HTTP: /startz, /livez, /readyz and /metrics."""

from __future__ import annotations

from typing import Protocol

from hurnet_stream.adapters.page_server import TEXT, Page
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.settings.redaction import redacted
from hurnet_stream.visible import visible

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Health(Protocol):
    """What a process tells of itself: the loop of a worker, and the server of the gateway."""

    @property
    def started(self) -> bool:
        """Whether its first turn is over."""

    def seconds_since_turn(self) -> float:
        """Seconds since the last turn."""

    def alive(self, stall_s: float) -> bool:
        """Whether it turns; `stall_s` are the most seconds without a turn."""

    def unready(self) -> list[str]:
        """Why it does not do its work now; empty if it does."""

    def standing(self) -> str:
        """What it does, in words."""


def pages(health: Health, metrics: ProcessMetrics, stall_s: float) -> dict[str, Page]:
    """The pages by path. A loop that has not turned for `stall_s` seconds is not alive. A worker that is
    ready says what it does: a solver that stands by is as ready as the one that leads."""

    def start(_accept: str) -> tuple[int, str, bytes]:
        return (200, TEXT, b"ok\n") if health.started else (503, TEXT, b"in its first turn\n")

    def live(_accept: str) -> tuple[int, str, bytes]:
        alive = health.alive(stall_s)
        text = f"{'ok' if alive else 'stalled'}: last turn {health.seconds_since_turn():.1f} s ago\n"
        return 200 if alive else 503, TEXT, text.encode()

    def ready(_accept: str) -> tuple[int, str, bytes]:
        reasons = health.unready()
        metrics.ready.set(not reasons)
        # A reason may quote an error of a client library, and with it an address and its password.
        text = visible(redacted("; ".join(reasons) or f"ok: {health.standing()}"))
        return 503 if reasons else 200, TEXT, text.encode() + b"\n"

    def scrape(accept: str) -> tuple[int, str, bytes]:
        metrics.ready.set(not health.unready())
        if takes_openmetrics(accept):
            return 200, OPENMETRICS, metrics.openmetrics()
        return 200, PROMETHEUS, metrics.exposition()

    return {"/startz": start, "/livez": live, "/readyz": ready, "/metrics": scrape}


def takes_openmetrics(accept: str) -> bool:
    """Whether a client says so, as Prometheus does. Whoever says anything else gets plain text."""
    return any(part.partition(";")[0].strip() == "application/openmetrics-text" for part in accept.split(","))
