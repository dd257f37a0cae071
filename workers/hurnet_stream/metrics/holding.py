"""What those measure who hold entries to answer with: responders, and slices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from hurnet_stream.metrics.ages import DAY_S, age_s
from hurnet_stream.metrics.context import ContextMetrics
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.metrics.registry import OTHERS
from hurnet_stream.metrics.store import StoreMetrics

FRESH = (
    *(0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
    *(5.0, 15.0, 60.0, 300.0, 3600.0),
)
OLD_TEXT_S = DAY_S
"""A text's timestamp that is older than this tells no age: old texts are sent again, and their freshness says
nothing."""


class HoldingMetrics(ProcessMetrics, ContextMetrics, StoreMetrics):
    """From the store into memory. Freshness is measured: from a record's timestamp to the moment its entry
    can be an answer."""

    def __init__(self) -> None:
        super().__init__()
        self._following()
        self._mixes()

    def mix_in_force(
        self, context: str, version: int, published_s: float, right: Mapping[str, float]
    ) -> None:
        """`context` counts the parts of an answer as this mix says, and `right` is the share of its own pairs
        that it answers rightly, by their kind. `published_s` is in seconds since the epoch."""
        self.no_mix_in_force(context)  # the last one may have had kinds that this one hasn't
        if self.shown_as(context) == OTHERS:
            return
        self.mix_version.labels(context).set(version)
        self.mix_published.labels(context).set(published_s)
        for kind, share in right.items():
            self.rehearsed_right.labels(context, kind).set(share)

    def no_contexts(self) -> None:
        super().no_contexts()
        for gauge in (self.mix_version, self.mix_published, self.rehearsed_right):
            gauge.clear()

    def no_mix_in_force(self, context: str) -> None:
        """The mix of `context` was withdrawn."""
        for metric in (self.mix_version, self.mix_published):
            with contextlib.suppress(KeyError):
                metric.remove(context)
        self.rehearsed_right.remove_by_labels({"context": context})

    def observe_freshness(self, timestamps_ms: Iterable[int], now_s: float) -> None:
        """Entries with these timestamps can be answers from `now_s` (seconds since the epoch) on.

        A timestamp that tells no freshness is counted apart: an old record was sent again, or the producer
        has no clock or one that is ahead."""
        for timestamp_ms in timestamps_ms:
            seconds = age_s(timestamp_ms, now_s, OLD_TEXT_S)
            if seconds is None:
                self.freshness_unknown.inc()
            else:
                self.freshness_seconds.observe(seconds)

    def set_index_bytes(self, values: Mapping[str, int]) -> None:
        """Show exactly these contexts."""
        self._set_exactly(self._index_bytes, self._by_label(values))

    def _following(self) -> None:
        self.freshness_seconds = self._histogram(
            "freshness_seconds",
            "Seconds from a record's timestamp until its entry can be an answer. The timestamp is by the "
            "clock of the producer, unless the topic stamps records itself (LogAppendTime), so this is as "
            "right as that clock; the canary measures the same by one clock. Entries loaded at the start do "
            "not count.",
            FRESH,
        )
        self.freshness_unknown = self._counter(
            "freshness_unknown",
            "Entries without a freshness, because their timestamp is over a day old or over a minute ahead.",
        )
        self._index_bytes = self._gauge(
            "index_bytes",
            "Bytes that the indexes of a context take in memory: vectors, planes, texts and words. The first "
            "hundred contexts are shown by name, and all others together.",
            "context",
        )
        self.backlog = self._gauge(
            "backlog_batches",
            "Batches that were read but are not in memory yet, because a deletion of many entries comes "
            "first.",
        )
        self.generation_awaited = self._gauge(
            "generation_awaited",
            "1 while another generation is to answer and is not loaded here yet: the one that is goes on.",
        )
        self.shelf_failures = self._counter(
            "shelf_failures",
            "Files in HURNET_RESPONDER_FOLDER that could not be written: what they were for stays in memory.",
        )
        self.device_failures = self._counter(
            "device_failures", "GPUs that failed. From then on the CPU searches."
        )

    def _mixes(self) -> None:
        self.mix_version = self._gauge(
            "mix_version", "Version of the mix in force, once a context has learned one.", "context"
        )
        self.mix_published = self._gauge(
            "mix_published_timestamp_seconds",
            "When the mix in force was published, in seconds since 1970.",
            "context",
        )
        self.rehearsed_right = self._gauge(
            "rehearsed_right",
            "Share of the context's own pairs, left out one at a time, that the others answer rightly, by "
            "how often an answer is taught (once, few, many).",
            "context",
            "kind",
        )
        self.rehearsal_failures = self._counter(
            "rehearsal_failures", "Pairs that could not be rehearsed. Each is a bug."
        )
