"""What those measure who use the store: ingest, the solver, responders."""

from __future__ import annotations

from hurnet_stream.metrics.registry import Registry

STORE = (0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class StoreMetrics(Registry):
    """How long the store takes, and what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.store_seconds = self._histogram(
            "store_seconds",
            "Seconds of a call of the store, by what it does (append, delete, erase, tail, read, admit, "
            "note, save, load, publish, lease) and how it went (ok; refused, since another worker was "
            "quicker; failed). A tail that waits for rows counts the wait.",
            STORE,
            ("op", "outcome"),
        )

    def store_called(self, op: str, outcome: str, seconds: float) -> None:
        """A call of the store has ended."""
        self.store_seconds.labels(op, outcome).observe(seconds)
