"""What ingest measures. A record is one Kafka message, a row is one entry of the store."""

from __future__ import annotations

from hurnet_stream.metrics.kafka import KafkaMetrics
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.metrics.store import StoreMetrics


class IngestMetrics(ProcessMetrics, KafkaMetrics, StoreMetrics):
    """From records to rows."""

    PHASES = ("poll", "embed", "append", "commit")

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self._counter("bytes", "Bytes of the values of records read from Kafka.", "topic")
        self.rows = self._counter("rows", "Rows appended to the store.")
        self.batches = self._counter("batches", "Batches of rows appended to the store.")
        self.deletions = self._counter("deletions", "Records that delete entries, appended to the store.")
        self.expiries = self._counter(
            "expiries", "Deletions of what had become too old in a context, or too much.", "context"
        )
        self.replaced = self._counter(
            "replaced",
            "Rows whose place a text with the same key took, in the store or before they got there.",
        )
        self.vectors_reused = self._counter(
            "vectors_reused", "Texts that came again unchanged, and whose vectors were taken from the store."
        )
        self.contexts = self._gauge(
            "contexts", "Contexts that there are, as of the last text that named a new one."
        )
        self.dead_letters_alarm = self._gauge(
            "dead_letters_alarm",
            "1 while so many records become dead letters that their producer must be broken.",
        )
        self.skipped_offsets = self._counter(
            "skipped_offsets",
            "Offsets that the topic no longer held when they were to be read, and were skipped.",
        )
        self.refused = self._counter(
            "appends_refused",
            "Appends that the store refused because another worker had appended to the shard meanwhile.",
        )
        self.embed_seconds = self._histogram(
            "embed_seconds", "Seconds to turn the texts of one poll into vectors."
        )
        self.append_seconds = self._histogram("append_seconds", "Seconds to append one batch to the store.")
