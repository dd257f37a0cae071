"""What those measure who read a topic of Kafka: ingest, responders, feedback."""

from __future__ import annotations

from hurnet_stream.metrics.registry import Registry


class KafkaMetrics(Registry):
    """Records read, and how far behind their reader is. Lag is in records and is never turned into time."""

    def __init__(self) -> None:
        super().__init__()
        self.records = self._counter("records", "Records read from Kafka.", "topic")
        self.dead_letters = self._counter(
            "dead_letters", "Records that could not be processed and became dead letters.", "reason"
        )
        self.lag_records = self._gauge(
            "lag_records",
            "Records in Kafka that were not read yet. Absent while this is not known.",
            "partition",
        )
        self.held_records = self._gauge(
            "held_records",
            "Records that can't be read yet because a transaction before them is open.",
            "partition",
        )
