"""The dashboards: what the code makes, valid by the types of Grafana's SDK, of metrics that exist.

That each query gives data is shown in tests/faults, by a real Prometheus that scrapes a real system.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.dashboards.make import BOARDS, FOLDER, document, panels
from deploy.dashboards.render import concrete
from deploy.dashboards.runbooks import alerts, dashboards_of
from hurnet_stream.metrics.context import FIGURES
from hurnet_stream.metrics.table import roles_by_metric
from tests.unit.test_rules import ALL as RULES

PANELS = [(name, panel) for name in BOARDS for panel in panels(name)]
DRAWN = [(name, panel) for name, panel in PANELS if panel["type"] != "text"]
QUERIES = [
    pytest.param(target["expr"], id=f"{name}: {panel['title']} {target['refId']}")
    for name, panel in DRAWN
    for target in panel["targets"]
]
OF_PROMETHEUS = {
    "up": set(),
    "ALERTS": {"alertname", "alertstate", "severity", "cause"},
    "process_resident_memory_bytes": set(),
    "process_cpu_seconds_total": set(),
}
UNITS = {value for name, value in vars(units).items() if not name.startswith("_")}
ADDED = {"job", "instance"}
"""Labels that Prometheus adds to all."""


@dataclass(slots=True)
class Read:
    """What an expression reads: metrics with the labels that are asked for, and by which labels it groups."""

    metrics: list[tuple[str, set[str]]] = field(default_factory=list)
    grouped_by: set[str] = field(default_factory=set)


def known() -> dict[str, set[str]]:
    """The labels of every series that there may be, by its name."""
    series: dict[str, set[str]] = {name: labels | ADDED for name, labels in OF_PROMETHEUS.items()}
    for metric in roles_by_metric():
        labels = set(metric.labels) | ADDED
        series[metric.name] = labels
        if metric.kind == "histogram":
            series |= {f"{metric.name}_{part}": labels for part in ("count", "sum")}
            series[f"{metric.name}_bucket"] = labels | {"le"}
    for rule in RULES:
        if "record" in rule:
            own = read(rule["expr"])
            labels = own.grouped_by or set().union(*(series.get(name, set()) for name, _ in own.metrics))
            series[rule["record"]] = series.get(rule["record"], set()) | labels | set(rule.get("labels", ()))
    return series


def read(expression: str) -> Read:
    found = Read()

    def visit(node: Any) -> None:
        node = getattr(node, "vector_selector", node)
        if isinstance(node, promql_parser.VectorSelector):
            found.metrics.append((str(node.name), {matcher.name for matcher in node.matchers.matchers}))
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            found.grouped_by |= set(node.modifier.labels)

    promql_parser.walk(promql_parser.parse(concrete(expression)), visit)
    return found


@pytest.mark.parametrize("name", BOARDS)
def test_the_json_is_what_the_code_makes_and_keeps_all_of_it_through_the_types_of_the_sdk(name: str) -> None:
    text = (FOLDER / f"{name}.json").read_text("utf-8")
    assert text == document(name), "python -m deploy.dashboards.make writes it anew"
    register_default_plugins()
    board = Dashboard.from_json(json.loads(text))
    assert json.loads(JSONEncoder().encode(board)) == json.loads(text)
    assert board.uid == f"hurnet-{name}"


@pytest.mark.parametrize("expression", QUERIES)
def test_a_query_is_valid_and_reads_what_there_is(expression: str) -> None:
    series, wanted = known(), read(expression)
    assert wanted.metrics or "vector(" in expression
    there: set[str] = {"le"}
    for metric, labels in wanted.metrics:
        assert metric in series, f"no metric {metric}"
        assert labels <= series[metric], f"{metric} has no label {labels - series[metric]}"
        there |= series[metric]
    assert wanted.grouped_by <= there
    assert set(re.findall(r'figure="(\w+)"', expression)) <= set(FIGURES)


@pytest.mark.parametrize(
    "panel", [pytest.param(panel, id=f"{name}: {panel['title']}") for name, panel in PANELS]
)
def test_a_panel_says_what_it_shows_and_what_is_normal(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith("."), panel["title"]
    if panel["type"] != "text":
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in UNITS
        assert defaults["thresholds"]["steps"][0]["value"] is None
        assert panel["datasource"]["uid"] == "${datasource}"
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEF"[: len(panel["targets"])])


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_lies_over_another(name: str) -> None:
    every = json.loads(document(name))["panels"]
    assert [panel["id"] for panel in every] == list(range(1, len(every) + 1))
    for one, other in combinations([panel["gridPos"] for panel in every], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in every)


def test_whoever_comes_from_an_alert_finds_its_runbook_there() -> None:
    linked = {name: json.dumps([panel for board, panel in PANELS if board == name]) for name in BOARDS}
    for alert, uids in dashboards_of().items():
        for uid in uids:
            link = f"${{runbooks}}#{alert.lower()}"
            assert link in linked[uid.removeprefix("hurnet-")], f"{uid} has no panel for {alert}"
    assert {alert["alert"] for alert in alerts()} == set(dashboards_of())


@pytest.mark.parametrize("name", BOARDS)
def test_dashboards_lead_to_each_other(name: str) -> None:
    links = {link["url"] for link in json.loads(document(name))["links"]}
    assert links == {f"/d/hurnet-{other}" for other in BOARDS if other != name}
