"""What those measure who hold contexts and their weights: the solver and responders."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from hurnet_stream.metrics.registry import CONTEXTS_SHOWN, OTHERS, Registry

FIGURES = ("count", "condition", "effective_rank", "residual")
"""What of a certificate somebody would alert on. Receipts and `hurnet status` show more."""


class ContextMetrics(Registry):
    """How far behind the store, what each context holds, and which weights are in force there."""

    def __init__(self) -> None:
        super().__init__()
        self._named: set[str] = set()
        self.lag_rows = self._gauge(
            "lag_rows", "Rows of the store that this worker has not taken in yet.", "partition"
        )
        self._context_rows = self._gauge(
            "context_rows",
            "In a responder, rows held in memory. In a solver, pairs learned, each as often as its weight "
            "says. The first hundred contexts are shown by name, and all others together.",
            "context",
        )
        self.weights_refused = self._counter(
            "weights_refused",
            "Weights that were not put into force because they were not good enough. Only the first hundred "
            "contexts are shown by name.",
            "context",
        )
        self.weights_version = self._gauge(
            "weights_version", "The version of the weights in force.", "context"
        )
        self.weights_published = self._gauge(
            "weights_published_timestamp_seconds",
            "When the weights in force were published, in seconds since 1970.",
            "context",
        )
        self.certificate = self._gauge(
            "certificate",
            "How good the weights in force are. count: pairs learned; condition: condition number of the "
            "system that was solved; effective_rank: directions that the pairs use; residual: share of the "
            "targets that the weights do not reproduce (0 to 1).",
            "context",
            "figure",
        )

    def shown_as(self, context: str) -> str:
        """The label of a context in gauges: its name if it is one of the first of those that there are, else
        that of all others."""
        if context not in self._named and len(self._named) >= CONTEXTS_SHOWN:
            return OTHERS
        self._named.add(context)
        return context

    def set_context_rows(self, values: Mapping[str, int]) -> None:
        """Show exactly these contexts. One that was dropped, or is empty now, leaves no series behind."""
        self._named &= values.keys()
        self._set_exactly(self._context_rows, self._by_label(values))

    def forget(self) -> None:
        super().forget()
        self.no_contexts()

    def no_contexts(self) -> None:
        """This worker holds no contexts and no weights any more."""
        self.set_context_rows({})
        for gauge in (self.weights_version, self.weights_published, self.certificate):
            gauge.clear()

    def _by_label(self, values: Mapping[str, int]) -> dict[str, int]:
        """The values of the contexts that are shown by name, and the sum of all others."""
        shown: dict[str, int] = {}
        for context, value in values.items():
            label = self.shown_as(context)
            shown[label] = shown.get(label, 0) + value
        return shown

    def weights_in_force(
        self, context: str, version: int, published_s: float, certificate: Mapping[str, float | str | None]
    ) -> None:
        """Weights of `context` came into force. `published_s` is in seconds since the epoch."""
        if self.shown_as(context) == OTHERS:
            return  # versions and figures of several contexts have no sum
        self.weights_version.labels(context).set(version)
        self.weights_published.labels(context).set(published_s)
        for figure in FIGURES:
            value = certificate.get(figure)
            if isinstance(value, int | float):
                self.certificate.labels(context, figure).set(value)

    def no_weights_in_force(self, context: str) -> None:
        """Weights of `context` were withdrawn, and with them go their figures."""
        for metric in (self.weights_version, self.weights_published):
            with contextlib.suppress(KeyError):
                metric.remove(context)
        self.certificate.remove_by_labels({"context": context})
