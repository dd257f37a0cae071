"""What the gateway measures: HTTP as its clients see it."""

from __future__ import annotations

from typing import Final, Literal, get_args

from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.metrics.store import StoreMetrics

HTTP = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
OTHER: Final = "other"
"""The route of a request whose path there is not, and a method that no path has."""
Refusal = Literal[
    "rate", "in-flight", "connections", "busy", "key", "right", "origin", "host", "size", "slow", "kafka"
]


class GatewayMetrics(ProcessMetrics, StoreMetrics):
    """Requests, what was refused, and how much is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = self._counter(
            "http_requests",
            "Requests by the template of their path (other: no such path), method and status.",
            "route",
            "method",
            "status",
        )
        self.http_seconds = self._histogram(
            "http_seconds",
            "Seconds from a request's first line to the end of its response, by the template of its path. "
            "Streams of events do not count.",
            HTTP,
            ("route",),
        )
        self.refused = self._counter(
            "http_refused",
            "What was refused: rate (429), in-flight, connections, kafka (503), busy (503: long bodies, "
            "readers, listeners, replays or rehearsals at once), key (401), right (403), origin (403), "
            "host (421), size (413), slow (408).",
            "why",
        )
        self.questions = self._gauge("questions_under_way", "Questions that wait for their replies.")
        self.connections = self._gauge("http_connections", "HTTP connections that are open.")
        self.keys_in_force = self._gauge(
            "gateway_keys_in_force",
            "1 if the file of keys is in force as it is now, or none is needed; 0 if it can't be used, so "
            "that the keys of before are in force.",
        )
        self._from_zero(self.refused, get_args(Refusal))
