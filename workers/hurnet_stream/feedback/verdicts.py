"""How often people said that an answer was right or wrong, for the metrics.

Each verdict is on an answer that was given before the verdict taught anything, so right / (right + wrong) is
the accuracy that people met: it is judged first, and learned from afterwards (prequential). A verdict that
says which `query` it is on counts once, as long as that is remembered.
"""

from __future__ import annotations

from typing import Final

from hurnet_schemas import Feedback
from hurnet_stream.metrics.feedback import FeedbackMetrics

REMEMBERED: Final = 10_000
"""The latest queries whose verdicts were counted."""


class Verdicts:
    """Counts verdicts."""

    def __init__(self, metrics: FeedbackMetrics) -> None:
        self._metrics = metrics
        self._judged: dict[tuple[str, str], None] = {}  # in the order in which they came

    def count(self, feedback: Feedback) -> None:
        if feedback.query is not None and self._again(feedback.context, feedback.query):
            return
        context = self._metrics.counted_as(feedback.context)
        self._metrics.verdicts.labels(context, feedback.verdict).inc()

    def _again(self, context: str, query: str) -> bool:
        if (context, query) in self._judged:
            return True
        self._judged[context, query] = None
        if len(self._judged) > REMEMBERED:
            del self._judged[next(iter(self._judged))]
        return False
