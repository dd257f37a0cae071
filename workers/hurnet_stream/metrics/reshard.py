"""What `hurnet reshard` measures while it forwards the topic of texts to another one."""

from __future__ import annotations

from hurnet_stream.metrics.kafka import KafkaMetrics
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.metrics.store import StoreMetrics
from hurnet_stream.metrics.transactions import TransactionMetrics


class ReshardMetrics(ProcessMetrics, KafkaMetrics, StoreMetrics, TransactionMetrics):
    """From records of the old topic to records of the new one."""

    PHASES = ("poll", "look", "deliver")

    def __init__(self) -> None:
        super().__init__()
        self.forwarded = self._counter(
            "reshard_records",
            "Records that were written to the new topic: texts, and deletions of single texts.",
            "kind",
        )
        self._from_zero(self.forwarded, ("text", "deletion"))
        self.left_out = self._gauge(
            "reshard_left_out", "Texts that the new topic refuses, and that are left out."
        )
        self.left = self._gauge(
            "reshard_records_left", "Records of the old topic that are written and not forwarded yet."
        )
        self.caught_up = self._gauge(
            "reshard_caught_up", "1 while all that the old topic holds is forwarded, otherwise 0."
        )
