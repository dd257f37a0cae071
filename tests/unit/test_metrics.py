"""Metrics: each says what it counts; of a certificate there is what somebody would alert on."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hurnet_stream.core.grid import snap
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.metrics.context import FIGURES
from hurnet_stream.metrics.registry import Described
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.metrics.roles import ROLES
from hurnet_stream.metrics.table import roles_by_metric


@pytest.mark.parametrize("metric", roles_by_metric(), ids=lambda metric: metric.name)
def test_a_metric_says_in_a_sentence_what_it_counts_and_in_which_unit(metric: Described) -> None:
    assert re.fullmatch(r"[A-Z0-9].*\.", metric.meaning)
    said, name = metric.meaning.lower(), metric.name.removesuffix("_total")
    assert ("seconds" in said) == name.endswith("_seconds"), name
    assert ("bytes" in said) == name.endswith("_bytes"), name


def test_a_metric_means_the_same_in_every_role() -> None:
    names = [metric.name for metric in roles_by_metric()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_shows_its_own_metrics_alone(role: str) -> None:
    metrics = ROLES[role]()
    shown = {family.name for family in metrics.registry.collect() if family.name.startswith("hurnet_")}
    assert shown == {metric.name.removesuffix("_total") for metric in metrics.described}
    assert ("hurnet_queries" in shown) == (role == "responder")
    assert ("hurnet_solve_seconds" in shown) == (role in ("solver", "migrate"))
    assert ("hurnet_migrate_rows_left" in shown) == (role == "migrate")


def test_what_a_process_is_built_of_is_one_series() -> None:
    metrics = ROLES["responder"]()
    metrics.describe(role="responder", version="1.2.3")
    metrics.describe(embedder="hash8", fingerprint="f", searched_by="kernels")
    metrics.describe(searched_by="libraries")
    series = [
        line for line in metrics.exposition().decode().splitlines() if line.startswith("hurnet_build_info{")
    ]
    assert series == [
        'hurnet_build_info{embedder="hash8",fingerprint="f",role="responder",'
        'searched_by="libraries",version="1.2.3"} 1.0'
    ]


def test_four_figures_of_a_certificate_are_metrics() -> None:
    drawn = np.random.default_rng(0).normal(size=(40, 8))
    rows = snap(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))  # (40, 8) int16
    statistics = Statistics(8)
    statistics.add(rows, [f"answer {i % 3}" for i in range(40)])
    metrics = ResponderMetrics()
    metrics.weights_in_force("faq", 1, 0.0, solve(statistics, 0.1, "cpu").certificate.as_dict())
    shown = re.findall(r'hurnet_certificate{context="faq",figure="(\w+)"}', metrics.exposition().decode())
    assert sorted(shown) == sorted(FIGURES)
    assert len(FIGURES) == 4


def test_what_is_counted_by_reason_or_outcome_begins_at_zero() -> None:
    """`increase` does not see the first event of a series that begins with it: a burst raised no alert."""
    shown = ResponderMetrics().exposition().decode()
    for series in (
        'hurnet_dead_letters_total{reason="not-json"}',
        'hurnet_queries_total{outcome="timed-out"}',
        'hurnet_query_age_seconds_count{outcome="answered"}',
        'hurnet_transactions_aborted_total{reason="fenced"}',
    ):
        assert f"\n{series} 0.0" in shown
