"""What those measure who hold contexts and their weights: the solver and responders."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

from hurnet_stream.metrics.registry import Registry

FIGURES = ("count", "condition", "effective_rank", "residual")
"""What of a certificate somebody would alert on. Receipts and `hurnet status` show more."""


class ContextMetrics(Registry):
    """How far behind the store, what each context holds, and which weights are in force there."""

    def __init__(self) -> None:
        super().__init__()
        self.lag_rows = self._gauge(
            "lag_rows", "Rows of the store that this worker has not taken in yet.", "partition"
        )
        self.context_rows = self._gauge(
            "context_rows",
            "In a responder, rows held in memory. In a solver, pairs learned, each as often as its weight "
            "says.",
            "context",
        )
        self.weights_refused = self._counter(
            "weights_refused",
            "Weights that were not put into force because they were not good enough.",
            "context",
        )
        self.weights_version = self._gauge(
            "weights_version", "The version of the weights in force.", "context"
        )
        self.weights_age = self._gauge(
            "weights_age_seconds", "Seconds since the weights in force were published.", "context"
        )
        self.certificate = self._gauge(
            "certificate",
            "How good the weights in force are. count: pairs learned; condition: condition number of the "
            "system that was solved; effective_rank: directions that the pairs use; residual: share of the "
            "targets that the weights do not reproduce (0 to 1).",
            "context",
            "figure",
        )

    def set_context_rows(self, values: Mapping[str, int]) -> None:
        """Show exactly these contexts. One that was dropped, or is empty now, leaves no series behind."""
        self._set_exactly(self.context_rows, values)

    def weights_in_force(
        self, context: str, version: int, published_s: float, certificate: Mapping[str, float | str | None]
    ) -> None:
        """Weights of `context` came into force. `published_s` is in seconds since the epoch."""
        self.weights_version.labels(context).set(version)
        self.weights_age.labels(context).set_function(lambda: max(0.0, time.time() - published_s))
        for figure in FIGURES:
            value = certificate.get(figure)
            if isinstance(value, int | float):
                self.certificate.labels(context, figure).set(value)

    def no_weights_in_force(self, context: str) -> None:
        """Weights of `context` were withdrawn, and with them go their figures."""
        for metric in (self.weights_version, self.weights_age, self.weights_refused):
            with contextlib.suppress(KeyError):
                metric.remove(context)
        self.certificate.remove_by_labels({"context": context})
