"""A registry of metrics, and how series of what is gone leave it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from typing_extensions import override

from hurnet_schemas.places import ShardName

disable_created_metrics()  # type: ignore[no-untyped-call] # a series more for each counter and histogram, and nobody asks when it began
QUICK = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
CONTEXTS_SHOWN = 100
"""The most contexts that are shown by name: whoever writes texts or feedback names them, and a metric must
stay small."""
OTHERS = "(others)"
ByShard = Mapping[int, float] | Mapping[ShardName, float]


@dataclass(frozen=True, slots=True)
class Described:
    """A metric as the table of all metrics shows it. `name` is the one that queries use."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class OptionalGauge(Collector):
    """A gauge without labels that is absent while its value is None."""

    def __init__(self, name: str, meaning: str, registry: CollectorRegistry) -> None:
        self._name = name
        self._meaning = meaning
        self.value: float | None = None
        registry.register(self)

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._meaning)
        if (value := self.value) is not None:
            family.add_metric([], value)
        yield family


class Registry:
    """The metrics of one process, in a registry of their own. Classes that derive from it add them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        self._shown: dict[tuple[Any, ...], dict[Any, float]] = {}
        """What each gauge shows under its first labels, by its last label."""
        self._optional: list[OptionalGauge] = []
        self._counted: set[str] = set()

    def forget(self) -> None:
        """Whoever showed partitions, contexts and what may be absent is gone: nothing is known now."""
        for gauge, *labels in list(self._shown):
            self._set_exactly(gauge, {}, *labels)
        for optional in self._optional:
            optional.value = None

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)

    def openmetrics(self) -> bytes:
        """The same as OpenMetrics text, which can hold exemplars."""
        text: bytes = generate_openmetrics(self.registry, version="1.0.0")  # type: ignore[no-untyped-call]
        return text

    def counted_as(self, context: str) -> str:
        """The label of a context in counters: its name if it is one of the first, else that of all others.
        What was counted of a context stays when that is dropped, so its name does, too."""
        if context not in self._counted and len(self._counted) >= CONTEXTS_SHOWN:
            return OTHERS
        self._counted.add(context)
        return context

    def set_by_partition(self, gauge: Gauge, values: ByShard, *labels: str) -> None:
        """Show exactly these partitions, under the same first `labels`. One that moved away leaves no series
        behind, and one that stays is there at every moment, also while this runs."""
        self._set_exactly(gauge, values, *labels)

    def _set_exactly(self, gauge: Gauge, values: ByShard | Mapping[str, float], *labels: str) -> None:
        """Only what has changed is written: this is called in every turn, and a series costs a lock."""
        shown = self._shown.setdefault((gauge, *labels), {})
        if shown == values:
            return
        for gone in shown.keys() - values.keys():
            gauge.remove(*labels, gone)
        for label, value in values.items():
            if shown.get(label) != value:
                gauge.labels(*labels, label).set(value)
        self._shown[gauge, *labels] = dict[Any, float](values)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self._describe(f"{name}_total", "counter", labels, meaning)
        return Counter(f"hurnet_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        self._describe(name, "gauge", labels, meaning)
        return Gauge(f"hurnet_{name}", meaning, labels, registry=self.registry)

    def _optional_gauge(self, name: str, meaning: str) -> OptionalGauge:
        self._describe(name, "gauge", (), meaning)
        gauge = OptionalGauge(f"hurnet_{name}", meaning, self.registry)
        self._optional.append(gauge)
        return gauge

    def _histogram(
        self, name: str, meaning: str, buckets: tuple[float, ...] = QUICK, labels: tuple[str, ...] = ()
    ) -> Histogram:
        self._describe(name, "histogram", labels, meaning)
        return Histogram(f"hurnet_{name}", meaning, labels, buckets=buckets, registry=self.registry)

    def _from_zero(self, metric: Counter | Histogram, values: Iterable[str]) -> None:
        """Show these values of its one label at once: a rate needs the zero before the first event."""
        for value in values:
            metric.labels(value)

    def _describe(self, name: str, kind: str, labels: tuple[str, ...], meaning: str) -> None:
        self.described.append(Described(f"hurnet_{name}", kind, labels, meaning))
