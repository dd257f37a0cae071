"""Metrics: each says what it counts; of a certificate there is what somebody would alert on."""

from __future__ import annotations

import re

import numpy as np
import pytest
from prometheus_client import Metric

from hurnet_stream.core.grid import snap
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.metrics import FIGURES, Metrics

FAMILIES = [family for family in Metrics().registry.collect() if family.name.startswith("hurnet_")]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_metric_says_in_a_sentence_what_it_counts_and_in_which_unit(family: Metric) -> None:
    assert re.fullmatch(r"[A-Z0-9].*\.", family.documentation)
    said = family.documentation.lower()
    assert ("seconds" in said) == family.name.endswith("_seconds"), family.name
    assert ("bytes" in said) == family.name.endswith("_bytes"), family.name


def test_four_figures_of_a_certificate_are_metrics() -> None:
    drawn = np.random.default_rng(0).normal(size=(40, 8))
    rows = snap(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))  # (40, 8) int16
    statistics = Statistics(8)
    statistics.add(rows, [f"answer {i % 3}" for i in range(40)])
    metrics = Metrics()
    metrics.weights_in_force("faq", 1, 0.0, solve(statistics, 0.1, "cpu").certificate.as_dict())
    shown = re.findall(r'hurnet_certificate{context="faq",figure="(\w+)"}', metrics.exposition().decode())
    assert sorted(shown) == sorted(FIGURES)
    assert len(FIGURES) == 4
