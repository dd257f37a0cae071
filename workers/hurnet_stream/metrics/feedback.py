"""What the feedback worker measures."""

from __future__ import annotations

from hurnet_stream.metrics.kafka import KafkaMetrics
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.metrics.transactions import TransactionMetrics


class FeedbackMetrics(ProcessMetrics, KafkaMetrics, TransactionMetrics):
    """From what people say of answers to texts."""

    PHASES = ("poll", "deliver")

    def __init__(self) -> None:
        super().__init__()
        self.verdicts = self._counter(
            "verdicts",
            "What people said of answers, before anything was learned from it. Accuracy is right / (right + "
            "wrong). Only the first hundred contexts are shown by name.",
            "context",
            "verdict",
        )
