"""What those measure who read a topic of Kafka: ingest, responders, feedback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from prometheus_client import Gauge

from hurnet_schemas.dead_letter import Reason
from hurnet_stream.metrics.registry import Registry
from hurnet_stream.places import Places
from hurnet_stream.ports import Source


class KafkaMetrics(Registry):
    """Records read, and how far behind their reader is. Lag is in records and is never turned into time."""

    def __init__(self) -> None:
        super().__init__()
        self.records = self._counter("records", "Records read from Kafka.", "topic")
        self.dead_letters = self._counter(
            "dead_letters", "Records that could not be processed and became dead letters.", "reason"
        )
        self._from_zero(self.dead_letters, get_args(Reason))
        self._lag = self._gauge(
            "kafka_lag_records",
            "Records that are written to the partition and not done yet, by its end as the brokers tell it "
            "apart from the client that reads. Absent while this is not known. Offsets that markers of "
            "transactions and aborted records take count only until they have been passed.",
            "topic",
            "partition",
        )
        self._held = self._gauge(
            "held_records",
            "Those of the lag that can't be read yet because a transaction before them is open. Absent if "
            "there are none.",
            "topic",
            "partition",
        )
        self._headroom = self._gauge(
            "retention_headroom_ratio",
            "Share of the retention of the topic that is left before what this worker must read next is "
            "dropped: 1 if it has read everything, 0 if that is gone. Absent if nothing is ever dropped, or "
            "the settings of the topic are not shown to us.",
            "topic",
            "partition",
        )
        self._assigned = self._gauge("partitions_assigned", "Partitions that this worker reads.")
        self._rebalances = self._counter(
            "rebalances", "Times that the consumer group of this worker shared out its partitions."
        )
        self._rebalances_shown = 0

    def show_reading(
        self, topic: str, source: Source, lag: Mapping[int, int], places: Places | None = None
    ) -> None:
        """Once a turn: what a source tells of itself, and the `lag` of its partitions as the worker counts
        it. If there are `places`, it reads several topics, and its partitions are their shards."""
        self._assigned.set(len(source.assignment()))
        self._show(self._lag, lag, topic, places)
        self._show(self._held, source.held_back(), topic, places)
        self._show(self._headroom, source.retention_headroom(), topic, places)
        rebalances = source.rebalances()
        # A source that was made anew begins at 0 again.
        self._rebalances.inc(max(0, rebalances - self._rebalances_shown))
        self._rebalances_shown = rebalances

    def _show(self, gauge: Gauge, values: Mapping[int, float], topic: str, places: Places | None) -> None:
        """Each partition under its topic."""
        for name, of_topic in (places.by_topic(values) if places else {topic: values}).items():
            self.set_by_partition(gauge, of_topic, name)
