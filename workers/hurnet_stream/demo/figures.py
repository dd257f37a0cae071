"""What the workers' own /metrics say while texts stream in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from hurnet_stream.local.worker import WorkerProcess
from hurnet_stream.overview.worker_pages import quantile


@dataclass(frozen=True, slots=True)
class Figures:
    """`rows` can be answers, `lag` is in records, `freshness` is the median in seconds (None if there is none
    yet), `version` and `certificate` are those of the weights in force."""

    rows: int = 0
    lag: int = 0
    freshness: float | None = None
    version: int = 0
    certificate: dict[str, float] = field(default_factory=dict)


def read(workers: Iterable[WorkerProcess]) -> Figures:
    """The rows, freshness and weights of the responder, and the lag of all ingest workers together."""
    samples: dict[str, list[Sample]] = {}
    for worker in workers:
        if worker.name == "solver":
            continue
        for family in text_string_to_metric_families(worker.page("/metrics")):
            for sample in family.samples:
                samples.setdefault(f"{worker.name} {sample.name}", []).append(sample)

    def total(name: str) -> int:
        return int(sum(sample.value for sample in samples.get(name, ())))

    return Figures(
        rows=total("responder hurnet_context_rows"),
        lag=total("ingest hurnet_kafka_lag_records"),
        freshness=median(samples.get("responder hurnet_freshness_seconds_bucket", [])),
        version=total("responder hurnet_weights_version"),
        certificate={
            sample.labels["figure"]: sample.value
            for sample in samples.get("responder hurnet_certificate", ())
        },
    )


def median(buckets: list[Sample]) -> float | None:
    """The median of a histogram. None if it is empty."""
    return quantile({float(sample.labels["le"]): sample.value for sample in buckets}, 0.5)
