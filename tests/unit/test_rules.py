"""The rules of Prometheus: they are valid, and each alert is explained and tested.

That each fires by its fault and not below it is shown in tests/faults: by promtool, and on a running system.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from hurnet_stream.command_line import hurnet
from hurnet_stream.metrics.roles import ROLES
from tests.prometheus import RULES, faster, promtool

ROOT = Path(__file__).parents[2]
FOLDER = RULES.parent
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text("utf-8")
NUMBER = re.compile(r"\d+(?: \* 86400)?(?:ms|s|m|h|d)?\b")
PROMETHEUS_OWN = {"up", "process_start_time_seconds"}
ROLES_METRICS = [role() for role in ROLES.values()]
METRICS = {metric.name: metric for role in ROLES_METRICS for metric in role.described}
EXPOSITION = "".join(role.exposition().decode() for role in ROLES_METRICS)
DASHBOARDS = {"hurnet-service", "hurnet-ingest", "hurnet-answers", "hurnet-store"}
ALL: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in ALL if "alert" in rule]
TESTS = [yaml.safe_load(file.read_text("utf-8")) for file in sorted((FOLDER / "tests").glob("*.yml"))]
EXPECTATIONS = [
    expectation for file in TESTS for test in file["tests"] for expectation in test["promql_expr_test"]
]


def key(alert: dict[str, Any]) -> tuple[str, str | None]:
    """An alert's name, and its cause if it has several."""
    return alert["alert"], alert["labels"].get("cause")


def section(alert: str) -> str:
    """What the runbooks say of an alert."""
    found = re.search(rf"^## {alert}\n(.*?)(?=^## |\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL)
    assert found, f"no runbook for {alert}"
    return found[1]


def commands(alert: str) -> list[str]:
    """The commands with which to look, without what is said of them."""
    (block,) = re.findall(r"^```\n(.*?)^```", section(alert), re.MULTILINE | re.DOTALL)
    return [line.partition("  #")[0].strip() for line in block.splitlines()]


def test_the_configuration_and_its_rules_are_valid() -> None:
    assert "is valid" in promtool("check", "config", "prometheus.yml")
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", "rules.yml")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: "-".join(filter(None, key(alert))))
def test_an_alert_says_what_is_wrong_and_where_to_read_on(alert: dict[str, Any]) -> None:
    name, cause = key(alert)
    annotations = alert["annotations"]
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert annotations["description"].endswith(".")
    assert annotations["runbook_url"].endswith(f"#{name.lower()}")
    assert annotations["dashboard_url"].rpartition("/d/")[2] in DASHBOARDS
    for part in ("**Means**", "**Users notice**", "**Mend**", "**Test**"):
        assert part in section(name)
    assert len(commands(name)) == 3
    assert cause is None or f"`{cause}`" in section(name)
    assert f"[{name}](#{name.lower()})" in RUNBOOKS.partition("## ")[0]


def test_each_alert_is_tested_to_fire_and_to_be_silent() -> None:
    fires = {
        (found["alertname"], found.get("cause"))
        for expectation in EXPECTATIONS
        for sample in expectation.get("exp_samples", ())
        if "alertname" in (found := dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"])))
    }
    assert fires == {key(alert) for alert in ALERTS}
    silent = " ".join(e["expr"] for e in EXPECTATIONS if "exp_samples" not in e)
    assert {name for name, _ in fires} <= set(re.findall(r"Hurnet\w+", silent))


def test_each_recorded_series_is_tested() -> None:
    text = " ".join(expectation["expr"] for expectation in EXPECTATIONS)
    assert [rule["record"] for rule in ALL if "record" in rule and rule["record"] not in text] == []


def test_faster_rules_differ_in_times_alone() -> None:
    rules = RULES.read_text("utf-8")
    quick = faster(rules, 30)
    assert "rate(hurnet:slo_events:total[10000ms])" in quick
    assert "offset 240000ms" in quick
    assert "hurnet_store_memory_bytes[720000ms], 8640)" in quick
    assert "limit: silence }, expr: vector(10)" in quick
    assert quick.count("vector(0.99)") == rules.count("vector(0.99)")  # a share is no time
    for slow_line, quick_line in zip(rules.splitlines(), quick.splitlines(), strict=True):
        assert NUMBER.sub("N", slow_line) == NUMBER.sub("N", quick_line)


def selected() -> list[tuple[str, str]]:
    """The metrics that rules read, each with its matchers: ("hurnet_ready", 'job="hurnet-ingest"')."""
    expressions = " ".join(rule["expr"] for rule in ALL)
    return re.findall(r"\b((?:hurnet|process)_\w+|up\b)(?:\{([^}]*)\})?", expressions)


def test_rules_name_metrics_labels_and_values_that_exist() -> None:
    for name, matchers in selected():
        if name in PROMETHEUS_OWN:
            continue
        family = re.sub(r"_(bucket|count)$", "", name)
        assert family in METRICS, name
        labels = dict(re.findall(r'(\w+)=~?"([^"]*)"', matchers))
        assert labels.keys() <= {*METRICS[family].labels, "le", "job"}, name
        # Outcomes and buckets are shown from the start, each as LABEL="VALUE".
        shown = "".join(re.findall(rf"^{name}\{{.*$", EXPOSITION, re.MULTILINE))
        for label in labels.keys() & {"le", "outcome"}:
            for value in labels[label].split("|"):
                assert f'{label}="{value}"' in shown, f"{name} has no {label}={value}"


def test_rules_read_recorded_series_that_are_recorded() -> None:
    recorded = {rule["record"] for rule in ALL if "record" in rule}
    assert {name for rule in ALL for name in re.findall(r"hurnet:\w+:\w+", rule["expr"])} <= recorded


@pytest.mark.parametrize("name", sorted({rule["alert"] for rule in ALERTS}))
def test_each_alert_is_made_to_fire_by_a_real_fault(name: str) -> None:
    assert re.search(
        rf'"{name}(/[\w-]+)?"', (ROOT / "tests" / "faults" / "test_alerts.py").read_text("utf-8")
    )


@pytest.mark.parametrize("name", sorted({rule["alert"] for rule in ALERTS}))
def test_the_commands_of_a_runbook_exist(name: str) -> None:
    for line in [*commands(name), *re.findall(r"`(hurnet [^`]*)`", section(name))]:
        program, *words = shlex.split(line)
        if program == "hurnet":
            with contextlib.suppress(click.exceptions.Exit):  # --help
                hurnet.commands[words[0]].make_context(words[0], words[1:])
        else:
            assert program in {"curl", "redis-cli"}
