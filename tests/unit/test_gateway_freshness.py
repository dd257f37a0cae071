"""Freshness as the live figures have it."""

from __future__ import annotations

from prometheus_client.samples import Sample

from hurnet_stream.gateway.freshness import METRIC, WINDOW_S, Freshness
from hurnet_stream.overview.worker_pages import WorkerPage


def page(quarter: float, half: float, all_: float) -> WorkerPage:
    counts = {"0.25": quarter, "0.5": half, "+Inf": all_}
    samples = [Sample(METRIC, {"le": edge}, value) for edge, value in counts.items()]
    return WorkerPage("http://a", "responder", True, "", {METRIC: samples})


def test_it_is_of_the_last_seconds() -> None:
    freshness = Freshness()
    assert freshness.p99_ms([page(100, 100, 100)], 0.0) is None  # nothing since the first look
    assert freshness.p99_ms([page(140, 150, 150)], 1.0) == 487.5  # 250 ms + 9.5 of 10 of the next 250 ms
    assert freshness.p99_ms([page(140, 150, 150)], 3 * WINDOW_S) is None


def test_a_worker_that_began_anew_and_one_without_figures() -> None:
    freshness = Freshness()
    freshness.p99_ms([page(100, 100, 100)], 0.0)
    assert freshness.p99_ms([page(3, 3, 3)], 1.0) is None
    assert freshness.p99_ms([WorkerPage("http://b", "ingest", None, "no")], 2.0) is None
    assert Freshness().p99_ms([], 0.0) is None
